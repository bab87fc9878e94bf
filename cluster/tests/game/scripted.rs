//! A room whose hooks follow a script and report each call to the lobby; and its lobby. Used by the
//! game when `SCRIPTED` is set, and by `test_room_agrees.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use cluster::{
    Answer, Arrival, Bytes, Exit, Identity, LeaveReason, Lobby, LobbyContext, PlayerId, Refusal,
    Registration, Room, RoomContext, RoomId, RoomInfo, RoomManager, deferred, ok, refuse, reply,
};
use serde_json::{Value, json};

pub type Player = cluster::Player<Mood>;

cluster::messages! {
    /// The profile.
    #[derive(Default, PartialEq)]
    pub struct Mood {
        pub mood: Option<u8>,
    }

    /// Join options.
    #[derive(Default)]
    pub struct Side {
        pub side: Option<u8>,
    }

    #[derive(Default)]
    pub struct Listing {
        pub listed: Value,
    }

    pub struct State {
        pub shown: Value,
    }

    /// What a hook does at its next call.
    pub struct Plan {
        pub hook: String,
        pub acts: Vec<Act>,
    }

    pub enum Act {
        Plan(Plan),
        Broadcast(Value),
        Volatile(Value),
        Send(PlayerId, Value),
        Except(PlayerId, Value),
        Bytes(Vec<u8>),
        Sync,
        /// From now on the room has this state; `null`: none.
        State(Value),
        List(Value),
        TellLobby(Value),
        SendToLobby(PlayerId),
        SendToRoom(PlayerId, RoomId),
        Kick(PlayerId),
        Ban(PlayerId),
        Lock(bool),
        /// In milliseconds, like all times here.
        EmptyTimeout(Option<u64>),
        /// The grace period that `on_disconnect` returns from now on.
        Grace(Option<u64>),
        /// Finishes the room with this outcome.
        Close(Value),
        Panic,
        /// Returns from the hook, with a refusal if it can refuse.
        Refuse,
        /// Later, in a callback.
        After(u64, Vec<Act>),
        Spawn(Vec<Act>),
        Compute(Vec<Act>),
        ComputePanic,
        /// One tick.
        Tick,
    }

    /// How a request is answered.
    pub enum How {
        Done,
        Now(Value),
        Later(Value),
        ByCompute(Value),
        LaterRefused,
        LaterPanic,
    }

    pub enum Request {
        Do {
            acts: Vec<Act>,
            how: How,
        },
        Pick(Option<u8>),
        Text(String),
        /// Only answered: marks that all earlier events have arrived.
        Mark,
    }

    pub enum Event {
        Said(Value),
        /// Volatile.
        Brief(Value),
        Shown {
            hooks: u64,
        },
    }

    pub enum Told {
        Do(Vec<Act>),
        /// Only sent back to the lobby: marks that all earlier messages have arrived.
        Mark(u64),
    }

    /// The plans of a room; no plans are `null`.
    #[derive(Default)]
    #[serde(transparent)]
    pub struct Plans(pub Option<Vec<Plan>>);
}

pub struct Scripted {
    plans: RefCell<Vec<Plan>>,
    grace: Option<Duration>,
    shown: Value,
    hooks: u64,
}

impl Room for Scripted {
    cluster::room_types! {
        type Options = Plans;
        type Listing = Listing;
        type Profile = Mood;
        type JoinOptions = Side;
        type Request = Request;
        type Event = Event;
        type State = State;
        type FromLobby = Option<Told>;
        type ToLobby = Value;
    }

