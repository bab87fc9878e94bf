//! The lobby: who may enter, where players go, what happens when a room has ended. Edit the hooks; the
//! loop in `cluster/lobby_loop.rs` calls them one at a time.

use cluster::{Answer, Cluster, Exit, Info, Lobby, Player, Refusal, refuse};
use tracing::info;

use crate::{
    messages::{LobbyEvent, LobbyRequest, Options, Outcome, ToLobby},
    room::Arena,
};

/// So many coins win a game.
const GOAL: u32 = 10;

#[derive(Default)]
pub struct Server {
    games_played: u32,
}

impl Lobby for Server {
    type Room = Arena;
    type Request = LobbyRequest;
    type Event = LobbyEvent;

    // HOOK: the lobby begins.
    async fn on_start(_: &Cluster<Self>) -> Result<Self, Refusal> {
        Ok(Server::default())
    }

    // HOOK: where do players go?
    fn on_request(&mut self, lobby: &Cluster<Self>, from: &Player, asked: LobbyRequest) -> Answer {
        let seats = lobby.settings().seats;
        match asked {
            LobbyRequest::Play => {
                let options = Options { title: format!("{}'s arena", from.name), goal: GOAL };
                // The fullest room first, so that players meet.
                lobby.join_or_create(from, |room| Some(room.players), seats, options)
            }
            LobbyRequest::Create { title } => {
                let title = title.trim().to_owned();
                if !(1..=40).contains(&title.chars().count()) || title.contains(char::is_control) {
                    return Err(refuse("bad_title", "A title is a line of 1 to 40 characters."));
                }
                let room = lobby.create(from, seats, Options { title, goal: GOAL })?;
                lobby.join(from, &room)
            }
            LobbyRequest::Join { room } => lobby.join(from, &room),
        }
    }

    // HOOK: a room says something.
    fn on_room_message(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, message: ToLobby) {
        let ToLobby::Leader { name, score } = message;
        let text = format!("{name} has {score} in {}", room.options.title);
        lobby.broadcast(LobbyEvent::News { text });
    }

    // HOOK: a room has ended.
    fn on_room_exit(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, exit: Exit<Outcome>) {
        let title = &room.options.title;
        let text = match exit {
            Exit::Finished(Outcome { winner }) => {
                self.games_played += 1;
                format!("{winner} has won {title}")
            }
            other => format!("{title} is over ({})", other.reason()),
        };
        info!(games_played = self.games_played, "{text}");
        lobby.broadcast(LobbyEvent::News { text });
    }
}
