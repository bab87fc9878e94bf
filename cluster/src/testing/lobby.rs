//! What the tests share: a cluster that runs, and patience.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{player::Player, socket_io::Client};

/// Longer than anything takes on a machine that is busy with something else; a test that waits so long
/// has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// For tests that say more, and come back more often, than a public game allows.
pub const AT_ANY_PACE: [&str; 4] =
    ["--events-per-second", "1000000", "--connects-per-second", "1000000"];

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Looks again and again, for what gives no sign of its own.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    soon(what, found).await
}

/// A program that runs as a lobby, on a free port and with a folder of its own. Dropping it kills it,
/// and checks that its rooms end with it.
pub struct Cluster {
    pub url: String,
    program: PathBuf,
    process: Child,
    log: Log,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Arc<Folder>,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Cluster {
    /// Your own lobby and rooms.
    pub async fn yours(flags: &[&str]) -> Cluster {
        Self::start(env!("CARGO_BIN_EXE_server").into(), flags, &[], Folder::new()).await
    }

    /// The same with something in its environment, such as a setting of your own.
    pub async fn yours_with(flags: &[&str], environment: &[(&str, &str)]) -> Cluster {
        Self::start(env!("CARGO_BIN_EXE_server").into(), flags, environment, Folder::new()).await
    }

    /// The program that misbehaves when asked to.
    pub async fn unruly(flags: &[&str]) -> Cluster {
        Self::start(unruly(), flags, &[], Folder::new()).await
    }

    /// The same with something in its environment; what is empty is taken out of it.
    pub async fn unruly_with(flags: &[&str], environment: &[(&str, &str)]) -> Cluster {
        Self::start(unruly(), flags, environment, Folder::new()).await
    }

    /// Another program that is a lobby.
    pub async fn of(program: &Path, flags: &[&str]) -> Cluster {
        Self::start(program.to_owned(), flags, &[], Folder::new()).await
    }

    /// The same with something in its environment, and its key in this folder.
    pub async fn of_with(
        program: PathBuf,
        flags: &[&str],
        environment: &[(&str, &str)],
        folder: Arc<Folder>,
    ) -> Cluster {
        Self::start(program, flags, environment, folder).await
    }

    /// The same with so many open files at most.
    pub async fn unruly_with_open_files(limit: u32, flags: &[&str]) -> Cluster {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let script = folder.0.join("limited");
        let text = format!("#!/bin/sh\nulimit -n {limit}\nexec '{}' \"$@\"\n", unruly().display());
        fs::write(&script, text).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("our script");
        Self::start(script, flags, &[], folder).await
    }

    /// Starts it again after this one has ended: the same command, and so the same key.
    pub async fn again(self) -> Cluster {
        self.again_with(&[]).await
    }

    /// The same with more flags, this time.
    pub async fn again_with(self, more: &[&str]) -> Cluster {
        let (program, folder) = (self.program.clone(), self.folder.clone());
        let (before, environment) = (self.flags.clone(), self.environment.clone());
        drop(self);
        let flags: Vec<&str> =
            before.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut again = Self::start(program, &flags, &environment, folder).await;
        again.flags = before;
        again
    }

    async fn start(
        program: PathBuf,
        flags: &[&str],
        environment: &[(&str, &str)],
        folder: Arc<Folder>,
    ) -> Cluster {
        let mut command = command(&program);
        command.envs(environment.iter().copied());
        for (name, _) in environment.iter().filter(|(_, value)| value.is_empty()) {
            command.env_remove(name);
        }
        let mut process = command
            .args(["--log-format", "json", "--key-file"])
            .arg(folder.0.join("lobby.key"))
            .args(flags)
            .env("CLUSTER_PORT", "0")
            // The line `spawned` tells which process a room is.
            .env("RUST_LOG", "info,app=debug,cluster=debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Log::default();
        collect(process.stdout.take().expect("piped"), &log);
        collect(process.stderr.take().expect("piped"), &log);
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(own).collect();
        let url = String::new();
        let mut cluster = Cluster { url, program, process, log, flags, environment, folder };
        let ready = cluster.logged("lobby ready").await;
        cluster.url = ready["url"].as_str().expect("a url").to_owned();
        cluster
    }

    /// A new player, in the lobby.
    pub async fn player(&self, name: &str) -> Player {
        Player::register(&self.url, name).await
    }

    /// Somebody who has not registered.
    pub async fn visitor(&self) -> Client {
        Client::connect(&self.url, json!({})).await.expect("anyone may connect")
    }

    /// The first line of the log with this message.
    pub async fn logged(&self, message: &str) -> Value {
        eventually(message, || self.lines().into_iter().find(|line| line["message"] == message))
            .await
    }

    /// The log so far.
    pub fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The process of a room.
    pub async fn process_of(&self, room: &Value) -> Pid {
        let spawned = |line: &Value| line["message"] == "spawned" && line["room"] == *room;
        let line = eventually("a process", || self.lines().into_iter().find(spawned)).await;
        pid(&line["pid"])
    }

    /// Sends a signal to a room's process.
    pub async fn signal_room(&self, room: &Value, signal: Signal) {
        kill_process(self.process_of(room).await, signal).expect("it runs");
    }

    /// A new player of this form, in the lobby.
    pub async fn player_as(&self, form: Value) -> Player {
        Player::register_as(&self.url, form).await
    }

    /// How often the log has a line with this message.
    pub fn count(&self, message: &str) -> usize {
        self.lines().iter().filter(|line| line["message"] == message).count()
    }

    /// All processes that it ever started for rooms.
    pub fn processes(&self) -> Vec<Pid> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line["message"] == "spawned").map(|line| pid(&line["pid"])).collect()
    }

