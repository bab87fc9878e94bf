//! Processes and temporary folders.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;
use std::{env, fs};

use rustix::process::{Pid, Resource, getrlimit, setrlimit};
use serde_json::Value;

/// A command without the environment's settings, except for `CLUSTER_NO_HANDOFF`: with
/// `CLUSTER_NO_HANDOFF=true cargo test` the tests run over relayed connections.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text == "RUST_LOG" || text.starts_with("CLUSTER_") && text != "CLUSTER_NO_HANDOFF" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A free TCP port of 127.0.0.1, for a program that must know its port before it starts. It is
/// below the range from which systems take those of connections: no connection gets it in between.
/// Each call in a process returns another one.
///
/// # Panics
/// If none is free.
pub fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Processes that run side by side begin far from each other.
    let first = std::process::id().wrapping_mul(97);
    let next = |_| 10_000 + (first.wrapping_add(CALLS.fetch_add(1, Relaxed)) % 22_000) as u16;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..22_000).map(next).find(is_free).expect("a free port")
}

/// A temporary folder, deleted when the last owner drops it.
#[derive(Debug)]
pub struct TestFolder(PathBuf);

impl TestFolder {
    /// Creates an empty folder.
    ///
    /// # Panics
    /// If it cannot be created.
    #[allow(clippy::new_ret_no_self, reason = "a lobby that is started again shares it")]
    pub fn new() -> Arc<TestFolder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("cluster-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be created");
        Arc::new(TestFolder(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // A process that was just killed may still create a file.
        for _ in 0..100 {
            match fs::remove_dir_all(&self.0) {
                Err(_) if self.0.exists() => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}

/// A process as Linux describes it in `/proc/PID/stat`.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStat {
    /// Its id.
    pub pid: Pid,
    /// Such as `R` or `S`; `Z` if it has ended and is not reaped.
    pub state: char,
    /// The id of its parent.
    pub parent: i32,
    /// The id of its process group.
    pub group: i32,
    /// Of all its threads, user and system.
    pub processor_time: Duration,
}

impl ProcessStat {
    /// `None`: there is no such process.
    pub fn of(pid: Pid) -> Option<ProcessStat> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The name in parentheses may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: u32 =
            fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
        Some(ProcessStat {
            pid,
            state: fields[0].chars().next()?,
            parent: fields[1].parse().ok()?,
            group: fields[2].parse().ok()?,
            processor_time: Duration::from_millis(10) * ticks,
        })
    }

    /// All processes.
    pub fn all() -> impl Iterator<Item = ProcessStat> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids =
            entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        pids.filter_map(ProcessStat::of)
    }

    /// The child processes of a process.
    pub fn children(parent: Pid) -> Vec<ProcessStat> {
        Self::all().filter(|stat| stat.parent == parent.as_raw_nonzero().get()).collect()
    }

    /// Whether it runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        !['Z', 'X'].contains(&self.state)
    }
}

/// Whether a process runs. A zombie does not.
pub fn is_alive(pid: Pid) -> bool {
    if !cfg!(target_os = "linux") {
        return rustix::process::test_kill_process(pid).is_ok();
    }
    ProcessStat::of(pid).is_some_and(|stat| stat.is_alive())
}

/// Whether this is still the process of a room, as process ids are reused.
pub fn is_room(pid: Pid) -> bool {
    if !cfg!(target_os = "linux") {
        return is_alive(pid);
    }
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"room")
}

/// The targets of a process's open descriptors. Empty where the system does not list them.
pub fn descriptors(process: Pid) -> Vec<String> {
    if !cfg!(target_os = "linux") {
        return vec![];
    }
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.map(|target| target.display().to_string()).collect()
}

/// A process id from an answer or a line of the log.
///
/// # Panics
/// If it is not one.
pub fn pid(value: &Value) -> Pid {
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
    number.and_then(Pid::from_raw).expect("a process id")
}

/// The private memory of a process in KiB: what it does not share with others of its program.
/// `None` where the system does not tell.
pub fn private_kib(process: Pid) -> Option<u64> {
    let path = format!("/proc/{}/smaps_rollup", process.as_raw_nonzero());
    let text = fs::read_to_string(path).ok()?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

/// Allows this process and those that it starts up to 20,000 open files, or as many as the system
/// does: a thousand players need a thousand sockets.
pub fn allow_many_files() {
    const ENOUGH: u64 = 20_000;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < ENOUGH) {
        limit.current = Some(limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
