//! A lobby under test: the lobby's event handler and registry, driven by a test. `players.rs` has
//! what pages do, `rooms.rs` what the test does in place of rooms, `played_room.rs` what a room
//! answers by itself, `channel.rs` its channel; `driver.rs` passes on what one says to the other.

mod channel;
mod driver;
mod played_room;
mod players;
mod rooms;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use self::channel::Channel;
use self::played_room::PlayedRoom;
use self::players::{Page, Told};
use crate::auth::Tokens;
use crate::config::Settings;
use crate::config::settings::Defaults;
use crate::lobby::event_loop::OWN_REQUESTS;
use crate::lobby::{Kinds, LobbyContext};
use crate::process::ProcessEvent;
use crate::routing::GatewayRoutes;
use crate::socketio::{Conn, ConnId, events};
use crate::testing::Sent;
use crate::types::{PlayerId, Refusal, RoomId, refuse};

/// Signs the tokens of all test lobbies.
const KEY: [u8; 32] = [7; 32];

/// A lobby under test, with the hooks of `server.rs` and `room_manager.rs`. Nothing happens by
/// itself, only by the test's calls. The test also plays the rooms, which have no hooks here.
///
/// ```
/// # use std::time::Duration;
/// # use cluster::{Answer, Defaults, Lobby, LobbyContext, Player, Refusal, Room, RoomContext};
/// # use cluster::{RoomId, RoomInfo, RoomManager, ok};
/// use cluster::testing::TestLobby;
/// use serde_json::json;
///
/// # cluster::messages! {
/// #     pub enum News { Line(String) }
/// #     pub enum ToLobby { Won(String) }
/// # }
/// # struct Duel;
/// # impl Room for Duel {
/// #     cluster::room_types! { type ToLobby = ToLobby; }
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Duel) }
/// # }
/// # #[derive(Default)]
/// # struct Server;
/// # impl Lobby for Server { cluster::lobby_types! { type Event = News; } }
/// # cluster::kinds!(Server: Duel = "duel");
/// # impl RoomManager<Duel> for Server {
/// #     fn on_room_message(
/// #         &mut self, lobby: &LobbyContext<Self>, _: &RoomInfo<Duel>, ToLobby::Won(name): ToLobby,
/// #     ) {
/// #         lobby.broadcast(News::Line(format!("{name} has won.")));
/// #     }
/// # }
/// # const DEFAULTS: Defaults = Defaults { name: "duels", port: 0, seats: 2 };
/// let mut lobby = TestLobby::<Server>::start(DEFAULTS);
/// let (ann, bob) = (lobby.player("Ann"), lobby.player("Bob"));
/// lobby.ask(&ann, "play", json!({})).unwrap();
/// let room = lobby.enter(&ann);
/// lobby.tell_lobby::<Duel>(&room, ToLobby::Won("Ann".to_owned()));
/// assert_eq!(lobby.last(&bob, "line"), Some(&json!("Ann has won.")));
/// ```
///
/// It is the same code as in the lobby's process, down to what is sent to pages and to rooms: hooks
/// are called, requests answered and seats given as with real rooms, in the same order; a test of
/// the structure compares the two. What differs, and why:
///
/// - **Rooms** are played by the test. By default a new room is ready at once and admits everyone;
///   [`hold_rooms`](Self::hold_rooms) and [`refuse_joins`](Self::refuse_joins) change that. It
///   keeps seats, tickets and grace periods as a real one, closes when it is empty for too long or
///   was asked to, and does nothing else by itself.
/// - **Time** passes only in [`advance`](Self::advance). No process starts late, hangs or dies
///   unless the test says so. The lifetime of tokens is in real time, as are the limits for codes.
/// - **Spawned work** that need not wait is done at once. What waits is done in
///   [`settle`](Self::settle), and while an answer is awaited. Call `settle` after a step that
///   starts a computation, or its result may come in any later one.
/// - **A panic** in a hook fails the test. The real lobby logs it and goes on.
/// - **Pages** do what the cluster's page does, at once: one whose player leaves a room returns to
///   the lobby. They follow a reroute only by [`enter`](Self::enter).
/// - **Rate limits, routes, the log and the pool** of processes are absent.
pub struct TestLobby<L: Kinds> {
    lobby: L,
    context: LobbyContext<L>,
    start: Instant,
    now: Instant,
    /// When the lists are sent to those who watch them, if something has happened since.
    lists_at: Option<Instant>,
    /// The connections to the lobby.
    conns: HashMap<ConnId, Conn>,
    /// What connections were sent before their player was known.
    unclaimed: HashMap<ConnId, Vec<Sent>>,
    owners: HashMap<ConnId, PlayerId>,
    pages: BTreeMap<PlayerId, Page>,
    /// What the lobby sends to pages.
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    /// Pages whose player has left a room.
    returning: VecDeque<PlayerId>,
    /// Processes that the lobby has started.
    started: Rc<RefCell<Vec<(RoomId, Channel)>>>,
    rooms: BTreeMap<RoomId, PlayedRoom>,
    /// What rooms have sent to the lobby.
    inbox: VecDeque<ProcessEvent>,
    /// New rooms wait for [`TestLobby::ready`].
    hold: bool,
    next: u64,
    /// Runs spawned futures and computations. The last field, as in `TestRoom`.
    runtime: Runtime,
}

