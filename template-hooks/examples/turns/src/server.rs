//! The lobby: who may enter, where players go, what happens when a room has ended. Edit the hooks; the
//! loop in `cluster/lobby_loop.rs` calls them one at a time. The queue is in `queue.rs`.

use std::{collections::VecDeque, time::Duration};

use cluster::{Answer, Arrival, Cluster, Exit, Info, Lobby, Player, Refusal, done};

use crate::{
    messages::{LobbyEvent, LobbyRequest, Options, Outcome},
    queue::{Queue, Queued, Rules},
    room::Duel,
};

/// Players in a game.
const PAIR: usize = 2;
/// Seconds for the second of two from the queue: longer than his ticket is good for.
const ARRIVAL: u32 = 20;
/// Seconds for a friend: he has yet to be told the code.
const INVITATION: u32 = 600;
/// Lines of news that who comes is told.
const NEWS: usize = 5;

#[derive(Default)]
pub struct Server {
    queue: Queue<()>,
    news: VecDeque<String>,
}

impl Lobby for Server {
    type Room = Duel;
    type Request = LobbyRequest;
    type Event = LobbyEvent;

    // HOOK: the lobby begins.
    async fn on_start(_: &Cluster<Self>) -> Result<Self, Refusal> {
        Ok(Server::default())
    }

    // HOOK: a player is in the lobby.
    fn on_arrive(&mut self, lobby: &Cluster<Self>, player: &Player, _: Arrival) {
        lobby.send(player, self.latest());
        // A seat is kept for one whose connection was lost.
        lobby.send_back(player);
    }

    // HOOK: a player is not in the lobby any more.
    fn on_leave(&mut self, lobby: &Cluster<Self>, player: &Player) {
        self.dequeue(lobby, player);
    }

    // HOOK: where do players go?
    fn on_request(&mut self, lobby: &Cluster<Self>, from: &Player, asked: LobbyRequest) -> Answer {
        match asked {
            LobbyRequest::FindOpponent => self.enqueue(lobby, from, ()),
            LobbyRequest::StopWaiting => {
                self.dequeue(lobby, from);
                done()
            }
            LobbyRequest::InviteFriend => {
                let room = lobby.create_private(from, PAIR, Options { patience: INVITATION })?;
                self.dequeue(lobby, from);
                lobby.join(from, &room)
            }
            LobbyRequest::JoinFriend { code } => {
                let answer = lobby.join_by_code(from, &code)?;
                // Not before: a wrong code costs nobody his place.
                self.dequeue(lobby, from);
                Ok(answer)
            }
        }
    }

    // HOOK: a room has ended.
    fn on_room_exit(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, exit: Exit<Outcome>) {
        let text = match exit {
            Exit::Finished(Outcome { scores: [(first, most), (second, fewer)] }) => {
                let how = if most > fewer { "has beaten" } else { "has drawn with" };
                format!("{first} {how} {second}, {most} : {fewer}")
            }
            // Nobody came, or the lobby wanted it to end.
            Exit::Closed => return,
            other => format!("The game in room {} is over ({})", room.id, other.reason()),
        };
        self.news.push_front(text);
        self.news.truncate(NEWS);
        lobby.broadcast(self.latest());
    }
}

impl Server {
    fn latest(&self) -> LobbyEvent {
        LobbyEvent::News { lines: self.news.iter().cloned().collect() }
    }
}

impl Queued for Server {
    type Kind = ();

    fn queue(&mut self) -> &mut Queue<()> {
        &mut self.queue
    }

    fn rules(&self, (): &()) -> Rules {
        // Nobody goes alone, however long he has waited.
        Rules { size: PAIR, fewest: PAIR, patience: Duration::from_secs(60) }
    }

    fn options(&self, (): &(), _: &[Player]) -> Options {
        Options { patience: ARRIVAL }
    }

    fn place(&self, place: usize, waiting: usize) -> LobbyEvent {
        LobbyEvent::Place { place, waiting }
    }
}
