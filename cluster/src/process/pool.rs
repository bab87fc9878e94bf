//! Processes of rooms: started when they are needed, or ahead, as warm rooms that know nothing of their
//! task yet. An open then costs no process start.

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use tokio::sync::mpsc;
use tracing::error;

use crate::{
    config::settings::Settings,
    process::supervisor::{self, Process, ProcessEvent},
    types::RoomId,
};

/// The room that was taken from the pool gets the processor before the one that replaces it.
const REFILL_DELAY: Duration = Duration::from_millis(15);
/// A broken program would be started for ever.
const DELAY_AFTER_DEATH: Duration = Duration::from_secs(1);

pub(crate) struct Pool {
    settings: Settings,
    /// This very program, also when another one stands at its path by now.
    program: PathBuf,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
    next_room: u64,
    /// Warm or about to be, oldest first.
    waiting: VecDeque<(RoomId, Process)>,
    /// One of them died by itself.
    died: bool,
    closed: bool,
}

impl Pool {
    pub fn new(
        settings: Settings,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<Self> {
        let linux = cfg!(target_os = "linux");
        let program = if linux { "/proc/self/exe".into() } else { std::env::current_exe()? };
        let (waiting, next_room) = (VecDeque::new(), 1);
        Ok(Pool { settings, program, inbox, next_room, waiting, died: false, closed: false })
    }

    /// A process for a room: the oldest warm one, or a new one.
    pub fn take(&mut self) -> anyhow::Result<(RoomId, Process)> {
        self.waiting.pop_front().map_or_else(|| self.start(), Ok)
    }

    /// When it wants to be filled again.
    pub fn refill_delay(&self) -> Option<Duration> {
        let full = self.waiting.len() >= self.settings.pool;
        (!full && !self.closed).then_some(if self.died { DELAY_AFTER_DEATH } else { REFILL_DELAY })
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

    /// A process has ended; whether it was one of those that wait.
    pub fn ended(&mut self, room: &RoomId) -> bool {
        let at = self.waiting.iter().position(|(id, _)| id == room);
        at.and_then(|at| self.waiting.remove(at)).inspect(|_| self.died = true).is_some()
    }

    fn start(&mut self) -> anyhow::Result<(RoomId, Process)> {
        let id = RoomId(self.next_room.to_string());
        self.next_room += 1;
        let process =
            supervisor::start(&self.program, id.clone(), &self.settings, self.inbox.clone())?;
        Ok((id, process))
    }
}
