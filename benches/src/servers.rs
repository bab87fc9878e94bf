//! The running servers, and what one can do with each: open rooms, enter the lobby, join.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Conn, Crowd, Wire, post};
use crate::processes::{family, processor_time};
use crate::programs::System::{Colyseus, Floor, Hosts};
use crate::programs::{Programs, System};

/// How long a server or a room may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// What a server logs of itself and of rooms.
const LINES: [&str; 5] =
    ["\"spawned\"", "\"room ready\"", "\"room open\"", "\"lobby ready\"", "\"host ready\""];

pub struct Server {
    pub system: System,
    process: Child,
    /// Where rooms run, if not beside their lobby.
    hosts: Vec<Child>,
    pub url: String,
    lines: Receiver<Value>,
    /// When the last room was asked for, which rooms were started and were ready, and when: seconds
    /// of the day.
    pub asked: Cell<f64>,
    pub spawned: RefCell<Vec<(String, u32, f64)>>,
    pub ready: RefCell<Vec<(String, f64)>>,
}

/// A room: with a lobby its id, else the whole server.
#[derive(Clone)]
pub struct Room {
    pub id: String,
    pub pid: u32,
}

/// The options of a room that ticks.
pub fn ticking(hz: u32, bytes: usize, volatile: bool) -> Value {
    json!({ "hz": hz, "bytes": bytes, "volatile": volatile, "quiet": false })
}

/// The options of a room without ticks. `quiet`: nobody is told who joins.
pub fn idle(quiet: bool) -> Value {
    json!({ "hz": 0, "bytes": 0, "volatile": false, "quiet": quiet })
}

impl Server {
    /// Starts it and waits until it is ready. `options` are those of a bare server's only room.
    pub async fn start(
        programs: &Programs,
        system: System,
        pool: usize,
        options: &Value,
    ) -> anyhow::Result<Server> {
        let (sender, lines) = channel();
        let mut command = programs.command(system, pool, options);
        let mut hosts = Vec::new();
        if system == Hosts {
            let mut links = Vec::new();
            for name in ["h1", "h2"] {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                hosts.push(spawn(&mut programs.host(name, port)?, &sender)?);
                let ready = lines.recv_timeout(START_TIMEOUT).context("no host")?;
                links.push(ready["link"].as_str().context("no link")?.to_owned());
            }
            command.args(["--hosts", &links.join(",")]);
        }
        let process = spawn(&mut command, &sender)?;
        let (asked, spawned, ready) = Default::default();
        let mut server =
            Server { system, process, hosts, url: String::new(), lines, asked, spawned, ready };
        let line = server.line("lobby ready")?;
        server.url = line["url"].as_str().context("no URL")?.to_owned();
        server.settle().await?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line with this message. Keeps what is said of rooms before it.
    fn line(&self, message: &str) -> anyhow::Result<Value> {
        loop {
            let line = match self.lines.recv_timeout(START_TIMEOUT) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("no {message}"),
                Err(_) => bail!("{} has ended", self.system.name()),
            };
            self.keep(&line);
            if line["message"] == message {
                return Ok(line);
            }
        }
    }

    fn keep(&self, line: &Value) {
        let room = line["room"].as_str().unwrap_or_default().to_owned();
        if line["message"] == "spawned" {
            let pid = line["pid"].as_u64().unwrap_or_default() as u32;
            self.spawned.borrow_mut().push((room, pid, time_of(line)));
        } else if line["message"] == "room ready" {
            self.ready.borrow_mut().push((room, time_of(line)));
        }
    }

    /// Waits until this many rooms are ready, those of the pool not counted.
    pub fn wait_for_rooms(&self, count: usize) -> anyhow::Result<()> {
        while self.ready.borrow().len() < count {
            self.line("room ready")?;
        }
        Ok(())
    }

    /// For each of the last rooms, when it was spawned and when it was ready.
    pub fn starts(&self, count: usize) -> Vec<(f64, f64)> {
        let (spawned, ready) = (self.spawned.borrow(), self.ready.borrow());
        let last = ready.iter().rev().take(count);
        let starts = last.filter_map(|(room, ready)| {
            let (_, _, spawned) = spawned.iter().find(|(spawned, _, _)| spawned == room)?;
            Some((*spawned, *ready))
        });
        starts.collect()
    }

    /// The processor time of the server, its hosts and rooms so far.
    pub fn processor_time(&self) -> Duration {
        let processes = self.hosts.iter().chain([&self.process]);
        processor_time(&processes.flat_map(|process| family(process.id())).collect::<Vec<_>>())
    }

