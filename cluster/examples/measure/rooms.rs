//! The cost of a room: time until it is ready, private memory, time until a player has joined.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, ensure};
use cluster::testing::{Client, LobbyProcess};
use serde_json::{Value, json};

use crate::figures::{private_kib, ratio, show};
use crate::lobby;

const ROOMS: usize = 100;

/// `event` opens a new room for each player.
pub async fn measure(program: &Path, event: &str, data: &Value) -> anyhow::Result<()> {
    let mut trivial = Vec::new();
    for _ in 0..ROOMS {
        let start = Instant::now();
        ensure!(Command::new("/bin/true").status()?.success());
        trivial.push(start.elapsed());
    }
    show("exec of /bin/true, started and reaped", &mut trivial);

    let fresh = lobby::start(program, &["--pool", "0"]).await;
    let mut joined = join_rooms(&fresh, event, data).await?;
    let (mut ready, pids) = ready_times(&fresh)?;
    show("room: spawned to ready", &mut ready);
    println!("{:45} {:8.2}", "  ratio of the p50s", ratio(&ready, &trivial));
    let mut memory =
        pids.iter().map(|pid| private_kib(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
    memory.sort_unstable();
    println!("{:45} {:5} KiB", "room: private memory, median", memory[memory.len() / 2]);
    show("asked for a new room to joined, no pool", &mut joined);
    drop(fresh);

    let pooled = lobby::start(program, &["--pool", "8"]).await;
    show("the same, from a pool of 8", &mut join_rooms(&pooled, event, data).await?);
    Ok(())
}

/// Players ask for new rooms and join them, one after the other.
async fn join_rooms(
    lobby: &LobbyProcess,
    event: &str,
    data: &Value,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for player in 0..ROOMS {
        let mut client = Client::connect(&lobby.url, json!({})).await.map_err(Error::msg)?;
        let name = json!({ "name": format!("p{player}") });
        client.ask("register", name).await.map_err(Error::msg)?;
        let start = Instant::now();
        client.emit(event, data.clone());
        let to = client.event("reroute").await;
        let path = to["path"].as_str().context("no path")?;
        let ticket = json!({ "ticket": to["ticket"] });
        let room = Client::connect_at(&lobby.url, path, ticket).await;
        room.map_err(Error::msg)?.event("joined").await;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// The times from spawned to ready, by the log; and the rooms' processes.
fn ready_times(lobby: &LobbyProcess) -> anyhow::Result<(Vec<Duration>, Vec<u64>)> {
    let (mut spawned, mut times, mut pids) = (HashMap::new(), Vec::new(), Vec::new());
    for line in lobby.lines() {
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

/// The seconds since midnight of a timestamp such as 2026-01-01T12:34:56.789012Z.
fn seconds(timestamp: &str) -> anyhow::Result<f64> {
    let time = timestamp.trim_end_matches('Z').split_once('T').context("no time")?.1;
    time.split(':').try_fold(0.0, |sum, part| Ok(sum * 60.0 + part.parse::<f64>()?))
}