    /// The lobby's process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// How many descriptors the lobby has open.
    pub fn descriptors(&self) -> usize {
        descriptors(self.pid()).len()
    }

    /// The port at which it is reached.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Whether this line of a room is among the last of the log.
    pub fn has_lately(&self, room: &str, message: &str) -> bool {
        let (room, message) = (format!("\"{room}\""), format!("\"{message}\""));
        let log = self.log.lock().unwrap();
        log.iter().rev().take(500).any(|line| line.contains(&room) && line.contains(&message))
    }

    /// The log so far, as it was written.
    pub fn text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.0.join("lobby.key")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the lobby runs");
    }

    /// How the lobby has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("our child")
    }

    /// Waits until the lobby has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the lobby's end", || self.process.try_wait().expect("our child")).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the log ---\n{}", self.log.lock().unwrap().join("\n"));
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        for pid in self.processes() {
            while is_alive(pid) {
                assert!(Instant::now() < deadline, "a room outlives its lobby");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// A program that runs from the project's folder and gets no settings but the test's. Only how
/// connections come to rooms can be chosen for all tests: `CLUSTER_RELAY=true cargo test`.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let ours = |name: &str| name.starts_with("CLUSTER_") || name == "RUST_LOG";
    let routing = |name: &str| matches!(name, "CLUSTER_RELAY" | "CLUSTER_ROOM_PORTS");
    for (name, _) in env::vars().filter(|(name, _)| ours(name) && !routing(name)) {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// The program of `unruly.rs`; built once.
pub fn unruly() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example("unruly")).clone()
}

/// An example's program. `cargo test --test cluster` builds no examples, and one that was built before may
/// be older than the sources: Cargo is asked.
pub fn example(name: &str) -> PathBuf {
    // This test is TARGET/PROFILE/deps/NAME.
    let test = env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("a profile's folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", name, "--target-dir"]);
    cargo.arg(profile.parent().expect("a target folder"));
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(name) => drop(cargo.args(["--profile", name])),
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("Cargo runs");
    assert!(built.success(), "the example {name} does not build");
    profile.join("examples").join(name)
}

/// A folder that is gone when nobody needs it any more.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Arc<Folder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("cluster-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Arc::new(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the process's descriptors are.
pub fn descriptors(process: Pid) -> Vec<String> {
    let folder = match cfg!(target_os = "linux") {
        true => format!("/proc/{}/fd", process.as_raw_nonzero()),
        // There is no such list of another process.
        false => return vec![],
    };
    let entries = fs::read_dir(folder).expect("a process that runs").flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.map(|target| target.display().to_string()).collect()
}

/// Whether a process runs; one that has ended and was not reaped does not.
pub fn is_alive(pid: Pid) -> bool {
    if !cfg!(target_os = "linux") {
        return rustix::process::test_kill_process(pid).is_ok();
    }
    // After the name in parentheses: the state.
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn pid(value: &Value) -> Pid {
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
    number.and_then(Pid::from_raw).expect("a process id")
}

/// On a thread, so that a full pipe never stops the program.
fn collect(output: impl Read + Send + 'static, log: &Log) {
    let log = log.clone();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}
