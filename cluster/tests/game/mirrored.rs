//! A lobby that notes each call of its hooks, and its rooms, which do what a player in them asks.
//! Used by the game when `MIRRORED` is set; `test_lobby_agrees.rs` runs the same lobby in a
//! `TestLobby`.

use std::time::Duration;

use cluster::{
    Answer, Arrival, Exit, Identity, LeaveReason, Lobby, LobbyContext, Place, Player as Who,
    PlayerId, Refusal, Registration, Room, RoomContext, RoomId, RoomInfo, RoomManager, deferred,
    ok, refuse, reply,
};
use serde_json::json;

type Player = Who<Profile>;

cluster::messages! {
    #[derive(Default, PartialEq)]
    pub struct Profile {
        pub level: u32,
    }

    #[derive(Default)]
    #[serde(default)]
    pub struct Options {
        pub title: String,
        /// For how long the seat of a disconnected player is kept.
        pub grace_ms: Option<u64>,
        /// `on_open` refuses.
        pub refuses: bool,
        pub seats: Option<usize>,
        pub private: bool,
    }

    #[derive(Default)]
    pub struct Listing {
        pub title: String,
    }

    #[derive(Default)]
    pub struct Side {
        pub side: u8,
    }

    /// Page to lobby.
    pub enum Ask {
        /// The calls of hooks since the last time.
        Hooks,
        Open(Options),
        /// Open a room and join it.
        Create(Options),
        JoinWith { room: RoomId, side: u8 },
        Together { room: RoomId, with: Vec<PlayerId> },
        SendThere { room: RoomId, players: Vec<PlayerId> },
        PlayForMe,
        Tell { room: RoomId, text: String },
        TellAll { text: String },
        Lock { room: RoomId, locked: bool },
        Close { room: RoomId },
        Kick { player: PlayerId },
        Ban { player: PlayerId },
        Unban { player: PlayerId },
        SetProfile { level: u32 },
        Code { room: RoomId },
        Where { player: PlayerId },
        List,
        /// Say the square, by a computation.
        Square { n: u64 },
        /// Answer with the square, by a computation.
        SquareLater { n: u64 },
        /// Say something, by a timer.
        After { ms: u64 },
        Shout { text: String },
    }

    /// Lobby to page.
    pub enum News {
        Line(String),
    }

    /// Page to room.
    pub enum Act {
        TellLobby { text: String },
        SendToLobby { reason: String },
        SendToRoom { room: RoomId },
        Kick { player: PlayerId },
        Lock { locked: bool },
        List { title: String },
        Finish,
        Crash,
        /// From now on everybody is refused, or nobody.
        Refuse { refuses: bool },
        /// What the lobby has said, and the side of the player who asks.
        Told,
    }
}

#[derive(Default)]
pub struct Mirror {
    hooks: Vec<String>,
}

cluster::kinds!(Mirror: MirrorRoom = "mirror");

impl Lobby for Mirror {
    cluster::lobby_types! {
        type Profile = Profile;
        type Account = String;
        type Request = Ask;
        type Event = News;
    }

    async fn on_start(&mut self, _: &LobbyContext<Self>) -> Result<(), Refusal> {
        self.hooks.push("on_start".to_owned());
        Ok(())
    }

    /// A player's id is their name.
    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        if form.name.is_empty() {
            return Err(refuse("no_name", "Who?"));
        }
        let (profile, account) = (Profile { level: 1 }, form.name.to_lowercase());
        let id = PlayerId(form.name.clone());
        Ok(Identity { profile, account, ..Identity::with_id(id, form.name) })
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, ask: Ask) -> Answer {
        match ask {
            Ask::Hooks => return reply(std::mem::take(&mut self.hooks)),
            Ask::Open(options) => return reply(open(lobby, from, options)?),
            Ask::Create(options) => return lobby.join(from, &open(lobby, from, options)?),
            Ask::JoinWith { room, side } => {
                return lobby.join_with::<MirrorRoom>(from, &room, |_| Side { side });
            }
            Ask::Together { room, with } => {
                let others = known(lobby, &with);
                return lobby.join([vec![from.clone()], others].concat(), &room);
            }
            Ask::SendThere { room, players } => {
                lobby.reroute_then(known(lobby, &players), &room, |mirror, _, sent| {
                    let sent = sent.map_err(|refusal| refusal.code().to_owned());
                    mirror.hooks.push(format!("sent {sent:?}"));
                });
            }
            Ask::PlayForMe => return lobby.play::<MirrorRoom>(from),
            Ask::Tell { room, text } => lobby.tell::<MirrorRoom>(&room, text)?,
            Ask::TellAll { text } => lobby.tell_all::<MirrorRoom>(text)?,
            Ask::Lock { room, locked } => lobby.lock(&room, locked)?,
            Ask::Close { room } => lobby.close(&room, "Enough.")?,
            Ask::Kick { player } => lobby.kick(player, "Please be kind."),
            Ask::Ban { player } => lobby.ban(player, "For good."),
            Ask::Unban { player } => lobby.unban(player),
            Ask::SetProfile { level } => lobby.set_profile(from, Profile { level })?,
            Ask::Code { room } => {
                return reply(lobby.room::<MirrorRoom>(&room).and_then(|room| room.code));
            }
            Ask::Where { player } => return reply(place(lobby.find(player))),
            Ask::List => return reply(lobby.rooms::<MirrorRoom>()),
            Ask::Square { n } => {
                lobby.compute(
                    move |_| n * n,
                    |_, lobby, square| {
                        lobby.broadcast(News::Line(format!("{square:?}")));
                    },
                );
            }
            Ask::SquareLater { n } => {
                let (tell, answer) = tokio::sync::oneshot::channel();
                lobby.compute(move |_| n * n, |_, _, square| _ = tell.send(square));
                return deferred(async {
                    answer.await.expect("a call").map_err(|_| Refusal::INTERNAL)
                });
            }
            Ask::After { ms } => {
                let from = from.clone();
                lobby.after(Duration::from_millis(ms), move |mirror, lobby| {
                    mirror.hooks.push("timer".to_owned());
                    lobby.send(&from, News::Line("later".to_owned()));
                });
            }
            Ask::Shout { text } => lobby.broadcast(News::Line(text)),
        }
        ok()
    }

    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival<Self>) {
        let Arrival { account, returned, seat } = how;
        let level = player.profile.level;
        self.hooks
            .push(format!("on_arrive {} {level} {account:?} {returned:?} {seat:?}", player.id));
        lobby.send_back(player);
    }

    fn on_leave(&mut self, _: &LobbyContext<Self>, player: &Player) {
        self.hooks.push(format!("on_leave {}", player.id));
    }

    fn on_watch_players(&mut self, _: &LobbyContext<Self>, from: &Player) -> Result<(), Refusal> {
        if from.name == "EVE" { Err(Refusal::NOT_ALLOWED) } else { Ok(()) }
    }
}

