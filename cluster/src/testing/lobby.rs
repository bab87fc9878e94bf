//! A running lobby, for tests over real processes and sockets.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::testing::connection::host_of;
use crate::testing::wait::DEADLINE;
use crate::testing::{
    Client, TestFolder, TestPlayer, command, descriptors, eventually, is_room, pid, soon,
};

/// A lobby's process, on a free port and with a key of its own.
///
/// Dropping it kills the process and checks that its rooms end, too. If the test has failed, it
/// prints the log. Methods that wait do so for a minute at most, and then fail the test.
///
/// ```no_run
/// # use cluster::testing::LobbyProcess;
/// # use serde_json::json;
/// # async fn story(program: &str) {
/// // In your tests: env!("CARGO_BIN_EXE_server").
/// let lobby = LobbyProcess::start(program, &["--seats", "2"]).await;
/// let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
/// let mut anns = ann.enter("play", json!({})).await;
/// let mut bobs = bob.enter("play", json!({})).await;
/// assert_eq!(anns.event("joined").await["room"], bobs.event("joined").await["room"]);
/// anns.ask("say", json!("hello")).await.expect("an answer");
/// assert_eq!(bobs.event("said").await, json!({ "from": "Ann", "text": "hello" }));
/// # }
/// ```
pub struct LobbyProcess {
    /// Its URL, such as `http://127.0.0.1:40123`.
    pub url: String,
    launch: LobbyBuilder,
    process: Child,
    log: Log,
    readers: Vec<JoinHandle<()>>,
}

type Log = Arc<Mutex<Vec<String>>>;
type OnLine = Arc<dyn Fn(&str) + Send + Sync>;

/// Options of a lobby, made by [`LobbyProcess::builder`]; [`start`](Self::start) starts it.
#[derive(Clone)]
pub struct LobbyBuilder {
    program: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Arc<TestFolder>,
    working_dir: Option<PathBuf>,
    on_line: Option<OnLine>,
    own_group: bool,
}

impl LobbyBuilder {
    /// Adds flags. They override the defaults of a test lobby: any free port, a log as JSON.
    pub fn flags<S: AsRef<str>>(mut self, flags: &[S]) -> Self {
        self.flags.extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; an empty one is removed. `RUST_LOG` must let `cluster=debug`
    /// pass, or [`LobbyProcess::process_of`] finds nothing.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps its key in this folder, so that another lobby can use the same.
    pub fn folder(mut self, folder: &Arc<TestFolder>) -> Self {
        self.folder = folder.clone();
        self
    }

    /// Runs it in this folder.
    pub fn working_dir(mut self, folder: &Path) -> Self {
        self.working_dir = Some(folder.to_owned());
        self
    }

    /// Calls `hook` with each line of the log, on the thread that reads it.
    pub fn on_line(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_line = Some(Arc::new(hook));
        self
    }

    /// Runs it in a process group of its own: Ctrl-C does not reach it, and it is killed whole.
    pub fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Starts it, and waits until it is ready. Panics if that takes more than a minute.
    pub async fn start(self) -> LobbyProcess {
        // A child inherits that a signal is ignored, as under `nohup`, but not that it is handled.
        let _ = signal(SignalKind::hangup());
        let mut process = self.spawn();
        let log = Log::default();
        let readers = vec![
            self.collect(process.stdout.take().expect("piped"), &log),
            self.collect(process.stderr.take().expect("piped"), &log),
        ];
        let mut lobby = LobbyProcess { url: String::new(), launch: self, process, log, readers };
        let ready = eventually("lobby ready", || {
            // The last output may not be in the log yet.
            let over = lobby.has_ended().filter(|_| lobby.has_said_all());
            let ready = lobby.lines().into_iter().find(|line| line["message"] == "lobby ready");
            match over {
                Some(status) if ready.is_none() => panic!("the lobby has ended with {status}"),
                _ => ready,
            }
        });
        let ready = ready.await;
        lobby.url = ready["url"].as_str().expect("a url").to_owned();
        lobby
    }

    fn spawn(&self) -> Child {
        let mut command = command(&self.program);
        command
            .env("CLUSTER_PORT", "0")
            .env("CLUSTER_KEY_FILE", self.folder.path().join("lobby.key"))
            .env("CLUSTER_LOG_FORMAT", "json")
            // The line `spawned` has the process of a room.
            .env("RUST_LOG", "info,cluster=debug");
        for (name, value) in &self.environment {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        if let Some(folder) = &self.working_dir {
            command.current_dir(folder);
        }
        if self.own_group {
            command.process_group(0);
        }
        command.args(&self.flags).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.spawn();
        started.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()))
    }

