//! What a host tells its lobby with each beat: that it is there, and how busy it and its rooms are.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::hosts::host::hosted::Hosted;
use crate::hosts::{FromHost, Load, Times};
use crate::process::{Sender, Usage};
use crate::runtime::Lease;
use crate::runtime::clock::machine_ms;
use crate::types::RoomId;

/// How often the lobby is told what rooms use.
const USAGE_PERIOD: Duration = Duration::from_secs(5);
/// Rooms in one line about that.
const USAGES: usize = 100;

/// The beats of a link.
pub(super) struct Beats {
    times: Times,
    /// Those that the lobby has not heard yet, by their numbers, and when they were sent.
    unheard: VecDeque<(u64, u64)>,
    last: u64,
    usage_at: Instant,
    cpu: CpuTimes,
}

impl Beats {
    pub fn new(times: Times) -> Beats {
        let (unheard, cpu) = (VecDeque::new(), CpuTimes::now());
        Beats { times, unheard, last: 0, usage_at: Instant::now(), cpu }
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

    /// Whether the lobby is to be told what rooms use.
    pub fn is_usage_due(&mut self) -> bool {
        let now = Instant::now();
        self.usage_at <= now && std::mem::replace(&mut self.usage_at, now + USAGE_PERIOD) <= now
    }
}

/// Tells the lobby what the rooms use. Reading that may take a while.
pub(super) fn measure(rooms: &HashMap<RoomId, Hosted>, to_lobby: &Sender) {
    let room = |(room, hosted): (&RoomId, &Hosted)| {
        let process = &hosted.process;
        Some((room.clone(), process.pid?, process.tick_delay.load(Relaxed)))
    };
    let rooms: Vec<_> = rooms.iter().filter_map(room).collect();
    let to_lobby = to_lobby.clone();
    tokio::task::spawn_blocking(move || {
        for rooms in rooms.chunks(USAGES) {
            let usage = |(room, pid, tick_delay): &(RoomId, u32, u32)| {
                Some((room.clone(), Usage::of(pid)?, *tick_delay))
            };
            let rooms = rooms.iter().filter_map(usage).collect();
            let _ = to_lobby.send(&FromHost::Usage { rooms });
        }
    });
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
