//! The lobby of these tests, which notes its hooks.

use std::time::Duration;

use crate::config::settings::Defaults;
use crate::lobby::{Arrival, Identity, Lobby, LobbyContext, Registration, RoomInfo, RoomManager};
use crate::room::{Room, RoomContext};
use crate::types::{
    Answer, Exit, LeaveReason, Player, PlayerId, Refusal, RoomId, deferred, ok, refuse, reply,
};

pub const DEFAULTS: Defaults = Defaults { name: "test", port: 0, seats: 2 };
pub const SECOND: Duration = Duration::from_secs(1);

crate::messages! {
    pub enum Ask {
        Open { title: String },
        Send { player: String, room: RoomId },
        Square { n: u64 },
        Later { seconds: u32 },
        Close { room: RoomId },
        Kick { player: String },
        Tell { room: RoomId, text: String },
        Hello,
        Panic,
    }

    pub enum News {
        Line(String),
        Welcome { text: String },
    }

    #[derive(Default, PartialEq)]
    pub struct Options {
        pub title: String,
    }

    #[derive(Default, PartialEq)]
    pub struct Profile {
        pub level: u8,
    }

    #[derive(PartialEq)]
    pub enum ToRoom {
        Text(String),
        /// The room cannot read what the lobby writes.
        Lopsided(#[serde(serialize_with = "as_text")] u8),
    }
}

fn as_text<S: serde::Serializer>(n: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&n.to_string())
}

pub struct Game;

impl Room for Game {
    crate::room_types! {
        type Options = Options;
        type Profile = Profile;
        type Listing = Options;
        type FromLobby = ToRoom;
        type ToLobby = String;
    }

    async fn on_open(_: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        unreachable!("the test plays the rooms")
    }
}

#[derive(Default)]
pub struct Server {
    pub hooks: Vec<String>,
}

crate::kinds!(Server: Game = "game");

impl Lobby for Server {
    crate::lobby_types! {
        type Profile = Profile;
        type Account = u32;
        type Request = Ask;
        type Event = News;
    }

    async fn on_start(&mut self, lobby: &LobbyContext<Self>) -> Result<(), Refusal> {
        if lobby.settings().max_rooms == 13 {
            return Err(refuse("unlucky", "Not with 13 rooms."));
        }
        self.hooks.push("on_start".to_owned());
        Ok(())
    }

    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        if form.more.contains_key("slow") {
            tokio::task::yield_now().await;
        }
        let level = form.headers.get("x-level").map_or(1, |level| level.len() as u8);
        let address = form.address.map_or(String::new(), |address| format!(" of {address}"));
        let identity: Identity<Self> = Identity::new(&form.name)?;
        let name = identity.name.clone() + &address;
        let identity = match form.more.get("id") {
            Some(id) => Identity::with_id(PlayerId(id.to_string()), name),
            None => Identity::with_id(PlayerId(form.name.clone()), name),
        };
        Ok(Identity { profile: Profile { level }, account: 7, ..identity })
    }

    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player<Profile>,
        ask: Ask,
    ) -> Answer {
        match ask {
            Ask::Open { title } => reply(lobby.create::<Game>(from, None, Options { title })?),
            Ask::Send { player, room } => {
                let to = lobby.players().into_iter().find(|(to, _)| to.id.0 == player);
                let (player, _) = to.ok_or(Refusal::NOT_IN_ROOM)?;
                lobby.reroute_then(&player, &room, |server, _, sent| {
                    server.hooks.push(format!("sent {sent:?}"));
                });
                ok()
            }
            Ask::Square { n } => {
                let (tell, answer) = tokio::sync::oneshot::channel();
                lobby.compute(move |_| n * n, |_, _, square| _ = tell.send(square));
                deferred(async { answer.await.expect("a call").map_err(|_| Refusal::INTERNAL) })
            }
            Ask::Later { seconds } => {
                lobby.after(seconds * SECOND, |_, lobby| {
                    lobby.broadcast(News::Line("now".to_owned()));
                });
                ok()
            }
            Ask::Close { room } => lobby.close(&room, "Enough.").and_then(|()| ok()),
            Ask::Kick { player } => {
                lobby.kick(PlayerId(player), "Please be kind.");
                ok()
            }
            Ask::Tell { room, text } => {
                lobby.tell::<Game>(&room, ToRoom::Text(text)).and_then(|()| ok())
            }
            Ask::Hello => {
                lobby.send(from, News::Welcome { text: "hello".to_owned() });
                ok()
            }
            Ask::Panic => panic!("as asked"),
        }
    }

    fn on_arrive(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &Player<Profile>,
        how: Arrival<Self>,
    ) {
        let Arrival { account, returned, seat } = how;
        let returned = returned.map(|(_, reason)| reason.to_string());
        self.hooks.push(format!("on_arrive {} {account:?} {returned:?} {seat:?}", player.name));
        lobby.send_back(player);
    }

    fn on_leave(&mut self, _: &LobbyContext<Self>, player: &Player<Profile>) {
        self.hooks.push(format!("on_leave {}", player.name));
    }

    fn on_watch_players(
        &mut self,
        _: &LobbyContext<Self>,
        from: &Player<Profile>,
    ) -> Result<(), Refusal> {
        if from.name == "Eve" { Err(Refusal::NOT_ALLOWED) } else { Ok(()) }
    }

    fn on_stop(&mut self, _: &LobbyContext<Self>) {
        self.hooks.push("on_stop".to_owned());
    }
}

impl RoomManager<Game> for Server {
    fn on_room_ready(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>) {
        self.hooks.push(format!("on_room_ready {}", room.id));
    }

    fn on_room_message(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>, text: String) {
        self.hooks.push(format!("on_room_message {} {text}", room.id));
    }

    fn on_player_joined(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        player: &Player<Profile>,
    ) {
        self.hooks.push(format!("on_player_joined {} {}", room.id, player.name));
    }

    fn on_player_left(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        player: &Player<Profile>,
        reason: LeaveReason,
    ) {
        self.hooks.push(format!("on_player_left {} {} {reason}", room.id, player.name));
    }

    fn on_room_exit(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>, exit: Exit) {
        self.hooks.push(format!("on_room_exit {} {exit}", room.id));
    }
}
