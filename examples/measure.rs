//! Measures what a room costs, next to the cheapest process there is, in the same run:
//!
//! ```sh
//! cargo build --release && cargo run --release --example measure
//! ```

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::socket_io::Client;

#[path = "../tests/cluster/socket_io.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod socket_io;

mod helpers {
    /// What the client waits with.
    pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
        let result = tokio::time::timeout(std::time::Duration::from_secs(20), future).await;
        result.unwrap_or_else(|_| panic!("{what}: too late"))
    }
}

const ROOMS: usize = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut trivial = Vec::new();
    for _ in 0..ROOMS {
        let start = Instant::now();
        ensure!(Command::new("/bin/true").status()?.success());
        trivial.push(start.elapsed());
    }
    show("exec of /bin/true, started and reaped", &mut trivial);

    let mut fresh = Lobby::start("0")?;
    let mut joined = fresh.join_rooms().await?;
    let (mut ready, pids) = fresh.ready_times()?;
    show("room: spawned to ready", &mut ready);
    println!("{:45} {:8.2}", "  ratio of the p50s", ratio(&ready, &trivial));
    let mut memory =
        pids.iter().map(|pid| private_kib(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
    memory.sort_unstable();
    println!("{:45} {:5} KiB", "room: private memory, median", memory[memory.len() / 2]);
    show("asked for a new room to joined, no pool", &mut joined);
    drop(fresh);

    let mut pooled = Lobby::start("8")?;
    show("the same, from a pool of 8", &mut pooled.join_rooms().await?);
    Ok(())
}

/// A release build of the lobby, and its log.
struct Lobby {
    process: Child,
    lines: Receiver<Value>,
    url: String,
}

impl Lobby {
    fn start(pool: &str) -> anyhow::Result<Self> {
        let program = program()?;
        let key = std::env::temp_dir().join(format!("measure-{}.key", std::process::id()));
        let mut process = Command::new(&program)
            .args(["--port", "0", "--max-rooms", "1000", "--log-format", "json", "--pool", pool])
            .arg("--key-file")
            .arg(&key)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} first: cargo build --release", program.display()))?;
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            let json = lines.filter_map(|line| serde_json::from_str(&line).ok());
            json.for_each(|line| drop(sender.send(line)));
        });
        let mut lobby = Lobby { process, lines, url: String::new() };
        let ready = lobby.wait_for("lobby ready")?;
        lobby.url = ready["url"].as_str().context("no url")?.to_owned();
        std::fs::remove_file(key)?;
        Ok(lobby)
    }

    fn wait_for(&self, message: &str) -> anyhow::Result<Value> {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20))?;
            if line["message"] == message {
                return Ok(line);
            }
        }
    }

    /// One player after the other asks for a new room, and joins it.
    async fn join_rooms(&mut self) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        for player in 0..ROOMS {
            let refused = anyhow::Error::msg;
            let mut lobby = Client::connect(&self.url, json!({})).await.map_err(refused)?;
            lobby
                .ask("register", json!({ "name": format!("p{player}") }))
                .await
                .map_err(refused)?;
            let start = Instant::now();
            lobby.emit("create", json!({ "title": "measured" }));
            let to = lobby.event("reroute").await;
            let path = to["path"].as_str().context("no path")?;
            let ticket = json!({ "ticket": to["ticket"] });
            let mut room = Client::connect_at(&self.url, path, ticket).await.map_err(refused)?;
            room.event("joined").await;
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// From the log, whose clock counts microseconds.
    fn ready_times(&self) -> anyhow::Result<(Vec<Duration>, Vec<u64>)> {
        let (mut spawned, mut times, mut pids) = (HashMap::new(), Vec::new(), Vec::new());
        while let Ok(line) = self.lines.try_recv() {
            let room = line["room"].as_str().unwrap_or_default().to_owned();
            let time = seconds(line["timestamp"].as_str().context("no time")?)?;
            if line["message"] == "spawned" {
                spawned.insert(room, time);
                pids.push(line["pid"].as_u64().context("no pid")?);
            } else if line["message"] == "room ready" {
                let from = spawned.get(&room).context("ready before it was spawned")?;
                times.push(Duration::from_secs_f64((time - from).max(0.0)));
            }
        }
        ensure!(times.len() == ROOMS, "{} rooms became ready, of {ROOMS}", times.len());
        Ok((times, pids))
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program beside this one: `target/release/cluster`.
fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.parent().and_then(|examples| examples.parent()).context("not in target")?;
    Ok(profile.join("cluster"))
}

/// Seconds within the day, of such as 2026-01-01T12:34:56.789012Z.
fn seconds(timestamp: &str) -> anyhow::Result<f64> {
    let time = timestamp.trim_end_matches('Z').split_once('T').context("no time")?.1;
    time.split(':').try_fold(0.0, |sum, part| Ok(sum * 60.0 + part.parse::<f64>()?))
}

/// Memory that belongs to this process alone.
fn private_kib(pid: u64) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.sum())
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:45} {:5.2} ms p50 {:7.2} ms p99", at(50), at(99));
}

fn ratio(a: &[Duration], b: &[Duration]) -> f64 {
    a[a.len() / 2].as_secs_f64() / b[b.len() / 2].as_secs_f64()
}
