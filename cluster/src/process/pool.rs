//! Processes of rooms: started when they are needed, or ahead, as warm rooms that know nothing of their
//! task yet. An open then costs no process start.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use anyhow::ensure;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::{
    config::settings::Settings,
    process::{
        channel::VERSION,
        supervisor::{self, FromProcess, Process},
    },
    types::{Exit, RoomId},
};

/// The room that was taken from the pool gets the processor before the one that replaces it.
const REFILL_DELAY: Duration = Duration::from_millis(15);
/// A broken program would be started for ever.
const DELAY_AFTER_DEATH: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    settings: Settings,
    /// Resolved once: a program that is built again keeps its path but not its file.
    program: PathBuf,
    build: String,
    inbox: mpsc::UnboundedSender<FromProcess>,
    next_room: u64,
    /// Warm or about to be, oldest first.
    waiting: VecDeque<(RoomId, Started)>,
    /// One of them died by itself.
    died: bool,
    /// In production: what stands at the program's path is not this program, so no room can be started.
    outdated: bool,
    closed: bool,
}

pub(crate) struct Started {
    pub process: Process,
    /// What stood at the program's path when it was started.
    build: String,
    /// What it said first.
    pub warm: Option<Warm>,
    /// Rooms say on which port they listen, but not whether they have one.
    has_port: bool,
}

pub(crate) struct Warm {
    pub version: u32,
    pub build: String,
    pub port: Option<u16>,
}

impl Started {
    /// The room's own port.
    pub fn port(&self) -> Option<u16> {
        self.warm.as_ref().filter(|_| self.has_port)?.port
    }
}

impl Pool {
    pub fn new(
        settings: Settings,
        inbox: mpsc::UnboundedSender<FromProcess>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let build = supervisor::own_build_id()?;
        let waiting = VecDeque::new();
        let (next_room, died, outdated, closed) = (1, false, false, false);
        Ok(Pool { settings, program, build, inbox, next_room, waiting, died, outdated, closed })
    }

    /// A process for a room: the oldest warm one, if it is of the newest build, or a new one.
    pub fn take(&mut self) -> anyhow::Result<(RoomId, Started)> {
        let newest = supervisor::build_id(&self.program);
        while let Some((id, started)) = self.waiting.pop_front() {
            if started.build == newest || !cfg!(debug_assertions) {
                return Ok((id, started));
            }
            info!(room = %id, "the program was built again: a warm room is replaced");
        }
        self.start()
    }

    /// When it wants to be filled again.
    pub fn refill_delay(&self) -> Option<Duration> {
        let full = self.waiting.len() >= self.settings.pool;
        (!full && !self.closed && !self.outdated).then_some(if self.died {
            DELAY_AFTER_DEATH
        } else {
            REFILL_DELAY
        })
    }

    /// Starts warm rooms until it is full; whether that was possible.
    pub fn refill(&mut self) -> bool {
        self.died = false;
        while self.refill_delay().is_some() {
            match self.start() {
                Ok(warm) => self.waiting.push_back(warm),
                Err(error) => {
                    error!(error = format!("{error:#}"), "cannot start a warm room");
                    self.died = true;
                    return false;
                }
            }
        }
        true
    }

    /// Ends all that wait, and starts none any more.
    pub fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// One of those that wait may have said its first word.
    pub fn is_warm(&mut self, room: &RoomId, warm: Warm) {
        let misfit = self.is_misfit(&warm);
        if let Some((_, started)) = self.waiting.iter_mut().find(|(id, _)| id == room) {
            started.warm = Some(warm);
            if misfit {
                started.process.kill(rebuilt());
            }
        }
    }

    /// Whether the program that runs there does not go with this one. While developing, the next room
    /// is the newest build; in production nothing changes unasked.
    pub fn is_misfit(&self, warm: &Warm) -> bool {
        warm.version != VERSION || (warm.build != self.build && !cfg!(debug_assertions))
    }

    /// A process has ended: the one of those that wait, if it was one.
    pub fn ended(&mut self, room: &RoomId) -> Option<Started> {
        let at = self.waiting.iter().position(|(id, _)| id == room)?;
        self.died = true;
        self.waiting.remove(at).map(|(_, started)| started)
    }

    fn start(&mut self) -> anyhow::Result<(RoomId, Started)> {
        let build = supervisor::build_id(&self.program);
        self.outdated = build != self.build && !cfg!(debug_assertions);
        ensure!(!self.outdated, REBUILT);
        let id = RoomId(self.next_room.to_string());
        self.next_room += 1;
        let process =
            supervisor::start(&self.program, id.clone(), &self.settings, self.inbox.clone())?;
        let has_port = self.settings.room_ports.is_some();
        Ok((id, Started { process, build, warm: None, has_port }))
    }
}

const REBUILT: &str = "the program was built again; start the lobby again";

/// What becomes of a misfit.
pub(crate) fn rebuilt() -> Exit {
    Exit::NeverReady(REBUILT.to_owned())
}
