//! Rooms: which one a player gets, what rooms tell the lobby, what happens when one has ended.

use cluster::{
    Exit, LeaveReason, LobbyContext, Player, Refusal, RoomId, RoomInfo, RoomLimits, RoomManager,
    Settings,
};
use tracing::info;

use crate::messages::{LobbyEvent, Options, ToLobby, ToRoom};
use crate::room::Game;
use crate::server::Server;

// HOOK: the kinds of rooms, and the names that pages call them. `play` means the first.
cluster::kinds!(Server: Game = "game");

impl RoomManager<Game> for Server {
    // HOOK: what do these rooms get? Default: what the flags `--seats` and `--room-memory` say.
    fn limits(settings: &Settings) -> RoomLimits {
        info!("limits");
        RoomLimits { seats: settings.seats, memory: settings.room_memory }
    }

    // HOOK: which room does a player get? Default: the fullest open one, or a new one.
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        info!(player = %player.name, "pick");
        match lobby.fullest::<Game>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<Game>(player, None, Options::default()),
        }
    }

    // HOOK: a room is open. Default: nothing.
    fn on_room_ready(&mut self, _lobby: &LobbyContext<Self>, room: &RoomInfo<Game>) {
        info!(room = %room.id, "on_room_ready");
    }

    // HOOK: after a reload, a room of the previous program is still running. Default: nothing.
    fn on_room_adopted(&mut self, _lobby: &LobbyContext<Self>, room: &RoomInfo<Game>) {
        info!(room = %room.id, "on_room_adopted");
    }

    // HOOK: a message of a room's `tell_lobby`. Default: nothing.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        message: ToLobby,
    ) {
        info!(room = %room.id, received = ?message, "on_room_message");
        let ToLobby::Hello { from } = message;
        self.hellos += 1;
        lobby.broadcast(LobbyEvent::News { text: format!("{from} says hello in {}", room.id) });
        // Fails if the room has ended.
        let _ = lobby.tell::<Game>(&room.id, ToRoom::Hellos(self.hellos));
    }

    // HOOK: a player has joined a room. Default: nothing.
    fn on_player_joined(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>, player: &Player) {
        info!(room = %room.id, player = %player.name, "on_player_joined");
    }

    // HOOK: a player has left a room for good: once for each who joined. Default: nothing.
    fn on_player_left(
        &mut self,
        _lobby: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        player: &Player,
        why: LeaveReason,
    ) {
        info!(room = %room.id, player = %player.name, %why, "on_player_left");
    }

    // HOOK: a room has ended; its players return to the lobby. Default: nothing.
    fn on_room_exit(&mut self, _lobby: &LobbyContext<Self>, room: &RoomInfo<Game>, exit: Exit) {
        info!(room = %room.id, ?exit, "on_room_exit");
    }
}