    /// Reads on a thread, so that a full pipe never blocks the program.
    fn collect(&self, output: impl Read + Send + 'static, log: &Log) -> JoinHandle<()> {
        let (log, on_line) = (log.clone(), self.on_line.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(on_line) = &on_line {
                    on_line(&line);
                }
                log.lock().unwrap().push(line);
            }
        })
    }
}

impl LobbyProcess {
    /// Starts a program as a lobby with these flags.
    ///
    /// # Panics
    /// If it is not ready within a minute.
    pub async fn start(program: impl AsRef<Path>, flags: &[&str]) -> LobbyProcess {
        Self::builder(program).flags(flags).start().await
    }

    /// Starts to build a lobby with more options.
    pub fn builder(program: impl AsRef<Path>) -> LobbyBuilder {
        LobbyBuilder {
            program: program.as_ref().to_owned(),
            flags: vec![],
            environment: vec![],
            folder: TestFolder::new(),
            working_dir: None,
            on_line: None,
            own_group: false,
        }
    }

    /// Starts it again with the same command and key. Kills it first if it still runs.
    pub async fn again(self) -> LobbyProcess {
        self.again_with(&[]).await
    }

    /// The same with additional flags, which a further [`again`](Self::again) does not have.
    pub async fn again_with(self, more: &[&str]) -> LobbyProcess {
        let launch = self.launch.clone();
        drop(self);
        let mut again = launch.clone().flags(more).start().await;
        again.launch = launch;
        again
    }

    /// Registers a new player, who is then in the lobby.
    ///
    /// # Panics
    /// If the lobby refuses the registration.
    pub async fn player(&self, name: &str) -> TestPlayer {
        TestPlayer::register(&self.url, name).await
    }

    /// Registers a new player with this form, such as `{ name, password }`.
    ///
    /// # Panics
    /// If the lobby refuses the registration.
    pub async fn player_as(&self, form: Value) -> TestPlayer {
        TestPlayer::register_as(&self.url, form).await
    }

    /// Connects a client without registering.
    pub async fn visitor(&self) -> Client {
        Client::connect(&self.url, json!({})).await.expect("anyone may connect")
    }

    /// Sends an HTTP request. Returns the status and the whole response as text.
    pub async fn http(&self, method: &str, path: &str) -> (u16, String) {
        let host = host_of(&self.url);
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = async {
            let mut stream = TcpStream::connect(host).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = soon(path, answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    }

    /// Waits for the first line of the log with this message.
    pub async fn logged(&self, message: &str) -> Value {
        eventually(message, || self.lines().into_iter().find(|line| line["message"] == message))
            .await
    }

    /// The number of lines of the log with this message.
    pub fn count(&self, message: &str) -> usize {
        self.lines().iter().filter(|line| line["message"] == message).count()
    }

    /// The log so far, one JSON object for each line; other output is left out.
    pub fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The log so far, as text, with all other output.
    pub fn text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Whether this line of a room is among the last 500 of the log.
    pub fn has_lately(&self, room: &str, message: &str) -> bool {
        let (room, message) = (format!("\"{room}\""), format!("\"{message}\""));
        let log = self.log.lock().unwrap();
        log.iter().rev().take(500).any(|line| line.contains(&room) && line.contains(&message))
    }

    /// The process of a room, waiting until it is in the log.
    pub async fn process_of(&self, room: &Value) -> Pid {
        let spawned = |line: &Value| line["message"] == "spawned" && line["room"] == *room;
        let line = eventually("a process", || self.lines().into_iter().find(spawned)).await;
        pid(&line["pid"])
    }

    /// Sends a signal to a room's process.
    pub async fn signal_room(&self, room: &Value, signal: Signal) {
        kill_process(self.process_of(room).await, signal).expect("the room runs");
    }

    /// All room processes that it has started so far.
    pub fn processes(&self) -> Vec<Pid> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line["message"] == "spawned").map(|line| pid(&line["pid"])).collect()
    }

    /// The lobby's process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// The number of open descriptors of the lobby.
    pub fn descriptors(&self) -> usize {
        descriptors(self.pid()).len()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        host_of(&self.url).rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The path of its key.
    pub fn key_file(&self) -> PathBuf {
        self.launch.folder.path().join("lobby.key")
    }

    /// Sends a signal to the lobby. `Signal::TERM` stops it gracefully.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the lobby runs");
    }

    /// Its exit status, if it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("our child")
    }

    /// Waits until the lobby has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the lobby's end", || self.process.try_wait().expect("our child")).await
    }

    /// Whether all of its output has been read. This becomes true shortly after it has ended.
    pub fn has_said_all(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for LobbyProcess {
    fn drop(&mut self) {
        if self.launch.own_group && self.has_ended().is_none() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the log ---\n{}", self.text());
            return;
        }
        let deadline = Instant::now() + DEADLINE;
        for pid in self.processes() {
            while is_room(pid) {
                assert!(Instant::now() < deadline, "a room outlives its lobby");
                thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
}
