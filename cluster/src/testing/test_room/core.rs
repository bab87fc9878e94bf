//! A room of a game that does nothing, for tests.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Size;
use crate::process::{ReservedSeat, RoomSpec};
use crate::room::core::Core;
use crate::room::{Room, RoomContext, Tickets};
use crate::runtime::RoomPanic;
use crate::types::{Player, PlayerId, Refusal, RoomId};

pub struct Game;

crate::messages! {
    pub enum Event { Hello }
}

impl Room for Game {
    crate::room_types! {
        type Event = Event;
    }

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Game)
    }
}

pub fn core(capacity: usize) -> (Core<Game>, Arc<Tickets>) {
    let (kind, memory) = ("test".to_owned(), Size(1 << 30));
    let spec = RoomSpec { kind, capacity, memory, seed: 1, host: None, code: None };
    let room = RoomContext::new(RoomId("1".into()), spec, Duration::from_secs(30));
    let (tickets, ttl) = (Arc::new(Tickets::default()), Duration::from_secs(15));
    (Core::new(Game, room, tickets.clone(), ttl, Some(RoomPanic::EndRoom)), tickets)
}

pub fn ann() -> Player<()> {
    Player { id: PlayerId("ann".into()), name: "Ann".into(), profile: () }
}

pub fn reserve(core: &mut Core<Game>, seat: u64, ticket: &str, player: &Player<()>) {
    let (ticket, player) = (ticket.to_owned(), player.erased().unwrap());
    core.reserve(seat, vec![ReservedSeat { seat, ticket, player, options: None }]);
}
