//! What a process uses, as Linux describes it in `/proc`.

use std::fmt::Display;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A clock tick of `/proc`: the same on all architectures.
const TICK: Duration = Duration::from_millis(10);

/// What a room's process has used. All zero where the system does not tell: only Linux does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processor time of all its threads, and of the processes that it has started and waited for.
    /// A few seconds old while the room runs, and exact in `on_room_exit`.
    pub cpu: Duration,
    /// Resident memory of the process in bytes, a few seconds old.
    pub memory: u64,
    /// The most that it was.
    pub peak_memory: u64,
    /// How late a tick was at most, in the last five seconds. The room itself tells that.
    pub(crate) tick_delay_ms: u32,
}

impl Usage {
    /// `None`: it is gone. Of a process that has ended and is not reaped, only the processor time
    /// is known.
    pub(crate) fn of(process: impl Display) -> Option<Usage> {
        let read = |file| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        let stat = read("stat")?;
        // The name in parentheses may hold anything.
        let fields = stat.rsplit_once(") ")?.1.split(' ');
        // In user and system mode, and the same of its children.
        let ticks = fields.skip(11).take(4).map(|ticks| ticks.parse::<u32>().ok());
        let ticks = ticks.sum::<Option<u32>>()?;
        let status = read("status")?;
        let bytes = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        let (memory, peak_memory) = (bytes("VmRSS:"), bytes("VmHWM:"));
        Some(Usage { cpu: TICK * ticks, memory, peak_memory, tick_delay_ms: 0 })
    }

    /// Replaces an older measurement of the same process.
    pub(crate) fn update(&mut self, new: Usage) {
        let (cpu, peak_memory) = (self.cpu.max(new.cpu), self.peak_memory.max(new.peak_memory));
        *self = Usage { cpu, peak_memory, ..new };
    }
}
