//! Processes and temporary folders.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::process::Pid;
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
                Err(_) if self.0.exists() => {
                    std::thread::sleep(std::time::Duration::from_millis(5))
                }
                _ => return,
            }
        }
    }
}

/// Whether a process runs. A zombie does not.
pub fn is_alive(pid: Pid) -> bool {
    if !cfg!(target_os = "linux") {
        return rustix::process::test_kill_process(pid).is_ok();
    }
    // After the name in parentheses: the state.
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
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
