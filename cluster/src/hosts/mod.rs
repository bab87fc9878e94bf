//! Rooms on other machines. `server host` runs a **host** (`host/`): it starts, feeds and kills
//! rooms for one lobby, and serves their players. A lobby with `--hosts` discovers its hosts, keeps
//! a link to each (`remote.rs`), and picks one for each new room (`placement.rs`). Its registry of
//! rooms does not know the difference: what a host reports (`reports.rs`) arrives like the events
//! of a local process.
//!
//! A link is one TCP connection of lines (`link.rs`), opened by the lobby, on which both ends prove
//! that they have a key (`handshake.rs`). Its heartbeats renew a lease: a host's rooms end before
//! the lobby gives their seats away, whatever happens to the link, the host or the lobby.

#[cfg(feature = "nats")]
mod active;
mod handshake;
pub(crate) mod host;
mod link;
mod placement;
mod remote;
mod reports;
mod standby;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "nats")]
pub(crate) use self::active::share_key;
use self::handshake::{HostInfo, Purpose, Response, answer, ask, check_name, write};
use self::link::{Line, Lines};
pub(crate) use self::placement::HostFigures;
use self::placement::{Linked, Running};
pub(crate) use self::remote::Hosts;
use self::remote::{CONNECT_TIMEOUT, Lost, Waiting};
pub(crate) use self::standby::Fleet;
use crate::config::Settings;
use crate::process::{self, Usage};
use crate::runtime::LEASE_CHECK;
use crate::types::{Exit, RoomId};

/// Raised whenever a message changes its meaning. Both ends must agree on it, and on the frames of
/// rooms.
const VERSIONS: [u32; 2] = [4, process::VERSION];

/// The term of an active lobby, a fencing token: later ones are greater. Zero without a lease.
pub(crate) type Term = [u64; 2];
/// A ban, logout or profile: of what kind, for which id, and the value, which is null for none.
pub(crate) type Change = (String, String, Value);

/// What a lobby tells a host. A line that begins with a room's id and a space is a frame for that
/// room instead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToHost {
    /// Starts a room's process.
    Start { room: RoomId },
    /// Kills it, for this cause.
    Kill { room: RoomId, cause: Exit },
    /// `heard`: when the host sent the newest heartbeat that the lobby has received; zero: none.
    Heartbeat { heard: u64 },
    /// The lobby gives the link up, and the rooms with it.
    GiveUp,
}

/// What a host tells its lobby. A line that begins with a room's id and a space is a frame from
/// that room instead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromHost {
    /// The process of a room has ended, or could not be started.
    Ended { room: RoomId, exit: Exit, usage: Usage },
    /// A room has printed this.
    Printed { room: RoomId, line: String, is_error: bool },
    /// Answers one of the lobby's. `sent`: when, by the host's clock.
    Heartbeat { sent: u64, load: Load },
    /// The host is about to stop: its rooms are to close within this time.
    Drain { remaining_ms: u64 },
}

/// How busy a host is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    /// The share of its processors that are busy, from 0 to 1.
    pub cpu: f32,
    /// It is about to stop, and starts no more rooms.
    pub draining: bool,
    /// An orphaned room has not described itself yet.
    undescribed: bool,
}

/// The timeouts of a link. They follow from the lobby's settings, which the host gets from it.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Between two heartbeats of the lobby.
    heartbeat: Duration,
    /// How long rooms live after the host has sent a heartbeat that the lobby has received.
    lease: Duration,
    /// How long the lobby waits for a heartbeat: longer than the lease, so the rooms have ended.
    silence: Duration,
}

impl Times {
    fn of(settings: &Settings) -> Self {
        let (heartbeat, timeout) = (settings.heartbeat, settings.heartbeat_timeout);
        let lease = timeout + heartbeat;
        Times { heartbeat: heartbeat / 2, lease, silence: lease + LEASE_CHECK * 2 }
    }
}
