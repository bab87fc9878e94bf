//! The structure of a room cluster: read it, and rarely edit it. One short file per idea.
//!
//! | file | idea |
//! |---|---|
//! | `lobby_hooks`, `room_hooks` | the two traits that you implement |
//! | `handle`, `ctx` | what a hook of the lobby, of a room, can do |
//! | `lobby_main`, `lobby_loop`, `people` | the lobby's process, its loop; who is in the lobby |
//! | `room_main`, `room_loop`, `room_core` | a room's process, its loop; who has a seat, which hook comes when |
//! | `room_seats`, `room_output` | who has a seat; what hooks have queued, and where it goes |
//! | `supervisor`, `pool`, `channel` | a room's process seen from the lobby; started ahead; what the two say |
//! | `output`, `memory`, `panics` | what a room prints; how much it may have; a hook that panics |
//! | `connection`, `packet`, `events` | a browser's connection; what comes and goes; enums as Socket.IO events |
//! | `front`, `relay` | how a connection comes to a room: the socket itself, or copied |
//! | `net`, `web`, `origins` | listening and serving; the page; whose requests are answered |
//! | `placed`, `frames` | a connection is read no faster than its client may speak; what counts |
//! | `guests`, `guesses` | where connections come from and how many may; wrong codes of private rooms |
//! | `budget`, `rates`, `pace` | how often something may be done, by each of many, and said by players |
//! | `clock`, `starvation` | time in which this process ran; time for which another one waited for a processor |
//! | `ticker`, `tickets` | when a room ticks; who may come into it |
//! | `stage` | a room without all that, for tests of your hooks |
//! | `agenda`, `compute` | timers, and work given away; heavy work on other threads |
//! | `token`, `key`, `hs256`, `logouts` | who a player is, for days; what tokens are signed with; logins that were ended |
//! | `wrong` | wrong tokens and tickets are counted |
//! | `typescript` | the messages as types of the page |
//! | `settings`, `limits`, `values`, `logs`, `log_writer`, `words` | what their names say |
//! | `forged`, `fuzz` | tests: tokens that are none; what nobody would think of |

mod agenda;
mod budget;
pub(crate) mod channel;
pub(crate) mod clock;
mod compute;
mod connection;
mod ctx;
mod events;
#[cfg(test)]
mod forged;
mod frames;
pub(crate) mod front;
#[cfg(test)]
mod fuzz;
mod guesses;
mod guests;
mod handle;
mod hs256;
mod key;
mod limits;
mod lobby_hooks;
mod lobby_loop;
mod lobby_main;
mod log_writer;
mod logouts;
mod logs;
mod memory;
mod net;
mod origins;
mod output;
mod pace;
mod packet;
mod panics;
mod people;
mod placed;
pub(crate) mod pool;
mod rates;
mod relay;
mod room_core;
mod room_hooks;
mod room_loop;
mod room_main;
mod settings;
pub mod stage;
mod starvation;
pub(crate) mod supervisor;
mod ticker;
mod tickets;
pub(crate) mod token;
#[cfg(test)]
mod typescript;
mod values;
mod web;
pub(crate) mod words;
mod wrong;

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;

pub use axum::body::Bytes;

pub use self::{
    agenda::Timer,
    compute::{ComputeError, Job, Work},
    ctx::Ctx,
    handle::Cluster,
    limits::Limits,
    lobby_hooks::{Arrival, Identity, Info, Lobby, Registration, RoomInfo},
    room_hooks::Room,
    settings::{LogFormat, Role, RoomPanic, Settings},
    stage::Stage,
    values::{PortRange, PublicUrl, Size},
    words::{
        Answer, Exit, Leave, Player, PlayerId, Refusal, Reply, RoomId, done, later, refuse, reply,
    },
};

/// Runs this process in its role: a lobby, or one of the rooms that a lobby starts. What stops it is
/// one line on stderr and a status that is not zero.
pub fn main<L: Lobby>() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        // Before anything else: a room is told its settings by its lobby, and should start fast.
        Some("room") => room_main::main::<L::Room>(),
        _ => parse_settings().and_then(lobby_main::main::<L>),
    };
    result.unwrap_or_else(|error| {
        // Where nobody reads it, it is lost; `eprintln` would panic.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// From flags and environment. A bad one is said in one line; `--help` and `--version` end here.
fn parse_settings() -> anyhow::Result<Settings> {
    Settings::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        let text = error.to_string();
        let first = text.lines().take_while(|line| !line.is_empty());
        let line = first.map(str::trim).collect::<Vec<_>>().join(" ");
        anyhow::anyhow!("{}", line.trim_start_matches("error: "))
    })
}
