//! People: who may enter the lobby, and what they ask there. The lobby calls the hooks one at a
//! time. The hooks for rooms are in `room_manager.rs`, the queue is in `queue.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use cluster::{Answer, Arrival, Lobby, LobbyContext, Player, ok};

use crate::messages::{LobbyEvent, LobbyRequest, Options};
use crate::queue::{Queue, Queued, Rules};
use crate::room::Duel;

/// Players in a game.
pub const PAIR: usize = 2;
/// Seconds to wait for the opponent from the queue: longer than a ticket is valid.
const ARRIVAL: u32 = 20;
/// Seconds to wait for a friend, who needs the code first.
const INVITATION: u32 = 600;
/// Lines of news that a player is sent on arrival.
const NEWS: usize = 5;

#[derive(Default)]
pub struct Server {
    queue: Queue<()>,
    news: VecDeque<String>,
}

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = LobbyRequest;
        type Event = LobbyEvent;
    }

    // HOOK: a player is in the lobby now.
    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, _: Arrival<Self>) {
        lobby.send(player, self.latest());
        // A room keeps a seat for a player whose connection was lost.
        lobby.send_back(player);
    }

    // HOOK: a player has left the lobby.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
        self.dequeue(lobby, player);
    }

    // HOOK: a request of a player.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: LobbyRequest,
    ) -> Answer {
        match request {
            LobbyRequest::FindOpponent => self.enqueue(lobby, from, ()),
            LobbyRequest::StopWaiting => {
                self.dequeue(lobby, from);
                ok()
            }
            LobbyRequest::InviteFriend => {
                let room =
                    lobby.create_private::<Duel>(from, PAIR, Options { patience: INVITATION })?;
                self.dequeue(lobby, from);
                lobby.join(from, &room)
            }
            LobbyRequest::JoinFriend { code } => {
                let answer = lobby.join_by_code(from, &code)?;
                // Only now: a wrong code must not cost the place in the queue.
                self.dequeue(lobby, from);
                Ok(answer)
            }
        }
    }
}

impl Server {
    /// Adds a line to the news.
    pub fn announce(&mut self, lobby: &LobbyContext<Self>, text: String) {
        self.news.push_front(text);
        self.news.truncate(NEWS);
        lobby.broadcast(self.latest());
    }

    fn latest(&self) -> LobbyEvent {
        LobbyEvent::News { lines: self.news.iter().cloned().collect() }
    }
}

impl Queued<Duel> for Server {
    type Kind = ();

    fn queue(&mut self) -> &mut Queue<()> {
        &mut self.queue
    }

    fn rules(&self, (): &()) -> Rules {
        // Nobody plays alone, however long they have waited.
        Rules { size: PAIR, fewest: PAIR, patience: Duration::from_secs(60) }
    }

    fn options(&self, (): &(), _: &[Player]) -> Options {
        Options { patience: ARRIVAL }
    }

    fn place(&self, place: usize, waiting: usize) -> LobbyEvent {
        LobbyEvent::Place { place, waiting }
    }
}
