//! The tests' game: a lobby that does what a test asks. Its rooms are in `room.rs`;
//! `channel_abuse.rs` has faults that abuse the channel to the lobby, and `faulty_room.rs` rooms
//! that break its protocol. With `STARTING` in the environment, `on_start` never returns; with
//! `REFUSES_START` it refuses while that file exists; with `BANS_AT_STOP` `on_stop` bans everyone
//! in the lobby, and many others. With `SCRIPTED` it runs the lobby and rooms of `scripted.rs`
//! instead, with `FEATURES` those of `features/`, with `MIRRORED` those of `mirrored.rs`, with
//! `OTHER_BUILD` those of `other_build.rs`, with `LOADTEST` a load test whose bots say that.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use cluster::testing::load::{LoadTest, View};
use cluster::{
    Answer, Arrival, Exit, Identity, Lobby, LobbyContext, Player, PlayerId, Refusal, Registration,
    RoomId, RoomInfo, RoomManager, deferred, ok, refuse, reply,
};
use mirrored::Mirror;
use queue::{Queue, Queued, Rules};
use room::{GameRoom, Options};
use scripted::Director;
use serde_json::{Value, json};
use tracing::info;

mod channel_abuse;
mod faulty_room;
mod features;
mod mirrored;
mod other_build;
#[path = "../../parts/queue.rs"]
mod queue;
mod room;
mod scripted;

const DEFAULTS: cluster::Defaults = cluster::Defaults { name: "game", port: 0, seats: 8 };

cluster::kinds!(GameLobby: GameRoom = "game");

fn main() -> ExitCode {
    let is_room = env::args_os().nth(1).is_some_and(|role| role == "room");
    match env::var("FAULTY") {
        Ok(how) if is_room && faulty_room::is_faulty() => faulty_room::run(&how),
        _ if env::var_os("SCRIPTED").is_some() => cluster::run::<Director>(DEFAULTS),
        _ if env::var_os("FEATURES").is_some() => features::run(DEFAULTS),
        _ if env::var_os("MIRRORED").is_some() => cluster::run::<Mirror>(DEFAULTS),
        _ if env::var_os("OTHER_BUILD").is_some() => {
            cluster::run::<other_build::OtherBuild>(DEFAULTS)
        }
        _ if env::var_os("LOADTEST").is_some() => load_test(),
        _ => cluster::run::<GameLobby>(DEFAULTS),
    }
}

/// `LOADTEST` is what the bots say, 20 times a second: the name of an event.
fn load_test() -> ExitCode {
    let event: &str = env::var("LOADTEST").unwrap_or_default().leak();
    let say = move |_: &View| Some((event, json!({ "n": 1 })));
    LoadTest::new::<GameLobby>(DEFAULTS).enter("best", json!({})).say(20.0, say).run()
}

cluster::messages! {
    /// Browser to lobby.
    enum Ask {
        /// Create a room.
        Open(NewRoom),
        /// Create a room and join it.
        Create(NewRoom),
        /// Join the fullest room of this title, or a new one.
        Best(NewRoom),
        JoinByCode {
            code: String,
        },
        /// Join with these others.
        Together {
            room: RoomId,
            with: Vec<Player>,
        },
        /// Join these players, without the requester.
        JoinFor {
            players: Vec<Player>,
            room: RoomId,
        },
        /// Reroute these players.
        SendThere {
            players: Vec<Player>,
            room: RoomId,
        },
        Tell {
            room: RoomId,
            text: String,
        },
        TellAll {
            text: String,
        },
        /// Send many messages of this size at once.
        TellMuch {
            room: RoomId,
            times: usize,
            bytes: usize,
        },
        /// The number of messages `flood` from rooms.
        Flooded,
        Lock {
            room: RoomId,
            locked: bool,
        },
        Close {
            room: RoomId,
            #[serde(default = "closed")]
            reason: String,
        },
        Kick {
            player: PlayerId,
            reason: String,
        },
        Ban {
            player: PlayerId,
            reason: String,
        },
        Unban {
            player: PlayerId,
        },
        Queue {
            kind: Kind,
        },
        Unqueue,
        List,
        /// All information on a room, including its code.
        About {
            room: RoomId,
        },
        /// The room in which a player, or the requester, has a seat.
        SeatOf {
            player: Option<PlayerId>,
        },
        /// The hooks that were called so far.
        Hooks,
        /// Run a computation for this time.
        Compute {
            ms: u64,
        },
        /// Block the event loop for this time, as no hook should.
        Block {
            ms: u64,
        },
        /// Square `n` by a timer, a future and a computation.
        Square {
            n: u64,
        },
        /// Call `play` for the player.
        PlayForMe,
        /// The same without an answer.
        PlayUnasked,
        /// The same, and the player is banned before `pick` is called.
        PlayAndBan,
        /// From now on `pick` panics.
        PanicInPick,
        Panic,
        /// Panic in a callback.
        PanicLater {
            from: String,
        },
    }

    #[serde(default, deny_unknown_fields)]
    struct NewRoom {
        capacity: usize,
        options: Options,
        private: bool,
        /// With the requester as host.
        hosted: bool,
        /// Sent to the room before it can be ready.
        tell: Vec<String>,
    }

    /// What players queue for.
    #[derive(Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Kind {
        /// Two players, however long it takes.
        Duel,
        /// Four players, or after a moment at least two.
        Crowd,
    }

    /// Lobby to browser.
    enum News {
        Ready { room: RoomId },
        Said { room: RoomId, text: String },
        Exited { room: RoomId, how: String, winner: Option<String> },
        Place { place: usize, waiting: usize },
        Squared { how: String, n: u64 },
    }
}