impl Mirror {
    fn note(&mut self, hook: &str, room: &RoomInfo<MirrorRoom>, about: impl std::fmt::Display) {
        let RoomInfo { id, players, capacity, locked, options, .. } = room;
        let counts = format!("{players} of {capacity}, locked: {locked}");
        self.hooks.push(format!("{hook} {id} '{}' {counts}: {about}", options.title));
    }
}

impl RoomManager<MirrorRoom> for Mirror {
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        self.hooks.push(format!("pick {}", player.id));
        match lobby.fullest::<MirrorRoom>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<MirrorRoom>(player, None, Options::default()),
        }
    }

    fn on_room_ready(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<MirrorRoom>) {
        self.hooks.push(format!("on_room_ready {}", room.id));
    }

    fn on_room_message(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<MirrorRoom>,
        text: String,
    ) {
        self.note("on_room_message", room, text);
    }

    fn on_player_joined(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<MirrorRoom>,
        player: &Player,
    ) {
        self.note("on_player_joined", room, &player.id);
    }

    fn on_player_left(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<MirrorRoom>,
        player: &Player,
        reason: LeaveReason,
    ) {
        // How many others are left depends on how fast they are.
        self.hooks.push(format!("on_player_left {} {} {reason:?}", room.id, player.id));
    }

    fn on_room_exit(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<MirrorRoom>, exit: Exit) {
        self.note("on_room_exit", room, exit);
    }
}

fn open(lobby: &LobbyContext<Mirror>, from: &Player, options: Options) -> Result<RoomId, Refusal> {
    let seats = options.seats;
    match options.private {
        true => lobby.create_private::<MirrorRoom>(from, seats, options),
        false => lobby.create::<MirrorRoom>(from, seats, options),
    }
}

fn known(lobby: &LobbyContext<Mirror>, ids: &[PlayerId]) -> Vec<Player> {
    let players = lobby.players().into_iter().map(|(player, _)| player);
    players.filter(|player| ids.contains(&player.id)).collect()
}

fn place(place: Option<Place>) -> serde_json::Value {
    match place {
        None => json!(null),
        Some(Place::Lobby) => json!("lobby"),
        Some(Place::OnTheWay(room)) => json!(["on the way", room]),
        Some(Place::Room(room)) => json!(["room", room]),
        Some(Place::Away { room, .. }) => json!(["away", room]),
    }
}

pub struct MirrorRoom {
    grace: Option<Duration>,
    refuses: bool,
    told: Vec<String>,
}

impl Room for MirrorRoom {
    cluster::room_types! {
        type Options = Options;
        type Listing = Listing;
        type Profile = Profile;
        type JoinOptions = Side;
        type Request = Act;
        type FromLobby = String;
        type ToLobby = String;
    }

    async fn on_open(options: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        if options.refuses {
            return Err(refuse("not_now", "Not now."));
        }
        let grace = options.grace_ms.map(Duration::from_millis);
        Ok(MirrorRoom { grace, refuses: false, told: vec![] })
    }

    fn on_admit(&mut self, _: &RoomContext<Self>, _: &Player) -> Result<(), Refusal> {
        if self.refuses { Err(refuse("not_you", "Not you.")) } else { Ok(()) }
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        self.grace
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, act: Act) -> Answer {
        match act {
            Act::TellLobby { text } => room.tell_lobby(text)?,
            Act::SendToLobby { reason } => room.send_to_lobby(from, &reason),
            Act::SendToRoom { room: to } => room.send_to_room(from, &to),
            Act::Kick { player } => room.kick(player, "out"),
            Act::Lock { locked } => room.lock(locked),
            Act::List { title } => room.set_listing(Listing { title }),
            Act::Finish => room.close(),
            Act::Crash => panic!("as asked"),
            Act::Refuse { refuses } => self.refuses = refuses,
            Act::Told => return reply((&self.told, room.join_options(from).side)),
        }
        ok()
    }

    fn on_lobby_message(&mut self, _: &RoomContext<Self>, text: String) {
        self.told.push(text);
    }
}