impl<L: Kinds> TestLobby<L> {
    /// Starts a lobby with the project's defaults, and calls `on_start`.
    ///
    /// # Panics
    /// If `on_start` refuses.
    pub fn start(defaults: Defaults) -> Self {
        let started = Self::start_with(defaults, &[]);
        started.unwrap_or_else(|refusal| panic!("the lobby cannot start: {refusal}"))
    }

    /// The same with these flags, such as `["--max-rooms", "1"]`. `Err`: `on_start` refused. The
    /// environment has no effect.
    ///
    /// # Panics
    /// If a flag, the name of a message or the limits of a kind of room are wrong.
    pub fn start_with(defaults: Defaults, flags: &[&str]) -> Result<Self, Refusal> {
        let (settings, kinds) = (settings(defaults, flags), L::kinds());
        events::check_names::<L::Request>(*OWN_REQUESTS).expect("names that are not taken");
        kinds.iter().try_for_each(|kind| kind.check(&settings)).expect("a kind that can work");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let started = Rc::default();
        let routes = Arc::<GatewayRoutes>::default();
        let starter = channel::starter(&started, &runtime);
        let tokens = Tokens::new(settings.name, &KEY, None, settings.token_ttl);
        let context = LobbyContext::new(settings, kinds, tokens, routes, starter, None);
        let now = context.scheduler.now.get();
        let mut test = TestLobby {
            lobby: L::default(),
            context,
            start: now,
            now,
            lists_at: None,
            conns: HashMap::new(),
            unclaimed: HashMap::new(),
            owners: HashMap::new(),
            pages: BTreeMap::new(),
            told: mpsc::channel(),
            returning: VecDeque::new(),
            started,
            rooms: BTreeMap::new(),
            inbox: VecDeque::new(),
            hold: false,
            next: 0,
            runtime,
        };
        test.on_start()?;
        Ok(test)
    }

    fn on_start(&mut self) -> Result<(), Refusal> {
        {
            let _time = driver::at(self.now);
            let hook = self.lobby.on_start(&self.context);
            self.runtime.block_on(self.context.scheduler.timed(hook))?;
        }
        self.follow();
        Ok(())
    }

    /// Moves the clock. Timers and timeouts fire when they are due, in order.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.follow();
        }
        self.now = end;
        self.context.scheduler.now.set(end);
    }

    /// Waits, in real time, until all spawned futures and computations have ended and their
    /// callbacks were called. Joins that wait for a room the test holds are left alone.
    pub fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Waits for the next callback only. Returns `false` if none is left.
    pub fn settle_one(&mut self) -> bool {
        // Each of these futures waits for a room, and the room for the test.
        let waiting = self.context.rooms.borrow().requesters();
        if self.context.scheduler.tasks.borrow().len() <= waiting {
            return false;
        }
        let call = {
            let _time = driver::at(self.now);
            self.runtime.block_on(self.context.scheduler.next_call())
        };
        let called = call.map(|call| self.run(|handler| handler.hook("spawned work", call)));
        called.is_some()
    }

    /// Calls a function with the lobby's state and context, as between two hooks.
    pub fn call<T>(&mut self, call: impl FnOnce(&mut L, &LobbyContext<L>) -> T) -> T {
        self.run(|handler| handler.hook("call", call)).expect("a panic fails the test")
    }

    /// The lobby is asked to stop: the first time it calls `on_stop` and drains its rooms for
    /// `--drain-timeout`, again it closes them.
    pub fn stop(&mut self) {
        self.run(|handler| handler.stop());
    }

    /// The lobby's state.
    pub fn state(&mut self) -> &mut L {
        &mut self.lobby
    }

    /// The lobby's context, to look at: who is where, which rooms there are. To act, use
    /// [`call`](Self::call).
    pub fn lobby(&self) -> &LobbyContext<L> {
        &self.context
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The settings that these flags result in, without a pool: the test starts processes at once.
fn settings(defaults: Defaults, flags: &[&str]) -> Settings {
    let command = Settings::command()
        .mut_arg("port", |port| port.default_value(defaults.port.to_string()))
        .mut_arg("seats", |seats| seats.default_value(defaults.seats.to_string()));
    let flags = std::iter::once("test").chain(flags.iter().copied());
    let matches = command.try_get_matches_from(flags);
    let settings = matches.and_then(|matches| Settings::from_arg_matches(&matches));
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    Settings { name: defaults.name, pool: 0, ..settings }
}

/// A refusal as it was sent.
fn refusal(sent: &Value) -> Option<Refusal> {
    Some(refuse(sent["code"].as_str()?.to_owned(), sent["message"].as_str()?))
}

#[cfg(test)]
mod tests;
