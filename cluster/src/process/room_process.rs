//! The process of a room: here, as its supervisor holds it, or on another host.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process_group, waitid,
    waitpid,
};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Origin;
use crate::logging::LastLines;
use crate::process::usage::Usage;
use crate::types::{AnyPlayer, Exit, RoomId};

/// Opens a connection over which a player's connection is relayed to a room.
pub(crate) type Dial =
    Box<dyn Fn(RoomId) -> BoxFuture<'static, anyhow::Result<TcpStream>> + Send + Sync>;

pub(crate) struct RemoteRoom {
    pub id: RoomId,
    /// The origin at which browsers reach its host; `None`: the lobby relays.
    pub origin: Option<Origin>,
    pub dial: Dial,
    /// What it has printed last.
    pub output: LastLines,
}

/// A part of what a room tells a lobby that goes on with it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The first one: what the lobby before has noted.
    Note(Box<RawValue>),
    /// So many that they fit into a frame.
    Seats(Vec<TakenSeat>),
    /// The last one. The listing is null until a hook sets it.
    End { listing: Value, locked: bool },
}

/// A seat that a room has given.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TakenSeat {
    pub seat: u64,
    pub player: AnyPlayer,
    /// The player has come.
    pub joined: bool,
    /// For how long the seat is kept; `None`: they are connected.
    pub left_ms: Option<u64>,
}

/// What a room on a host has told a lobby that goes on with it.
#[derive(Default)]
pub(crate) struct Description {
    pub note: Option<Box<RawValue>>,
    pub seats: Vec<TakenSeat>,
    pub listing: Value,
    pub locked: bool,
}

impl Description {
    /// Adds a part. Returns whether it was the last one.
    pub fn add(&mut self, part: Part) -> bool {
        match part {
            Part::Note(note) => *self = Description { note: Some(note), ..Default::default() },
            Part::Seats(seats) => self.seats.extend(seats),
            Part::End { listing, locked } => {
                (self.listing, self.locked) = (listing, locked);
                return true;
            }
        }
        false
    }
}

/// What is known about the process. A reload hands it over to the next program, with the ends.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RoomProcess {
    pub room: RoomId,
    pub pid: u32,
    /// It has sent its first frame.
    pub warm: bool,
    /// The exit that the room announced.
    pub announced: Option<Exit>,
    /// In a reload: bytes that were read from the channel and are no whole frame yet.
    pub unread: Vec<u8>,
}

/// The lobby's ends of a room's process: channel, stdout, stderr.
pub(crate) const ENDS: usize = 3;

/// A child process in a group of its own. On drop it is killed with all processes that it started:
/// a lobby that stops drops its supervisors.
pub(super) struct Child {
    pid: Pid,
    /// Readable when it has ended. `None` where there is no such thing: only Linux has it.
    pidfd: Option<AsyncFd<OwnedFd>>,
    is_reaped: bool,
}

impl Child {
    pub fn new(pid: u32) -> anyhow::Result<Child> {
        let pid = Pid::from_raw(pid.try_into()?).context("no process id")?;
        Ok(Child { pid, pidfd: pidfd(pid), is_reaped: false })
    }

    /// Kills it with all that it started, unless it is reaped: its number may be another's then.
    pub fn kill(&self) {
        if !self.is_reaped {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> io::Result<()> {
        if let Some(pidfd) = &self.pidfd {
            return pidfd.readable().await.map(drop);
        }
        let mut children = signal(SignalKind::child())?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.pid), options)?.is_none() {
            children.recv().await;
        }
        Ok(())
    }

    /// Waits until it has ended, kills what it started, and reaps it. Returns also what it has
    /// used, which is known until then.
    pub async fn reap(&mut self) -> io::Result<(WaitStatus, Usage)> {
        self.ended().await?;
        self.kill();
        let usage = Usage::of(self.pid).unwrap_or_default();
        let reaped = waitpid(Some(self.pid), WaitOptions::empty())?;
        self.is_reaped = true;
        let (_, status) = reaped.ok_or(io::ErrorKind::NotFound)?;
        Ok((status, usage))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(target_os = "linux")]
#[expect(deprecated, reason = "the newer function is unsafe; an `OwnedFd` upholds its terms")]
fn pidfd(pid: Pid) -> Option<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    AsyncFd::with_interest(pidfd, Interest::READABLE).ok()
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_: Pid) -> Option<AsyncFd<OwnedFd>> {
    None
}