    /// Waits until it is idle: a pool is full again, output is written.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut quiet = 0;
        let mut before = self.processor_time();
        while quiet < 3 {
            sleep(Duration::from_millis(15)).await;
            let after = self.processor_time();
            quiet =
                if after.saturating_sub(before) < Duration::from_millis(1) { quiet + 1 } else { 0 };
            before = after;
            if start.elapsed() > Duration::from_secs(30) {
                bail!("{} does not become idle", self.system.name());
            }
        }
        Ok(())
    }

    /// A visitor of the lobby, or a connection to a server without one.
    pub async fn visit(&self, token: Option<&str>) -> anyhow::Result<Conn> {
        match self.system {
            Colyseus => bail!("Colyseus' lobby is a room"),
            Floor => Conn::open(&self.url, "/", Wire::Plain).await,
            system => {
                let auth = token.map_or(json!({}), |token| json!({ "token": token }));
                let first = if system.has_lobby() { "welcome" } else { "joined" };
                Ok(Conn::enter(&self.url, "/socket.io", auth, first).await?.0)
            }
        }
    }

    /// A registered player in the lobby, and their token.
    pub async fn register(&self) -> anyhow::Result<(Conn, String)> {
        let mut conn = self.visit(None).await?;
        if !self.system.has_lobby() {
            return Ok((conn, String::new()));
        }
        let answer = conn.ask("register", json!({ "name": "somebody" })).await?;
        Ok((conn, answer["token"].as_str().context("no token")?.to_owned()))
    }

    /// Opens a room and waits until it is ready.
    pub async fn open(&mut self, options: &Value) -> anyhow::Result<Room> {
        if self.system == Colyseus {
            let mut line = options.to_string();
            writeln!(line)?;
            self.process.stdin.as_mut().expect("piped").write_all(line.as_bytes())?;
            let opened = self.line("room open")?;
            let id = opened["room"].as_str().context("no room")?.to_owned();
            return Ok(Room { id, pid: self.pid() });
        }
        if !self.system.has_lobby() {
            return Ok(Room { id: String::new(), pid: self.pid() });
        }
        let (mut host, _) = self.register().await?;
        self.asked.set(seconds_of_the_day());
        let id = host.ask("open", options.clone()).await?;
        let id = id.as_str().context("no room")?.to_owned();
        while !self.ready.borrow().iter().any(|(room, _)| *room == id) {
            self.line("room ready")?;
        }
        // The log of a host may be read later.
        let process = |(_, pid, _): &(_, u32, _)| *pid;
        loop {
            let spawned = self.spawned.borrow().iter().find(|(room, ..)| *room == id).map(process);
            match spawned {
                Some(pid) => return Ok(Room { id, pid }),
                None => drop(self.line("spawned")?),
            }
        }
    }

    /// So many new players join this room and stay, a few of them at a time.
    pub async fn fill(&self, room: &Room, players: usize, crowd: &mut Crowd) -> anyhow::Result<()> {
        let joins = stream::iter(0..players).map(|_| self.join(Some(room)));
        let mut joined = pin!(joins.buffer_unordered(16));
        while let Some(player) = joined.next().await {
            crowd.add(player?.0);
        }
        Ok(())
    }

    /// A new player joins a room, or with `None` a new room of theirs. Returns also how long it
    /// took since they asked for it.
    pub async fn join(&self, room: Option<&Room>) -> anyhow::Result<(Conn, Duration)> {
        if self.system == Colyseus {
            let start = Instant::now();
            let path = room.map_or("/matchmake/create/bench".to_owned(), |room| {
                format!("/matchmake/joinById/{}", room.id)
            });
            let seat = post(&self.url, &path, &json!({})).await?;
            let field =
                |name: &str| seat[name].as_str().with_context(|| format!("no seat: {seat}"));
            let [process, room, session] = ["processId", "roomId", "sessionId"].map(field);
            let path = format!("/{}/{}?sessionId={}", process?, room?, session?);
            let mut conn = Conn::open(&self.url, &path, Wire::Colyseus).await?;
            conn.joined().await?;
            return Ok((conn, start.elapsed()));
        }
        if !self.system.has_lobby() {
            let start = Instant::now();
            return Ok((self.visit(None).await?, start.elapsed()));
        }
        let (mut player, _) = self.register().await?;
        let start = Instant::now();
        match room {
            Some(room) => player.emit("join", json!({ "room": room.id })).await?,
            None => player.emit("create", idle(false)).await?,
        }
        let to = player.event("reroute").await?;
        let url = to["url"].as_str().filter(|url| !url.is_empty()).unwrap_or(&self.url);
        let path = to["path"].as_str().context("no path")?;
        let ticket = json!({ "ticket": to["ticket"] });
        let (conn, _) = Conn::enter(url, path, ticket, "joined").await?;
        Ok((conn, start.elapsed()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Rooms end with their lobby, or with their host.
        for process in self.hosts.iter_mut().chain([&mut self.process]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts a process, and passes on what it logs of itself and of rooms.
fn spawn(command: &mut Command, lines: &Sender<Value>) -> anyhow::Result<Child> {
    let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = process.with_context(|| format!("cannot start {command:?}"))?;
    let output = process.stdout.take().expect("piped");
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Without the lines for each player.
            if LINES.iter().any(|message| line.contains(message))
                && let Ok(line) = serde_json::from_str(&line)
            {
                let _ = lines.send(line);
            }
        }
    });
    Ok(process)
}

/// The time of a line of the log, in seconds: `ms`, or a timestamp such as
/// 2026-01-01T12:34:56.789012Z.
fn time_of(line: &Value) -> f64 {
    if let Some(ms) = line["ms"].as_f64() {
        return ms / 1000.0 % 86400.0;
    }
    let text = line["timestamp"].as_str().unwrap_or_default().trim_end_matches('Z');
    let time = text.split_once('T').map_or("", |(_, time)| time);
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or_default())
}

fn seconds_of_the_day() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64() % 86400.0
}
