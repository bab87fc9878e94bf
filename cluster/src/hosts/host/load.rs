//! How busy the processors of a host are.

use std::fs;

/// The time that the processors of this machine have spent, in ticks.
pub(super) struct CpuTimes {
    busy: u64,
    all: u64,
}

impl CpuTimes {
    /// All zero where the system does not tell: only Linux does.
    pub fn now() -> CpuTimes {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user, nice, system, idle, iowait, …
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<u64> =
            line.split(' ').filter_map(|time| time.parse().ok()).take(8).collect();
        let all = times.iter().sum();
        CpuTimes { busy: all - times.iter().skip(3).take(2).sum::<u64>(), all }
    }

    /// The share that was busy since this was called last, from 0 to 1.
    pub fn busy(&mut self) -> f32 {
        let before = std::mem::replace(self, CpuTimes::now());
        let all = self.all.saturating_sub(before.all).max(1);
        self.busy.saturating_sub(before.busy) as f32 / all as f32
    }
}