    async fn on_open(plans: Self::Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        // A sync takes effect at once: how much time passes until the next differs.
        room.set_sync_rate(u32::MAX);
        let plans = RefCell::new(plans.0.unwrap_or_default());
        let mut game = Scripted { plans, grace: None, shown: Value::Null, hooks: 0 };
        game.hook(room, "on_open", "")?;
        Ok(game)
    }

    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        self.hook(room, "on_admit", &player.name)
    }

    fn state(&self, _: &RoomContext<Self>) -> Option<State> {
        self.panic_if_planned("state");
        (!self.shown.is_null()).then(|| State { shown: self.shown.clone() })
    }

    fn snapshot(&self, _: &RoomContext<Self>, _: &Player) -> Option<Event> {
        self.panic_if_planned("snapshot");
        Some(Event::Shown { hooks: self.hooks })
    }

    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        let _ = self.hook(room, "on_join", &player.name);
    }

    fn on_disconnect(&mut self, room: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        let _ = self.hook(room, "on_disconnect", &player.name);
        self.grace
    }

    fn on_reconnect(&mut self, room: &RoomContext<Self>, player: &Player) {
        let _ = self.hook(room, "on_reconnect", &player.name);
    }

    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, why: LeaveReason) {
        let _ = self.hook(room, "on_leave", &format!("{} {why:?}", player.name));
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
        room.set_tick_rate(0);
        let _ = self.hook(room, "on_tick", "");
    }

    fn on_binary(&mut self, room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        self.hook(room, "on_binary", &format!("{} {}", from.name, data.len()))?;
        reply(data.len())
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, request: Request) -> Answer {
        let (acts, how) = match request {
            Request::Mark => return ok(),
            Request::Do { acts, how } => (acts, how),
            Request::Pick(number) => (vec![], How::Now(json!(number))),
            Request::Text(text) => (vec![], How::Now(json!(text.len()))),
        };
        self.hook(room, "on_request", &from.name)?;
        self.act(room, acts)?;
        match how {
            How::Done => ok(),
            How::Now(value) => reply(value),
            How::Later(value) => deferred(async { Ok(value) }),
            How::ByCompute(value) => {
                let (tell, told) = tokio::sync::oneshot::channel();
                room.compute(move |_| value, |_, _, value| drop(tell.send(value)));
                deferred(async { told.await.expect("a call").map_err(|_| Refusal::INTERNAL) })
            }
            How::LaterRefused => deferred::<()>(async { Err(refuse("not_now", "Later.")) }),
            How::LaterPanic => deferred::<()>(async { panic!("as planned") }),
        }
    }

    fn on_lobby_message(&mut self, room: &RoomContext<Self>, told: Option<Told>) {
        let acts = match told {
            Some(Told::Mark(n)) => {
                return room.tell_lobby(json!({ "mark": n })).expect("a small message");
            }
            Some(Told::Do(acts)) => acts,
            None => vec![],
        };
        let _ = self.hook(room, "on_lobby_message", "");
        let _ = self.act(room, acts);
    }

    fn on_drain(&mut self, room: &RoomContext<Self>, left: Duration) {
        let _ = self.hook(room, "on_drain", &format!("{left:?}"));
    }

    async fn on_dispose(self) {
        DISPOSED.with_borrow_mut(|count| *count += 1);
        println!("on_dispose");
        self.panic_if_planned("on_dispose");
    }
}

thread_local! {
    /// The number of rooms on this thread whose `on_dispose` was called.
    pub static DISPOSED: RefCell<usize> = const { RefCell::new(0) };
}

impl Scripted {
    /// Reports the call of the hook and its context, and does what is planned.
    fn hook(&mut self, room: &RoomContext<Self>, hook: &str, about: &str) -> Result<(), Refusal> {
        self.hooks += 1;
        let players = room.players();
        let here = |player: &Player| if room.is_here(player) { "" } else { " (away)" };
        room.tell_lobby(json!({
            "hook": format!("{hook} {about}"),
            "players":
                players.iter().map(|who| format!("{}{}", who.name, here(who))).collect::<Vec<_>>(),
            "moods": players.iter().map(|who| who.profile.mood).collect::<Vec<_>>(),
            "sides": players.iter().map(|who| room.join_options(who).side).collect::<Vec<_>>(),
            "expected": room.expected().iter().map(|who| &who.name).collect::<Vec<_>>(),
            "locked": room.is_locked(),
            "full": room.is_full(),
        }))?;
        let acts = self.take_plan(hook);
        self.act(room, acts)
    }

    fn take_plan(&self, hook: &str) -> Vec<Act> {
        let mut plans = self.plans.borrow_mut();
        let planned = plans.iter().position(|plan| plan.hook == hook);
        planned.map(|at| plans.remove(at).acts).unwrap_or_default()
    }

    fn panic_if_planned(&self, hook: &str) {
        let acts = self.take_plan(hook);
        assert!(!acts.iter().any(|act| matches!(act, Act::Panic)), "as planned");
    }

