//! Resources of the lobby and its rooms, from `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cluster::testing::ProcessStat;
use rustix::process::{Pid, Signal, kill_process};

/// The resources of a process.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    pub memory_kib: u64,
    pub descriptors: usize,
    /// Child processes, and those of them that are not reaped.
    pub children: usize,
    pub zombies: usize,
}

pub fn holds(pid: Pid) -> Holds {
    let children = ProcessStat::children(pid);
    let zombies = children.iter().filter(|stat| stat.state == 'Z').count();
    let pid = pid.as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // Private memory: without the program's text, which it shares with its rooms.
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = memory.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let children = children.len() - zombies;
    Holds { memory_kib: memory.unwrap_or(0), descriptors, children, zombies }
}

/// Whether this is still a room's process of this program, as process ids are reused.
pub fn is_room(pid: Pid, program: &Path) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line == [program.as_os_str().as_bytes(), b"room", b""].join(&0)
}

/// Sends a signal to a room's process. Returns whether it was there.
pub fn signal_room(pid: Pid, program: &Path, signal: Signal) -> bool {
    is_room(pid, program) && kill_process(pid, signal).is_ok()
}
