//! What a host tells its lobby with each beat: that it is there, and how busy it is.

use std::collections::VecDeque;
use std::fs;
use std::io;

use crate::hosts::{FromHost, Load, Times};
use crate::runtime::Lease;
use crate::runtime::clock::machine_ms;

/// The beats of a link.
pub(super) struct Beats {
    times: Times,
    /// Those that the lobby has not heard yet, by their numbers, and when they were sent.
    unheard: VecDeque<(u64, u64)>,
    last: u64,
    cpu: CpuTimes,
}

impl Beats {
    pub fn new(times: Times) -> Beats {
        let (unheard, cpu) = (VecDeque::new(), CpuTimes::now());
        Beats { times, unheard, last: 0, cpu }
    }

    /// The lobby is there, and has heard this beat of the host: its rooms live on from then.
    pub fn heard(&mut self, number: u64, lease: &Lease) -> io::Result<()> {
        while let Some((beat, sent)) = self.unheard.pop_front_if(|(beat, _)| *beat <= number) {
            if beat == number {
                lease.extend(sent + self.times.lease.as_millis() as u64)?;
            }
        }
        Ok(())
    }

    /// The next one.
    pub fn next(&mut self, draining: bool, undescribed: bool) -> FromHost {
        self.last += 1;
        self.unheard.push_back((self.last, machine_ms()));
        let load = Load { cpu: self.cpu.busy(), draining, undescribed };
        FromHost::Beat { number: self.last, load }
    }
}

/// The time that the processors of this machine have spent, in ticks.
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl CpuTimes {
    /// All zero where the system does not tell: only Linux does.
    fn now() -> CpuTimes {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user, nice, system, idle, iowait, …
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<u64> =
            line.split(' ').filter_map(|time| time.parse().ok()).take(8).collect();
        let all = times.iter().sum();
        CpuTimes { busy: all - times.iter().skip(3).take(2).sum::<u64>(), all }
    }

    /// The share that was busy since this was called last, from 0 to 1.
    fn busy(&mut self) -> f32 {
        let before = std::mem::replace(self, CpuTimes::now());
        let all = self.all.saturating_sub(before.all).max(1);
        self.busy.saturating_sub(before.busy) as f32 / all as f32
    }
}
