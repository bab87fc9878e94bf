//! A room cluster: a lobby that routes players between rooms, each a process of its own.
//!
//! A project implements [`Lobby`] for its lobby and [`Room`] for its rooms, and hands both to [`main`]. What is not
//! listed here is the inside: hooks cannot reach it.

#![warn(missing_docs)]

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

use std::{io::Write as _, process::ExitCode};

pub use axum::body::Bytes;

pub use crate::{
    config::{
        defaults::Defaults,
        limits::Limits,
        parse::{PortRange, PublicUrl, Size},
        settings::{LogFormat, Role, Settings},
    },
    lobby::{
        context::Cluster,
        hooks::{Arrival, Identity, Info, Lobby, Registration},
    },
    room::{context::Ctx, hooks::Room},
    rooms::RoomInfo,
    runtime::{
        compute::{ComputeError, Job, Work},
        panics::RoomPanic,
        scheduler::Timer,
    },
    types::words::{
        Answer, Exit, Leave, Player, PlayerId, Refusal, Reply, RoomId, done, later, refuse, reply,
    },
};

/// Runs this process in its role: a lobby, or one of the rooms that a lobby starts. What stops it is
/// one line on stderr and a status that is not zero.
pub fn main<L: Lobby>(defaults: Defaults) -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        // Before anything else: a room is told its settings by its lobby, and should start fast.
        Some("room") => room::process::main::<L::Room>(),
        _ => Settings::read(defaults).and_then(lobby::process::main::<L>),
    };
    result.unwrap_or_else(|error| {
        // Where nobody reads it, it is lost; `eprintln` would panic.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
