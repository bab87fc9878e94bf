//! A room cluster: a lobby that routes players between rooms, each of which is a process.
//!
//! A project implements [`Lobby`] and [`RoomManager`] for its lobby and [`Room`] for each kind of
//! room, and passes them to [`lobby()`]. What is not listed here is private.

#![warn(missing_docs)]

// The macros expand to `::cluster::…`, also in this crate.
extern crate self as cluster;

mod auth;
mod config;
mod http;
mod lobby;
mod logging;
mod process;
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

pub use axum::body::Bytes;

pub use crate::config::limits::Limits;
pub use crate::config::parse::{HttpUrl, Size};
pub use crate::config::settings::{Defaults, LogFormat, Settings};
pub use crate::lobby::context::LobbyContext;
pub use crate::lobby::hooks::{Arrival, Identity, Lobby, Registration, RoomManager};
pub use crate::room::context::RoomContext;
pub use crate::room::hooks::Room;
pub use crate::rooms::RoomInfo;
pub use crate::runtime::compute::{ComputeError, Job, Work};
pub use crate::runtime::panics::RoomPanic;
pub use crate::runtime::scheduler::{Scheduler, Timer};
pub use crate::types::{
    Answer, Exit, LeaveReason, Message, Nothing, Player, PlayerId, Refusal, Reply, RoomId,
    deferred, ok, refuse, reply,
};

use crate::lobby::Kind;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
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
/// # impl Lobby for Server { cluster::unused!(Request, Event); }
/// fn hook(lobby: &LobbyContext<Server>) {
///     let _ = lobby.settings();
/// }
/// ```
///
/// ```compile_fail
/// # use cluster::{Lobby, LobbyContext};
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::unused!(Request, Event); }
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
#[cfg(doctest)]
struct PublicApi;

/// Creates the program: a lobby with the state `L` and the project's defaults.
///
/// ```no_run
/// # use cluster::{Defaults, Lobby, Refusal, Room, RoomContext, RoomManager};
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::unused!(Request, Event); }
/// # struct Arena;
/// # impl Room for Arena {
/// #     cluster::unused!(Options, Request, Event, FromLobby, ToLobby);
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Arena) }
/// # }
/// # impl RoomManager<Arena> for Server {}
/// # const DEFAULTS: Defaults = Defaults { name: "game", port: 3000, seats: 8 };
/// fn main() -> std::process::ExitCode {
///     cluster::lobby::<Server>(DEFAULTS).room::<Arena>("arena").run()
/// }
/// ```
pub fn lobby<L: Lobby>(defaults: Defaults) -> Program<L> {
    Program { defaults, kinds: Vec::new() }
}

/// A lobby and its kinds of rooms; see [`lobby()`].
pub struct Program<L> {
    defaults: Defaults,
    kinds: Vec<Kind<L>>,
}

impl<L: Lobby> Program<L> {
    /// Registers a kind of room under the name that pages pass to `play`.
    ///
    /// # Panics
    /// If another kind has this name or this type.
    pub fn room<R: Room>(mut self, name: &'static str) -> Self
    where
        L: RoomManager<R>,
    {
        let kind = Kind::of::<R>(name);
        for other in &self.kinds {
            assert_ne!(other.name, name, "two kinds of rooms have this name");
            assert_ne!(other.room, kind.room, "'{}' and '{name}' are the same type", other.name);
        }
        self.kinds.push(kind);
        self
    }

    /// Runs this process as the lobby, or as a room if a lobby has started it. An error at the
    /// start is printed as one line to stderr, with exit status 1; wrong flags are explained, with
    /// status 2.
    ///
    /// # Panics
    /// If no kind of room is registered.
    pub fn run(self) -> ExitCode {
        assert!(!self.kinds.is_empty(), "register a kind of room with `.room::<…>(\"…\")`");
        let result = match std::env::args_os().nth(1) {
            // A room gets its settings from its lobby; parsing flags would slow down its start.
            Some(role) if role == "room" => {
                let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.process).collect();
                room::process::main(&kinds)
            }
            _ => lobby::process::main(Settings::read(self.defaults), self.kinds),
        };
        result.unwrap_or_else(|error| {
            // Unlike `eprintln`, does not panic if stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        })
    }
}
