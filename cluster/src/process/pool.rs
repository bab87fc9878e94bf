//! A pool of warm processes, started before a room is needed: opening one then costs no start.

use std::collections::VecDeque;
use std::time::Duration;

use crate::process::supervisor::Process;
use crate::types::RoomId;

/// A room just taken from the pool gets the CPU before the process that replaces it.
const REFILL_DELAY: Duration = Duration::from_millis(15);
/// A program that crashes at its start is not started in a busy loop.
const DELAY_AFTER_CRASH: Duration = Duration::from_secs(1);

/// Starts a process for the room with this number, here or on another host, and returns the room's
/// id. A test starts none.
pub(crate) type Starter = Box<dyn FnMut(u64) -> anyhow::Result<(RoomId, Process)>>;

pub(crate) struct Pool {
    /// The number of processes to keep.
    size: usize,
    starter: Starter,
    pub next_room: u64,
    /// Warm or starting, oldest first. Killed when they are removed.
    pub warm: VecDeque<(RoomId, Process)>,
    /// One of them crashed, or could not be started.
    crashed: bool,
}

impl Pool {
    pub fn new(size: usize, starter: Starter) -> Self {
        Pool { size, starter, next_room: 1, warm: VecDeque::new(), crashed: false }
    }

    /// The oldest warm process, or a new one.
    pub fn take(&mut self) -> anyhow::Result<(RoomId, Process)> {
        self.warm.pop_front().map_or_else(|| self.start(), Ok)
    }

    /// When to call `refill`; `None` while the pool is full.
    pub fn refill_delay(&self) -> Option<Duration> {
        let delay = if self.crashed { DELAY_AFTER_CRASH } else { REFILL_DELAY };
        (self.warm.len() < self.size).then_some(delay)
    }

    /// Starts processes until the pool is full.
    pub fn refill(&mut self) -> anyhow::Result<()> {
        self.crashed = false;
        while self.warm.len() < self.size {
            let warm = self.start().inspect_err(|_| self.crashed = true)?;
            self.warm.push_back(warm);
        }
        Ok(())
    }

    /// Kills the warm processes, and starts no more.
    pub fn close(&mut self) {
        self.size = 0;
        self.warm.clear();
    }

    /// Removes a process that has exited. Returns `false` if it is not in the pool.
    pub fn remove(&mut self, room: &RoomId) -> bool {
        let at = self.warm.iter().position(|(id, _)| id == room);
        at.and_then(|at| self.warm.remove(at)).inspect(|_| self.crashed = true).is_some()
    }

    fn start(&mut self) -> anyhow::Result<(RoomId, Process)> {
        let started = (self.starter)(self.next_room)?;
        self.next_room += 1;
        Ok(started)
    }
}
