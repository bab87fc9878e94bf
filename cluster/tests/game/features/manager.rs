//! What the lobby does with rooms of each kind.

use std::env;

use cluster::{
    Exit, LeaveReason, Lobby, LobbyContext, Refusal, RoomId, RoomInfo, RoomLimits, RoomManager,
    Settings, Size,
};
use serde_json::{Value, json};

use super::Features;
use super::arena::Arena;
use super::messages::{News, Options, Player, Profile};
use super::rooms::{Chat, Worker};

impl RoomManager<Arena> for Features {
    /// The open room with the highest score in its listing, or a new one.
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        let open = lobby.open_rooms::<Arena>(1).into_iter();
        match open.max_by_key(|room| room.listing.score) {
            Some(room) => Ok(room.id),
            None => lobby.create::<Arena>(player, None, Options::default()),
        }
    }

    fn on_room_message(&mut self, lobby: &LobbyContext<Self>, _: &RoomInfo<Arena>, said: Value) {
        lobby.broadcast(News::Line(said.to_string()));
    }

    fn on_player_joined(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Arena>,
        player: &Player,
    ) {
        self.note(json!({ "hook": "on_player_joined", "room": room.id, "player": player }));
    }

    fn on_player_left(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Arena>,
        player: &Player,
        reason: LeaveReason,
    ) {
        let (room, reason) = (&room.id, reason.to_string());
        self.note(json!({
            "hook": "on_player_left", "room": room, "player": player, "reason": reason,
        }));
    }

    fn on_room_exit(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Arena>, exit: Exit) {
        let (exit, listing) = (exit.to_string(), &room.listing);
        self.note(json!({
            "hook": "on_room_exit", "room": room.id, "exit": exit, "listing": listing,
        }));
    }
}

impl RoomManager<Chat> for Features {
    fn limits(settings: &Settings) -> RoomLimits {
        let memory = env::var("CHAT_MEMORY").ok();
        let memory = memory.map(|bytes| Size(bytes.parse().expect("a number of bytes")));
        RoomLimits { seats: 2, memory: memory.unwrap_or(settings.room_memory) }
    }

    fn on_room_exit(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Chat>, exit: Exit) {
        self.note(json!({ "hook": "on_room_exit", "room": room.id, "exit": exit.to_string() }));
    }
}

impl RoomManager<Worker> for Features {
    fn limits(settings: &Settings) -> RoomLimits {
        RoomLimits { seats: 0, memory: settings.room_memory }
    }

    fn on_room_message(&mut self, lobby: &LobbyContext<Self>, _: &RoomInfo<Worker>, said: String) {
        lobby.broadcast(News::Line(said));
    }

    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, _: &RoomInfo<Worker>, _: Exit) {
        if let Ok(worker) = lobby.create::<Worker>(None::<&Player>, None, ()) {
            lobby.broadcast(News::Replaced { worker });
        }
    }
}

/// A lobby with two kinds of one name.
#[derive(Default)]
pub struct Twins;

impl Lobby for Twins {
    cluster::lobby_types! {
        type Profile = Profile;
    }
}

impl RoomManager<Chat> for Twins {}
impl RoomManager<Worker> for Twins {}

cluster::kinds!(Twins: Chat = "chat", Worker = "chat");