fn closed() -> String {
    "closed".to_owned()
}

impl Default for NewRoom {
    fn default() -> Self {
        let (private, hosted) = (false, false);
        NewRoom { capacity: 8, options: Options::default(), private, hosted, tell: vec![] }
    }
}

#[derive(Default)]
struct GameLobby {
    queue: Queue<Kind>,
    flooded: u64,
    hooks: Vec<String>,
    /// The outcomes of finished rooms.
    winners: HashMap<RoomId, String>,
    panics_in_pick: bool,
}

impl Lobby for GameLobby {
    cluster::lobby_types! {
        type Request = Ask;
        type Event = News;
    }

    async fn on_start(&mut self, _: &LobbyContext<Self>) -> Result<(), Refusal> {
        self.note("on_start".to_owned());
        if env::var_os("STARTING").is_some() {
            return std::future::pending().await;
        }
        match env::var_os("REFUSES_START").is_some_and(|file| Path::new(&file).exists()) {
            true => Err(refuse("no_database", "The database is away.")),
            false => Ok(()),
        }
    }

    /// Accepts any id and name. Some registrations are never answered.
    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        if form.more.contains_key("never") {
            return std::future::pending().await;
        }
        match form.more.get("id").and_then(Value::as_str) {
            Some(id) => Ok(Identity::with_id(PlayerId(id.to_owned()), form.name)),
            None => Identity::new(&form.name),
        }
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, asked: Ask) -> Answer {
        match asked {
            Ask::Open(new) => reply(open(lobby, from, new)?),
            Ask::Create(new) => lobby.join(from, &open(lobby, from, new)?),
            Ask::Best(new) => {
                if let Some(room) = lobby.seat_of(from) {
                    return lobby.join(from, &room);
                }
                let open = lobby.open_rooms::<GameRoom>(1).into_iter();
                let fitting = open.filter(|room| room.options.title == new.options.title);
                let room = match fitting.max_by_key(|room| room.players) {
                    Some(room) => room.id,
                    None => lobby.create::<GameRoom>(from, new.capacity, new.options)?,
                };
                lobby.join(from, &room)
            }
            Ask::JoinByCode { code } => lobby.join_by_code(from, &code),
            Ask::Together { room, with } => lobby.join([vec![from.clone()], with].concat(), &room),
            Ask::JoinFor { players, room } => lobby.join(players, &room),
            Ask::SendThere { players, room } => {
                lobby.reroute(players, &room);
                ok()
            }
            Ask::Tell { room, text } => lobby.tell::<GameRoom>(&room, text).and_then(|()| ok()),
            Ask::TellMuch { room, times, bytes } => {
                let mut tells =
                    (0..times).map(|_| lobby.tell::<GameRoom>(&room, "x".repeat(bytes)));
                tells.try_for_each(|told| told).and_then(|()| ok())
            }
            Ask::Flooded => reply(self.flooded),
            Ask::TellAll { text } => lobby.tell_all::<GameRoom>(text).and_then(|()| ok()),
            Ask::Lock { room, locked } => lobby.lock(&room, locked).and_then(|()| ok()),
            Ask::Close { room, reason } => lobby.close(&room, &reason).and_then(|()| ok()),
            Ask::Kick { player, reason } => {
                lobby.kick(player, &reason);
                ok()
            }
            Ask::Ban { player, reason } => {
                lobby.ban(player, &reason);
                ok()
            }
            Ask::Unban { player } => {
                lobby.unban(player);
                ok()
            }
            Ask::Queue { kind } => self.enqueue(lobby, from, kind),
            Ask::Unqueue => {
                self.dequeue(lobby, from);
                ok()
            }
            Ask::List => reply(lobby.rooms::<GameRoom>()),
            Ask::About { room } => {
                let room = lobby.room::<GameRoom>(&room).ok_or(Refusal::NO_SUCH_ROOM)?;
                reply(json!({
                    "host": room.host, "code": room.code, "players": room.players,
                    "locked": room.locked,
                }))
            }
            Ask::SeatOf { player } => reply(lobby.seat_of(player.as_ref().unwrap_or(&from.id))),
            Ask::Hooks => reply(&self.hooks),
            Ask::Compute { ms } => {
                lobby.compute(move |_| thread::sleep(Duration::from_millis(ms)), |_, _, _| {});
                ok()
            }
            Ask::Block { ms } => {
                info!("blocking");
                thread::sleep(Duration::from_millis(ms));
                ok()
            }
            Ask::Square { n } => {
                square(lobby, from, n);
                ok()
            }
            Ask::PlayForMe => lobby.play::<GameRoom>(from),
            Ask::PlayUnasked => {
                drop(lobby.play::<GameRoom>(from));
                ok()
            }
            Ask::PlayAndBan => {
                drop(lobby.play::<GameRoom>(from));
                lobby.ban(from, "not you");
                ok()
            }
            Ask::PanicInPick => {
                self.panics_in_pick = true;
                ok()
            }
            Ask::Panic => panic!("as asked"),
            Ask::PanicLater { from } => match from.as_str() {
                "future" => {
                    lobby.spawn(async { panic!("as asked") }, |_, _, ()| {});
                    ok()
                }
                _ => deferred::<()>(async { panic!("as asked") }),
            },
        }
    }

    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival<Self>) {
        let how = match how {
            Arrival { account: Some(()), .. } => "new".to_owned(),
            Arrival { returned: Some((_, reason)), .. } => reason.to_string(),
            _ => "resumed".to_owned(),
        };
        self.note(format!("on_arrive {} {how}", player.name));
        // As the default does.
        if let Some(room) = lobby.seat_of(player) {
            lobby.reroute(player, &room);
        }
    }

    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
        self.note(format!("on_leave {}", player.name));
        self.dequeue(lobby, player);
    }

    fn on_stop(&mut self, lobby: &LobbyContext<Self>) {
        info!("on_stop");
        if env::var_os("BANS_AT_STOP").is_some() {
            (0..500).for_each(|n| lobby.ban(PlayerId(format!("nobody {n}")), "Not you."));
            lobby.players().iter().for_each(|(player, _)| lobby.ban(player, "Not you."));
        }
    }
}

