//! Rooms: which one a player gets, what rooms tell the lobby, what happens when one has ended.

use cluster::{Exit, LobbyContext, Player, Refusal, RoomId, RoomInfo, RoomManager};
use tracing::info;

use crate::messages::{LobbyEvent, Options, ToLobby};
use crate::room::Arena;
use crate::server::{GOAL, Server};

// HOOK: the kinds of rooms, and the names that pages call them. `play` means the first.
cluster::kinds!(Server: Arena = "arena");

impl RoomManager<Arena> for Server {
    // HOOK: which room does a player get?
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        // The fullest room first, so that players meet.
        if let Some(room) = lobby.fullest::<Arena>() {
            return Ok(room.id);
        }
        let options = Options { title: format!("Arena of {}", player.name), goal: GOAL };
        lobby.create::<Arena>(player, None, options)
    }

    // HOOK: a message of a room.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<Arena>,
        message: ToLobby,
    ) {
        let title = room.options.title.clone();
        let text = match message {
            ToLobby::Scored { name, score } => {
                format!("{name} has {score} of {} coins.", room.options.goal)
            }
            ToLobby::Won { name } => {
                self.games_played += 1;
                info!(games_played = self.games_played, "{name} has won in {title}");
                format!("{name} has won.")
            }
        };
        lobby.broadcast(LobbyEvent::News { title, text });
    }

    // HOOK: a room has ended.
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Arena>, exit: Exit) {
        let title = room.options.title.clone();
        lobby.broadcast(LobbyEvent::News { title, text: format!("The room {exit}.") });
    }
}
