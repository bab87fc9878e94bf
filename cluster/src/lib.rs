//! The structure of a room cluster: a lobby, rooms that are processes, and players routed between
//! them.
//!
//! The **lobby** is the public server: it serves the page, registers people, and finds them a room.
//! A **room** is a process of its own that runs one game, or one computation; its crash harms no
//! other. A **player** is a registered person, known by their [`PlayerId`] in all rooms and across
//! connections. A **seat** is a player's place in a room. The lobby reserves it, so that a room is
//! never over capacity. When the room ends, for whatever reason, its players are back in the lobby.
//!
//! # The smallest program
//!
//! In this echo room, everyone hears what any player says. The page enters it with
//! `cluster.play("echo")`.
//!
//! ```no_run
//! use cluster::{Answer, Defaults, Lobby, Player, Refusal, Room, RoomContext, RoomManager, ok};
//!
//! cluster::messages! {
//!     pub enum Say { Text(String) }
//!     pub enum Said { Text { from: String, text: String } }
//! }
//!
//! struct Echo;
//!
//! impl Room for Echo {
//!     cluster::room_types! {
//!         type Request = Say;
//!         type Event = Said;
//!     }
//!
//!     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
//!         Ok(Echo)
//!     }
//!
//!     fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, say: Say) -> Answer {
//!         let Say::Text(text) = say;
//!         room.broadcast(Said::Text { from: from.name.clone(), text });
//!         ok()
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Server;
//!
//! impl Lobby for Server {
//!     cluster::lobby_types! {}
//! }
//! impl RoomManager<Echo> for Server {}
//!
//! cluster::kinds!(Server: Echo = "echo");
//!
//! fn main() -> std::process::ExitCode {
//!     cluster::run::<Server>(Defaults { name: "echo", port: 3000, seats: 8 })
//! }
//! ```
//!
//! # How hooks are called
//!
//! A hook is a method on your state. Hooks are called one at a time, in the order of events, so the
//! state needs no locks. Only `on_start`, `on_register`, `on_open` and `on_dispose` are async;
//! `on_register` has no access to the state. Others [`spawn`](Scheduler::spawn) a future, or
//! [`compute`](Scheduler::compute) on another thread; the result comes as one more call. Each hook
//! gets a context, which queues what is to be sent; none of its methods waits.
//!
//! # Where to read on
//!
//! - The lobby: [`Lobby`], [`RoomManager`], and the [`LobbyContext`] of their hooks
//! - A room: [`Room`] and its [`RoomContext`]
//! - Messages: [`messages!`] for their types, [`Answer`] for what a request gets back
//! - Later: the [`Scheduler`] has timers, futures and computations for both contexts
//! - The program: [`run`] runs it, [`kinds!`] lists its rooms, [`Settings`] are its flags
//! - Tests: the module `testing`, which is here if these pages are built with `--features testing`

#![warn(missing_docs)]

// The macros expand to `::cluster::…`, also in this crate.
extern crate self as cluster;

#[cfg(panic = "abort")]
compile_error!(
    "with `panic = \"abort\"` a panic in one hook would end the lobby or the room: remove it from \
     the profiles in Cargo.toml, and `-C panic=abort` from RUSTFLAGS"
);

mod admin;
mod auth;
mod config;
mod hosts;
mod http;
mod lobby;
mod logging;
mod process;
mod reload;
mod room;
mod rooms;
mod routing;
mod runtime;
mod socketio;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod types;

use std::io::Write as _;
use std::process::ExitCode;

// The lobby.
pub use crate::lobby::context::{LobbyContext, Place, RoomInfo, RoomOf};
pub use crate::lobby::handle::LobbyHandle;
pub use crate::lobby::hooks::{Lobby, RoomLimits, RoomManager};
pub use crate::lobby::registration::{Arrival, Identity, Registration};
/// For [`Lobby::routes`].
pub use axum;

// A room.
pub use crate::room::context::RoomContext;
pub use crate::room::hooks::Room;

// Players, messages, answers, reasons.
pub use axum::body::Bytes;

pub use crate::types::{
    Answer, Data, Exit, LeaveReason, Message, Nothing, Player, PlayerId, Refusal, Reply, RoomId,
    deferred, ok, readable_line, refuse, reply,
};

// Timers, futures, computations.
pub use crate::runtime::compute::{ComputeError, Job, Work};
pub use crate::runtime::scheduler::{Scheduler, Timer};

// What a room uses.
pub use crate::process::usage::Usage;

