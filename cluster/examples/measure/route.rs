//! A room that is reached by handoff or relay, or a bare server instead; and the load on it.

use std::array;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Error, ensure};
use cluster::testing::{Client, LobbyProcess, Pid, pid};
use rustix::process::getpid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bare::Bare;
use crate::figures::{machine_time, processor_time};
use crate::lobby;
use crate::seat::{Crowd, Seat};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// No lobby: the players connect to a Socket.IO server.
    Bare,
    Handoff,
    Relay,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Bare, Way::Handoff, Way::Relay];

    pub fn name(self) -> &'static str {
        match self {
            Way::Bare => "bare server",
            Way::Handoff => "handoff",
            Way::Relay => "relay",
        }
    }
}

pub struct Route {
    pub way: Way,
    server: Server,
    url: String,
    path: String,
    crowd: Crowd,
    /// Connections to the room so far.
    connections: u64,
}

enum Server {
    Bare(Bare),
    Cluster { lobby: LobbyProcess, room: Value, room_pid: Pid },
}

/// What was done in one turn, the time it took, and the processor time that was spent.
pub struct Turn {
    pub done: u64,
    pub time: Duration,
    pub lobby: Duration,
    /// By the room, or by the bare server.
    pub room: Duration,
    /// By this process.
    pub load: Duration,
    /// By all other processes of this machine.
    pub others: Duration,
}

impl Turn {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.time.as_secs_f64()
    }
}

/// A player's seat, and how long it took to `joined`.
pub struct Join {
    seat: Seat,
    /// Since the player asked the lobby, which decides at once.
    pub since_asked: Duration,
    /// Since the player received `reroute`.
    pub since_sent: Duration,
}

impl Route {
    /// Starts a lobby and a room, or a bare server, with this many players.
    pub async fn open(program: &Path, way: Way, players: usize) -> anyhow::Result<Route> {
        let (server, url, path) = match way {
            Way::Bare => {
                let bare = Bare::start()?;
                let url = bare.url.clone();
                (Server::Bare(bare), url, "/socket.io".to_owned())
            }
            Way::Handoff => open_room(program, &["--pool", "0"]).await?,
            Way::Relay => open_room(program, &["--pool", "0", "--no-handoff"]).await?,
        };
        let crowd = Crowd::new(vec![]);
        let mut route = Route { way, server, url, path, crowd, connections: 0 };
        let mut seats = Vec::new();
        for _ in 0..players {
            seats.push(route.join().await?.seat);
        }
        route.crowd = Crowd::new(seats);
        Ok(route)
    }

    /// A new player joins. A bare server has no lobby to be asked: its players only connect.
    pub async fn join(&mut self) -> anyhow::Result<Join> {
        let (player, asked, reroute) = match &self.server {
            Server::Bare(_) => (None, Instant::now(), json!({ "path": self.path })),
            Server::Cluster { lobby, room, .. } => {
                let mut player = registered(lobby).await?;
                let asked = Instant::now();
                player.emit("join", json!({ "room": room }));
                let reroute = player.event("reroute").await;
                (Some(player), asked, reroute)
            }
        };
        let sent = Instant::now();
        self.connections += 1;
        let seat = Seat::take(&self.url, &reroute).await?;
        let join = Join { seat, since_asked: asked.elapsed(), since_sent: sent.elapsed() };
        drop(player);
        Ok(join)
    }

    /// The players send requests for this long, each one at a time.
    pub async fn echo(&mut self, time: Duration) -> anyhow::Result<Turn> {
        let before = self.processor_times()?;
        let start = Instant::now();
        let done = self.crowd.ask_until(start + time).await?;
        self.turn(done, start, before)
    }

    /// Makes and drops `count` connections to the room, `at_once` of them at a time.
    pub async fn knock(&mut self, count: u64, at_once: u64) -> anyhow::Result<Turn> {
        let before = self.processor_times()?;
        let host = self.url.trim_start_matches("http://").to_owned();
        let request = format!(
            "GET {}/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path
        );
        let each = count / at_once;
        let start = Instant::now();
        let mut knocking = JoinSet::new();
        for _ in 0..at_once {
            let (host, request) = (host.clone(), request.clone());
            knocking.spawn(async move {
                for _ in 0..each {
                    knock(&host, &request).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(result) = knocking.join_next().await {
            result??;
        }
        let done = each * at_once;
        self.connections += done;
        self.turn(done, start, before)
    }

    /// Stops the lobby and checks by its own count that each connection came to the room in this
    /// way.
    pub async fn close(self) -> anyhow::Result<()> {
        let Server::Cluster { lobby, .. } = self.server else { return Ok(()) };
        let counts = lobby::stop(lobby).await?;
        let expected = match self.way {
            Way::Relay => (0, self.connections),
            _ => (self.connections, 0),
        };
        let name = self.way.name();
        ensure!(
            counts == expected,
            "{name}: (handed off, relayed) is {counts:?} instead of {expected:?}"
        );
        println!("{name}: {} connections, as the lobby counts", self.connections);
        Ok(())
    }

    /// Of the lobby, the room, this process and the whole machine.
    fn processor_times(&self) -> anyhow::Result<[Duration; 4]> {
        let (lobby, room) = match &self.server {
            Server::Bare(bare) => (Duration::ZERO, processor_time(bare.pid())?),
            Server::Cluster { lobby, room_pid, .. } => {
                (processor_time(lobby.pid())?, processor_time(*room_pid)?)
            }
        };
        Ok([lobby, room, processor_time(getpid())?, machine_time()?])
    }

    fn turn(&self, done: u64, start: Instant, before: [Duration; 4]) -> anyhow::Result<Turn> {
        let time = start.elapsed();
        let after = self.processor_times()?;
        let [lobby, room, load, machine] = array::from_fn(|at| after[at] - before[at]);
        let others = machine.saturating_sub(lobby + room + load);
        Ok(Turn { done, time, lobby, room, load, others })
    }
}

/// A new player in the lobby.
async fn registered(lobby: &LobbyProcess) -> anyhow::Result<Client> {
    let mut client = Client::connect(&lobby.url, json!({})).await.map_err(Error::msg)?;
    client.ask("register", json!({ "name": "somebody" })).await.map_err(Error::msg)?;
    Ok(client)
}

/// Starts a lobby and opens a room. Returns also where the room is reached.
async fn open_room(program: &Path, flags: &[&str]) -> anyhow::Result<(Server, String, String)> {
    let lobby = lobby::start(program, flags).await;
    let mut client = registered(&lobby).await?;
    // Enough for all joins.
    let room = client.ask("open", json!({ "capacity": 1000 })).await.map_err(Error::msg)?;
    let spawned = lobby.logged("spawned").await;
    ensure!(spawned["room"] == room, "another room was started");
    let room_pid = pid(&spawned["pid"]);
    let path = format!("/rooms/{}/socket.io", room.as_str().context("no id")?);
    let url = lobby.url.clone();
    Ok((Server::Cluster { lobby, room, room_pid }, url, path))
}

/// Connects, upgrades to a websocket, waits for the first packet, and hangs up.
async fn knock(host: &str, request: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 1024];
    let mut length = 0;
    loop {
        let count = stream.read(&mut answer[length..]).await?;
        ensure!(count > 0, "the connection was closed");
        length += count;
        ensure!(answer.starts_with(&b"HTTP/1.1 101 "[..length.min(13)]), "not upgraded");
        let head = answer[..length].windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if head.is_some_and(|head| head + 4 < length) {
            return Ok(());
        }
    }
}