impl RoomManager<GameRoom> for GameLobby {
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        assert!(!self.panics_in_pick, "as asked");
        // As the default does.
        match lobby.fullest::<GameRoom>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<GameRoom>(player, None, Options::default()),
        }
    }

    fn on_room_ready(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<GameRoom>) {
        lobby.broadcast(News::Ready { room: room.id.clone() });
    }

    fn on_room_adopted(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<GameRoom>) {
        self.note(format!("on_room_adopted {} {}", room.id, room.players));
    }

    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<GameRoom>,
        text: String,
    ) {
        if text.trim_end() == "flood" {
            return self.flooded += 1;
        }
        if let Some(winner) = text.strip_prefix("the winner is ") {
            self.winners.insert(room.id.clone(), winner.to_owned());
            return;
        }
        info!(room = %room.id, text, "said");
        lobby.broadcast(News::Said { room: room.id.clone(), text });
    }

    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<GameRoom>, exit: Exit) {
        let winner = self.winners.remove(&room.id);
        lobby.broadcast(News::Exited { room: room.id.clone(), how: exit.to_string(), winner });
    }
}

impl GameLobby {
    /// Bounded, as tests also measure the lobby's memory.
    fn note(&mut self, hook: String) {
        if self.hooks.len() < 1000 {
            self.hooks.push(hook);
        }
    }
}

impl Queued<GameRoom> for GameLobby {
    type Kind = Kind;

    fn queue(&mut self) -> &mut Queue<Kind> {
        &mut self.queue
    }

    fn rules(&self, kind: &Kind) -> Rules {
        match kind {
            Kind::Duel => Rules { size: 2, fewest: 2, patience: Duration::from_secs(3600) },
            Kind::Crowd => Rules { size: 4, fewest: 2, patience: Duration::from_millis(300) },
        }
    }

    fn options(&self, kind: &Kind, players: &[Player]) -> Options {
        let title = format!("{kind:?} of {}", players.len());
        Options { title, ..Options::default() }
    }

    fn place(&self, place: usize, waiting: usize) -> News {
        News::Place { place, waiting }
    }
}

fn open(lobby: &LobbyContext<GameLobby>, from: &Player, new: NewRoom) -> Result<RoomId, Refusal> {
    let host = new.hosted.then_some(from);
    let room = match new.private {
        true => lobby.create_private::<GameRoom>(host, new.capacity, new.options)?,
        false => lobby.create::<GameRoom>(host, new.capacity, new.options)?,
    };
    new.tell.into_iter().try_for_each(|text| lobby.tell::<GameRoom>(&room, text))?;
    Ok(room)
}

fn square(lobby: &LobbyContext<GameLobby>, from: &Player, n: u64) {
    let tell = |how: &'static str| {
        let from = from.clone();
        move |lobby: &LobbyContext<GameLobby>, n| {
            lobby.send(&from, News::Squared { how: how.to_owned(), n })
        }
    };
    let (by_thread, by_future, once, again) =
        (tell("compute"), tell("spawn"), tell("after"), tell("every"));
    lobby.compute(move |_| n * n, move |_, lobby, n| by_thread(lobby, n.unwrap_or(0)));
    lobby.spawn(async move { n * n }, move |_, lobby, n| by_future(lobby, n));
    let moment = Duration::from_millis(20);
    let repeated = lobby.every(moment, move |_, lobby| again(lobby, n * n));
    lobby.after(5 * moment, move |_, lobby| {
        lobby.cancel(repeated);
        once(lobby, n * n);
    });
}