// Settings.
pub use crate::config::{
    Defaults, HostSettings, Limits, LogFormat, Origin, PublicUrl, Settings, Size,
};
pub use crate::runtime::panics::RoomPanic;

use crate::lobby::{Kind, Kinds};

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::lobby::context::{Kind, Kinds};
    #[cfg(debug_assertions)]
    pub use crate::types::typescript::Declarations;
    pub use serde::{self, Deserialize, Serialize};
    #[cfg(debug_assertions)]
    pub use ts_rs::{self, TS};
}

/// Tests that hooks reach only what is listed above: the second example of each pair does not
/// compile.
///
/// ```
/// # use cluster::{Lobby, LobbyContext};
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// fn hook(lobby: &LobbyContext<Server>) {
///     let _ = lobby.settings();
/// }
/// ```
///
/// ```compile_fail
/// # use cluster::{Lobby, LobbyContext};
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// fn hook(lobby: &LobbyContext<Server>) {
///     let _ = lobby.rooms.borrow_mut();
/// }
/// ```
///
/// ```
/// fn limits(_: &cluster::Limits) {}
/// ```
///
/// ```compile_fail
/// fn limits(_: &cluster::config::limits::Limits) {}
/// ```
///
/// And that a kind of room that is not in [`kinds!`], or without its hooks, does not compile:
///
/// ```
/// # use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};
/// # struct Chat;
/// # impl Room for Chat {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chat) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// impl RoomManager<Chat> for Server {}
/// cluster::kinds!(Server: Chat = "chat");
/// ```
///
/// ```compile_fail,E0277
/// # use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};
/// # struct Chat;
/// # impl Room for Chat {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chat) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// impl RoomManager<Chat> for Server {}
/// ```
///
/// ```compile_fail,E0277
/// # use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};
/// # struct Chat;
/// # impl Room for Chat {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chat) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// cluster::kinds!(Server: Chat = "chat");
/// ```
///
/// Nor does a room with another profile than its lobby's:
///
/// ```compile_fail,E0271
/// # use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};
/// # cluster::messages! { #[derive(Default)] pub struct Profile { color: String } }
/// # struct Chat;
/// # impl Room for Chat {
/// #     cluster::room_types! { type Profile = Profile; }
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chat) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// cluster::kinds!(Server: Chat = "chat");
/// ```
#[cfg(doctest)]
struct PublicApi;

/// Runs this process as a lobby with the state `L` and the project's defaults, or as a room if a
/// lobby has started it, until it ends. The [first page](crate) has an example.
///
/// With the first argument `health` it asks the lobby on this machine for `/healthz`, with the same
/// flags, and ends with status 0 or 1. With `host` it runs rooms for a lobby on another machine,
/// and with `link-key` it prints the key that such a host needs.
///
/// The lobby ends after Ctrl-C, SIGTERM or SIGQUIT, with status 0, and reloads after SIGHUP. As the
/// first process of a container, PID 1, it starts the lobby as a child process and reaps orphans.
///
/// An error at the start is printed as one line to stderr, with exit status 1. Wrong flags are
/// explained, with status 2.
///
/// # Panics
/// If two kinds of rooms have one name.
pub fn run<L: Kinds>(defaults: Defaults) -> ExitCode {
    let kinds = L::kinds();
    for (n, kind) in kinds.iter().enumerate() {
        let is_other = |other: &Kind<L>| other.name != kind.name;
        assert!(kinds[..n].iter().all(is_other), "two kinds of rooms are named '{}'", kind.name);
    }
    let mut args: Vec<_> = std::env::args_os().collect();
    let command = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default().to_owned();
    if ["health", "host", "link-key", reload::CHECK].contains(&&*command) {
        args.remove(1);
    }
    let settings = || Settings::read(defaults, &args);
    let result = match &*command {
        // A room gets its settings from its lobby; parsing flags would slow down its start.
        "room" => room::process::main(kinds.iter().map(|kind| (kind.name, kind.run)).collect()),
        "health" => admin::health::check(&settings()),
        "link-key" => auth::print_link_key(&settings().key_file),
        reload::CHECK => lobby::process::check_reload(settings(), kinds, admin::routes),
        _ if std::process::id() == 1 => process::init::run(),
        "host" => hosts::host::main(settings()),
        _ => lobby::process::main(settings(), kinds, admin::routes),
    };
    result.unwrap_or_else(|error| {
        // Unlike `eprintln`, does not panic if stderr is closed.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
