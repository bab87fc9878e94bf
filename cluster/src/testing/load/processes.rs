//! The lobby, its rooms and this process: processor time and memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, getpid};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::testing::{ProcessStat, private_kib};

/// A room that ends loses at most so much of its processor time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Processor times since the start.
pub(super) struct Processes {
    start: Instant,
    bots: Used,
    lobby: Option<(Pid, Used)>,
    rooms: HashMap<Pid, Used>,
}

/// The processor time of one process at first, and now.
#[derive(Default, Clone, Copy)]
struct Used {
    first: Duration,
    last: Duration,
}

impl Used {
    fn from_now(pid: Pid) -> Used {
        let now = processor_time(pid);
        Used { first: now, last: now }
    }

    fn seconds(self) -> f64 {
        self.last.saturating_sub(self.first).as_secs_f64()
    }
}

impl Processes {
    /// Watches them on a thread, until the last owner drops it. `lobby`: if it runs here.
    pub fn watch(lobby: Option<Pid>) -> Arc<Mutex<Processes>> {
        let mut processes = Processes {
            start: Instant::now(),
            bots: Used::from_now(getpid()),
            lobby: lobby.map(|pid| (pid, Used::from_now(pid))),
            rooms: HashMap::new(),
        };
        processes.look();
        processes.rooms.values_mut().for_each(|used| used.first = used.last);
        let processes = Arc::new(Mutex::new(processes));
        let watched = Arc::downgrade(&processes);
        thread::spawn(move || {
            while let Some(processes) = watched.upgrade() {
                processes.lock().expect("nobody panics while holding this").look();
                drop(processes);
                thread::sleep(INTERVAL);
            }
        });
        processes
    }

    fn look(&mut self) {
        self.bots.last = processor_time(getpid());
        let Some((pid, used)) = &mut self.lobby else { return };
        used.last = processor_time(*pid).max(used.last);
        for room in ProcessStat::children(*pid) {
            let used = self.rooms.entry(room.pid).or_default();
            used.last = room.processor_time.max(used.last);
        }
    }

    /// The processor time of the bots.
    pub fn bots(&mut self) -> Value {
        self.look();
        let (seconds, time) = (self.bots.seconds(), self.start.elapsed().as_secs_f64());
        json!({ "cpu_seconds": round(seconds), "cores": round(seconds / time) })
    }

    /// Processor time and memory of the server, for each room that has players, and each player.
    /// Nulls if it does not run here.
    pub fn server(&mut self, players: usize, rooms: usize) -> Value {
        self.look();
        let time = self.start.elapsed().as_secs_f64();
        let lobby = self.lobby.map(|(pid, used)| (used.seconds(), private_kib(pid)));
        let memory: Vec<u64> = self.rooms.keys().filter_map(|pid| private_kib(*pid)).collect();
        let of_rooms = lobby.map(|_| self.rooms.values().map(|used| used.seconds()).sum::<f64>());
        let kib_of_rooms = lobby.map(|_| memory.iter().sum::<u64>());
        let kib = lobby.and_then(|(_, kib)| Some(kib? + kib_of_rooms?));
        let seconds = lobby.and_then(|(seconds, _)| Some(seconds + of_rooms?));
        let each = |of: Option<f64>, count: usize| {
            of.filter(|_| count > 0).map(|of| round(of / count as f64))
        };
        let cores = |seconds: Option<f64>| seconds.map(|seconds| round(seconds / time));
        json!({
            "lobby": {
                "cores": cores(lobby.map(|(seconds, _)| seconds)),
                "cpu_seconds": lobby.map(|(seconds, _)| round(seconds)),
                "memory_kib": lobby.and_then(|(_, kib)| kib),
            },
            "rooms": {
                "cores": cores(of_rooms),
                "cpu_seconds": of_rooms.map(round),
                "memory_kib": kib_of_rooms,
            },
            "per_room": {
                "cpu_percent": each(of_rooms.map(|seconds| seconds / time * 100.0), rooms),
                "memory_kib": each(kib_of_rooms.map(|kib| kib as f64), rooms),
            },
            "per_player": {
                "cpu_percent": each(seconds.map(|seconds| seconds / time * 100.0), players),
                "memory_kib": each(kib.map(|kib| kib as f64), players),
            },
        })
    }
}

fn processor_time(pid: Pid) -> Duration {
    ProcessStat::of(pid).map_or(Duration::ZERO, |stat| stat.processor_time)
}

/// Three decimals are enough.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
