//! Load tests: bots register, play, speak, lose their connections and return, and their times are
//! counted. A [`LoadTest`] is the whole program; `examples/loadtest.rs` says what the bots of your
//! game do.
//!
//! All times count from when the bot was to act by its schedule, also when it could not, because
//! the server or the bots were busy; and each tick that a stalled room did not send counts as late.
//! So the percentiles have no *coordinated omission*: a server that stands still for a second shows
//! a second to all who would have asked meanwhile, and not to one of them. A request that is never
//! answered counts with the time that it waited, and as an error.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt};

use clap::Parser as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::options::Options;
use crate::Defaults;
use crate::lobby::Kinds;
use crate::testing::{Payload, Request};

mod figures;
mod options;
mod player;
mod processes;
mod report;
mod run;
mod threshold;

/// In the environment of the lobby that a load test starts: the same program.
const SERVER: &str = "LOADTEST_SERVER";

/// A load test as a program. By default the bots `play`, and say nothing.
///
/// It takes flags such as `--players 500 --rooms 20 --for 30s`; `--help` lists them. Unless a flag
/// has the URL of another lobby, it starts one of its own, with all of its rooms: this program runs
/// itself again, so that there is nothing else to build.
///
/// ```no_run
/// # use cluster::{Defaults, Lobby, Refusal, Room, RoomContext, RoomManager};
/// # struct Echo;
/// # impl Room for Echo {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Echo) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// # impl RoomManager<Echo> for Server {}
/// # cluster::kinds!(Server: Echo = "echo");
/// # const DEFAULTS: Defaults = Defaults { name: "echo", port: 0, seats: 8 };
/// use cluster::testing::load::LoadTest;
/// use serde_json::json;
///
/// fn main() -> std::process::ExitCode {
///     LoadTest::new::<Server>(DEFAULTS).say(10.0, |_| Some(("text", json!("hello")))).run()
/// }
/// ```
pub struct LoadTest {
    server: Box<dyn Fn() -> ExitCode>,
    plan: Plan,
}

type Say = Arc<dyn Fn(&View) -> Option<(&'static str, Value)> + Send + Sync>;

/// What the bots do.
#[derive(Clone)]
struct Plan {
    enter: Option<Request>,
    /// The event of a tick, and how often it is to come.
    ticks: Option<(&'static str, Duration)>,
    interval: Duration,
    say: Say,
}

/// What a bot knows: its player, and what the room has sent.
#[derive(Default)]
pub struct View {
    you: Value,
    last: Vec<(String, Payload)>,
}

impl LoadTest {
    /// A load test of this lobby and its rooms.
    pub fn new<L: Kinds>(defaults: Defaults) -> LoadTest {
        let server = Box::new(move || crate::run::<L>(defaults));
        let enter = Some((Cow::Borrowed("play"), json!({})));
        // A bot that says nothing need not wake up.
        let interval = Duration::from_secs(24 * 60 * 60);
        LoadTest { server, plan: Plan { enter, ticks: None, interval, say: Arc::new(|_| None) } }
    }

    /// The request that brings a bot from the lobby to a room, by default `play`. It is sent again
    /// every few seconds until the bot is in a room.
    pub fn enter(mut self, event: &'static str, data: Value) -> Self {
        self.plan.enter = Some((event.into(), data));
        self
    }

    /// The bots stay in the lobby and speak there.
    pub fn stay_in_lobby(mut self) -> Self {
        self.plan.enter = None;
        self
    }

    /// The rooms send this event so many times a second: its jitter is measured.
    ///
    /// # Panics
    /// If that is not more than zero.
    pub fn ticks(mut self, event: &'static str, per_second: f64) -> Self {
        self.plan.ticks = Some((event, Duration::from_secs_f64(per_second.recip())));
        self
    }

    /// What a bot in a room says, so many times a second: a request and its data, or nothing.
    ///
    /// # Panics
    /// If that is not more than zero.
    pub fn say(
        mut self,
        per_second: f64,
        say: impl Fn(&View) -> Option<(&'static str, Value)> + Send + Sync + 'static,
    ) -> Self {
        self.plan.interval = Duration::from_secs_f64(per_second.recip());
        self.plan.say = Arc::new(say);
        self
    }

    /// Runs it: the load test, or the lobby or a room that it has started.
    pub fn run(self) -> ExitCode {
        let is_room = env::args_os().nth(1).is_some_and(|role| role == "room");
        if env::var_os(SERVER).is_some() {
            // The lobby does not outlive the load test, however that ends.
            #[cfg(target_os = "linux")]
            if !is_room {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
            }
            return (self.server)();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // One thread: the load must leave the other processors to the cluster under test.
        match runtime.expect("a runtime").block_on(run::run(self.plan, Options::parse())) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

impl View {
    /// The bot's player: `{ id, name, profile }`.
    pub fn you(&self) -> &Value {
        &self.you
    }

    /// The data of the latest event of this name since the bot is in the room. It is parsed now,
    /// which is the dearest thing that a bot does.
    pub fn last(&self, event: &str) -> Option<Value> {
        self.last.iter().find(|(name, _)| name == event).map(|(_, data)| data.value())
    }

    fn heard(&mut self, event: &str, data: &Payload) {
        match self.last.iter_mut().find(|(name, _)| name == event) {
            Some((_, last)) => *last = data.clone(),
            None => self.last.push((event.to_owned(), data.clone())),
        }
    }
}

impl fmt::Debug for LoadTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadTest").finish_non_exhaustive()
    }
}
