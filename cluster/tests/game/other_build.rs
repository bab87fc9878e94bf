//! A build of the game whose lobby and rooms speak another language to each other.

use cluster::{
    Answer, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomId, RoomInfo, RoomManager,
    ok,
};

cluster::messages! {
    pub enum Ask {
        Number { room: RoomId, n: u64 },
    }

    #[derive(Default)]
    #[serde(default)]
    pub struct Options {
        title: String,
    }
}

pub struct NumbersRoom;

impl Room for NumbersRoom {
    cluster::room_types! {
        type Options = Options;
        type FromLobby = u64;
        type ToLobby = u64;
    }

    async fn on_open(_: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(NumbersRoom)
    }
}

#[derive(Default)]
pub struct OtherBuild;

impl Lobby for OtherBuild {
    cluster::lobby_types! {
        type Request = Ask;
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, _: &Player, asked: Ask) -> Answer {
        let Ask::Number { room, n } = asked;
        lobby.tell::<NumbersRoom>(&room, n).and_then(|()| ok())
    }
}

impl RoomManager<NumbersRoom> for OtherBuild {
    fn on_room_adopted(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<NumbersRoom>) {
        tracing::info!(room = %room.id, all = lobby.rooms::<NumbersRoom>().len(), "on_room_adopted");
    }
}

cluster::kinds!(OtherBuild: NumbersRoom = "game");
