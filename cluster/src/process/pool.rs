//! A pool of warm processes, started before a room is needed: opening one then costs no start.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Settings;
use crate::process::supervisor::{Process, ProcessEvent};
use crate::process::{init, supervisor};
use crate::types::RoomId;

/// A room just taken from the pool gets the CPU before the process that replaces it.
const REFILL_DELAY: Duration = Duration::from_millis(15);
/// A program that crashes at its start is not started in a busy loop.
const DELAY_AFTER_CRASH: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    settings: Settings,
    /// The lobby's own program, even if the file at its path was replaced.
    program: PathBuf,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
    next_room: u64,
    /// Warm or starting, oldest first.
    warm: VecDeque<(RoomId, Process)>,
    /// One of them crashed, or could not be started.
    crashed: bool,
}

impl Pool {
    pub fn new(
        settings: Settings,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<Self> {
        let (program, warm, next_room) = (init::own_program()?, VecDeque::new(), 1);
        Ok(Pool { settings, program, inbox, next_room, warm, crashed: false })
    }

    /// The oldest warm process, or a new one.
    pub fn take(&mut self) -> anyhow::Result<(RoomId, Process)> {
        self.warm.pop_front().map_or_else(|| self.start(), Ok)
    }

    /// When to call `refill`; `None` while the pool is full.
    pub fn refill_delay(&self) -> Option<Duration> {
        let delay = if self.crashed { DELAY_AFTER_CRASH } else { REFILL_DELAY };
        (self.warm.len() < self.settings.pool).then_some(delay)
    }

    /// Starts processes until the pool is full.
    pub fn refill(&mut self) -> anyhow::Result<()> {
        self.crashed = false;
        while self.warm.len() < self.settings.pool {
            let warm = self.start().inspect_err(|_| self.crashed = true)?;
            self.warm.push_back(warm);
        }
        Ok(())
    }

    /// Kills the warm processes, and starts no more.
    pub fn close(&mut self) {
        self.settings.pool = 0;
        self.warm.clear();
    }

    /// Removes a process that has exited. Returns `false` if it is not in the pool.
    pub fn remove(&mut self, room: &RoomId) -> bool {
        let at = self.warm.iter().position(|(id, _)| id == room);
        at.and_then(|at| self.warm.remove(at)).inspect(|_| self.crashed = true).is_some()
    }

    fn start(&mut self) -> anyhow::Result<(RoomId, Process)> {
        let id = RoomId(self.next_room.to_string());
        self.next_room += 1;
        let inbox = self.inbox.clone();
        let process = supervisor::start(&self.program, id.clone(), &self.settings, inbox)?;
        Ok((id, process))
    }
}
