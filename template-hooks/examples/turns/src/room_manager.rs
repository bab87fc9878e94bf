//! Rooms: which one a player gets, what rooms tell the lobby, what happens when one has ended.

use cluster::{Exit, LobbyContext, Player, Refusal, RoomId, RoomInfo, RoomManager};

use crate::messages::{Options, ToLobby};
use crate::queue::Queued;
use crate::room::Duel;
use crate::server::{PAIR, Server};

/// Seconds to wait for an opponent.
const PATIENCE: u32 = 60;

// HOOK: the kinds of rooms, and the names that pages call them. `play` means the first.
cluster::kinds!(Server: Duel = "duel");

impl RoomManager<Duel> for Server {
    // HOOK: which room does a player get who asks to `play` instead of queueing?
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        self.dequeue(lobby, player);
        // A room where somebody waits, else a new one.
        match lobby.fullest::<Duel>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<Duel>(player, PAIR, Options { patience: PATIENCE }),
        }
    }

    // HOOK: a message of a room.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        _: &RoomInfo<Duel>,
        message: ToLobby,
    ) {
        let ToLobby::Scores([(first, most), (second, fewer)]) = message;
        let how = if most > fewer { "has beaten" } else { "has drawn with" };
        // Words between name and numbers: a right-to-left name would reverse them.
        let score = format!("{first} {how} {second} with a score of {most} : {fewer}");
        self.announce(lobby, score);
    }

    // HOOK: a room has ended.
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Duel>, exit: Exit) {
        // `on_room_message` has announced a finished game; in a closed room nobody has played.
        if !matches!(exit, Exit::Finished | Exit::Closed) {
            self.announce(lobby, format!("The game in room {} is over: the room {exit}.", room.id));
        }
    }
}