    fn act(&mut self, room: &RoomContext<Self>, acts: Vec<Act>) -> Result<(), Refusal> {
        let time = Duration::from_millis;
        for act in acts {
            match act {
                Act::Plan(plan) => self.plans.borrow_mut().push(plan),
                Act::Broadcast(data) => room.broadcast(Event::Said(data)),
                Act::Volatile(data) => room.broadcast_volatile(Event::Brief(data)),
                Act::Send(to, data) => room.send(to, Event::Said(data)),
                Act::Except(who, data) => room.broadcast_except(who, Event::Said(data)),
                Act::Bytes(bytes) => room.broadcast_binary(bytes),
                Act::Sync => room.sync(),
                Act::State(shown) => self.shown = shown,
                Act::List(listed) => room.set_listing(Listing { listed }),
                Act::TellLobby(data) => room.tell_lobby(data)?,
                Act::SendToLobby(player) => room.send_to_lobby(player, "won"),
                Act::SendToRoom(player, to) => room.send_to_room(player, &to),
                Act::Kick(player) => room.kick(player, "out"),
                Act::Ban(player) => room.ban(player, "for good"),
                Act::Lock(locked) => room.lock(locked),
                Act::EmptyTimeout(ms) => room.set_empty_timeout(ms.map(time)),
                Act::Grace(ms) => self.grace = ms.map(time),
                Act::Close(last) => {
                    room.tell_lobby(last)?;
                    room.close();
                }
                Act::Panic => panic!("as planned"),
                Act::Refuse => return Err(refuse("no", "Not now.")),
                Act::After(ms, acts) => {
                    room.after(time(ms), |game, room| game.again(room, "timer", acts));
                }
                Act::Spawn(acts) => {
                    room.spawn(async {}, |game, room, ()| game.again(room, "spawn", acts));
                }
                Act::Compute(acts) => {
                    room.compute(|_| (), |game, room, _| game.again(room, "compute", acts));
                }
                Act::ComputePanic => {
                    let work = |_: &_| panic!("as planned");
                    room.compute(work, |game, room, result: Result<(), _>| {
                        let acts = vec![Act::TellLobby(json!(result.is_ok()))];
                        game.again(room, "compute", acts);
                    });
                }
                Act::Tick => room.set_tick_rate(100),
            }
        }
        Ok(())
    }

    fn again(&mut self, room: &RoomContext<Self>, from: &str, acts: Vec<Act>) {
        let _ = self.hook(room, from, "");
        let _ = self.act(room, acts);
    }
}

/// How a room has ended, as JSON.
pub fn exit_value(exit: Exit) -> Value {
    match exit {
        Exit::Crashed(what) => json!({ "crashed": what }),
        Exit::NeverReady(why) => json!({ "never_ready": why }),
        other => json!(other.to_string()),
    }
}

cluster::messages! {
    pub enum Ask {
        Open {
            seats: usize,
            plans: Option<Vec<Plan>>,
        },
        Tell {
            room: RoomId,
            told: Option<Told>,
        },
        Close {
            room: RoomId,
        },
        Kick {
            player: PlayerId,
        },
        /// Join, on this side.
        JoinWith {
            room: RoomId,
            side: Side,
        },
        SetProfile {
            player: PlayerId,
            mood: Mood,
        },
        /// What the room shows; nothing once it has exited.
        Listing {
            room: RoomId,
        },
        /// Whether this player is in the lobby.
        IsHere {
            player: PlayerId,
        },
    }

    pub enum News {
        Said { room: RoomId, what: Value },
        Exited { room: RoomId, exit: Value },
    }
}

/// Forwards a room's messages to the player who opened it.
#[derive(Default)]
pub struct Director {
    opened: HashMap<RoomId, PlayerId>,
}

impl Lobby for Director {
    cluster::lobby_types! {
        type Profile = Mood;
        type Request = Ask;
        type Event = News;
    }

    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        let id = form.more.get("id").and_then(Value::as_str).unwrap_or(&form.name).to_owned();
        Ok(Identity::with_id(PlayerId(id), form.name))
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, asked: Ask) -> Answer {
        match asked {
            Ask::Open { seats, plans } => {
                let room = lobby.create::<Scripted>(None, seats, Plans(plans))?;
                self.opened.insert(room.clone(), from.id.clone());
                return reply(room);
            }
            Ask::Tell { room, told } => lobby.tell::<Scripted>(&room, told)?,
            Ask::Close { room } => lobby.close(&room, "closed")?,
            Ask::Kick { player } => lobby.kick(player, "by the lobby"),
            Ask::JoinWith { room, side } => {
                return lobby.join_with::<Scripted>(from, &room, |_| side.clone());
            }
            Ask::SetProfile { player, mood } => lobby.set_profile(player, mood)?,
            Ask::Listing { room } => {
                return reply(lobby.room::<Scripted>(&room).map(|room| room.listing.listed));
            }
            Ask::IsHere { player } => return reply(lobby.is_here(player)),
        }
        ok()
    }

    /// Players ask for their seats themselves.
    fn on_arrive(&mut self, _: &LobbyContext<Self>, _: &Player, _: Arrival<Self>) {}
}

cluster::kinds!(Director: Scripted = "scripted");

impl RoomManager<Scripted> for Director {
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<Scripted>,
        what: Value,
    ) {
        if let Some(to) = self.opened.get(&room.id) {
            lobby.send(to, News::Said { room: room.id.clone(), what });
        }
    }

    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Scripted>, exit: Exit) {
        if let Some(to) = self.opened.remove(&room.id) {
            let exit = exit_value(exit);
            lobby.send(&to, News::Exited { room: room.id.clone(), exit });
        }
    }
}
