//! Rooms on other machines. `server host` runs a **host** (`host/`): it starts, feeds and kills
//! rooms for one lobby, and serves their players. A lobby with `--hosts` finds its hosts, keeps a
//! link to each, and picks one for each new room (`remote.rs`). Its registry of rooms does not know
//! the difference: what a host reports arrives as the reports of a local process do.
//!
//! A link is one TCP connection of lines (`link.rs`), opened by the lobby, on which both ends prove
//! a key (`handshake.rs`). It carries a lease: a host's rooms end before the lobby gives their
//! seats away, whatever happens to the link, to the host or to the lobby.

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
use self::handshake::{About, Purpose, Reply, answer, ask, check_name, write};
use self::link::{Line, Lines};
pub(crate) use self::placement::HostFigures;
use self::placement::{Linked, Running};
pub(crate) use self::remote::Hosts;
use self::remote::{CONNECT_TIMEOUT, Lost, Unknown};
pub(crate) use self::standby::Fleet;
use crate::config::Settings;
use crate::process::{self, Usage};
use crate::runtime::LEASE_CHECK;
use crate::types::{Exit, RoomId};

/// Raised whenever a message changes its meaning. Both ends must agree on it, and on the frames of
/// rooms.
const VERSIONS: [u32; 2] = [3, process::VERSION];

/// The turn of an active lobby. Later ones are greater; without a lease it is zero.
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
    /// `heard`: when the host sent the newest beat that the lobby has received; zero: none.
    Beat { heard: u64 },
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
    /// Answers a beat of the lobby. `sent`: when, by the clock of the host.
    Beat { sent: u64, load: Load },
    /// The host is about to stop: its rooms are to close within this time.
    Drain { remaining_ms: u64 },
}

/// How busy a host is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Load {
    /// The share of its processors that are busy, from 0 to 1.
    cpu: f32,
    /// It is about to stop, and starts no more rooms.
    draining: bool,
    /// A room of an earlier lobby has not described itself yet.
    undescribed: bool,
}

/// The times of a link. They follow from the settings of the lobby, which the host gets from it.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Between two beats of the lobby.
    beat: Duration,
    /// How long rooms live after the host has sent a beat that the lobby has heard.
    lease: Duration,
    /// How long the lobby waits for a beat. Longer than the lease: by then the rooms have ended.
    silence: Duration,
}

impl Times {
    fn of(settings: &Settings) -> Self {
        let (heartbeat, timeout) = (settings.heartbeat, settings.heartbeat_timeout);
        let lease = timeout + heartbeat;
        Times { beat: heartbeat / 2, lease, silence: lease + LEASE_CHECK * 2 }
    }
}
