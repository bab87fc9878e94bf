//! A room that is reached by handoff or by relay, or a bare server; and the loads that are put on
//! it.

use std::{array, path::Path, time::Duration};

use anyhow::{Context as _, Error, ensure};
use cluster::testing::{Client, TestLobby};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use crate::{
    bare::{self, Bare},
    figures::{machine_time, processor_time},
    lobby,
    seat::{Crowd, Seat},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
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

    fn flags(self) -> &'static [&'static str] {
        match self {
            Way::Bare | Way::Handoff => &["--pool", "0"],
            Way::Relay => &["--pool", "0", "--no-handoff"],
        }
    }
}

pub struct Route {
    pub way: Way,
    server: Server,
    /// The process of the room, or of the bare server.
    room_pid: u64,
    url: String,
    path: String,
    crowd: Crowd,
    /// Connections to the room so far.
    connections: u64,
}

enum Server {
    Bare { _process: Bare },
    Lobby { lobby: TestLobby, room: Value },
}

/// What was done in one turn, and what it took: the time, and the processors' time.
pub struct Turn {
    pub done: u64,
    pub time: Duration,
    pub lobby: Duration,
    pub room: Duration,
    /// By the one who measures.
    pub load: Duration,
    /// By what is no part of the measurement.
    pub others: Duration,
}

impl Turn {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.time.as_secs_f64()
    }
}

impl Route {
    /// Starts a lobby and a room, or a bare server, with so many players in it.
    pub async fn open(program: &Path, way: Way, players: usize) -> anyhow::Result<Route> {
        let mut route = match way {
            Way::Bare => Self::open_bare(Bare::start()?),
            Way::Handoff | Way::Relay => Self::open_room(program, way).await?,
        };
        let mut seats = Vec::new();
        for _ in 0..players {
            let (_in_the_lobby, reroute) = route.reroute().await?;
            seats.push(route.enter(&reroute).await?);
        }
        route.crowd = Crowd::new(seats);
        Ok(route)
    }

    fn open_bare(bare: Bare) -> Route {
        Route {
            way: Way::Bare,
            room_pid: bare.pid(),
            url: bare.url.clone(),
            path: bare::PATH.to_owned(),
            server: Server::Bare { _process: bare },
            crowd: Crowd::new(vec![]),
            connections: 0,
        }
    }

    async fn open_room(program: &Path, way: Way) -> anyhow::Result<Route> {
        let lobby = lobby::start(program, way.flags()).await;
        // Enough for all who come and go.
        let room = json!({ "capacity": 1000 });
        let (first, reroute) = rerouted(&lobby, "create", room).await?;
        let spawned = lobby.logged("spawned").await;
        let room = reroute["room"].clone();
        ensure!(spawned["room"] == room, "another room was started");
        drop(first);
        Ok(Route {
            way,
            room_pid: spawned["pid"].as_u64().context("no pid")?,
            url: lobby.url.clone(),
            path: reroute["path"].as_str().context("no path")?.to_owned(),
            server: Server::Lobby { lobby, room },
            crowd: Crowd::new(vec![]),
            connections: 0,
        })
    }

    /// A new player joins. How long it takes until `joined`: from the request for a seat, and from
    /// `reroute`, which a bare server does without.
    pub async fn join(&mut self) -> anyhow::Result<[Duration; 2]> {
        let player = match &self.server {
            Server::Bare { .. } => None,
            Server::Lobby { lobby, .. } => Some(registered(lobby).await?),
        };
        let asked = Instant::now();
        let reroute = self.ask_for_seat(player).await;
        let sent = Instant::now();
        let _seat = self.enter(&reroute.1).await?;
        Ok([asked.elapsed(), sent.elapsed()])
    }

    /// The players ask the room for so long, each with one request on its way.
    pub async fn echo(&mut self, time: Duration) -> anyhow::Result<Turn> {
        let before = self.processor_times()?;
        let start = Instant::now();
        let done = self.crowd.ask_until(start + time).await?;
        self.turn(done, start, before)
    }

    /// So many connections to the room are made and dropped, `at_once` of them at a time.
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

    /// Stops the lobby, which has counted how each connection reached the room.
    pub async fn close(self) -> anyhow::Result<String> {
        let name = self.way.name();
        let Server::Lobby { lobby, .. } = self.server else {
            return Ok(format!("{name}: {} connections", self.connections));
        };
        let counts = lobby::stop(lobby).await?;
        let (handed_off, relayed) = counts;
        let right = match self.way {
            Way::Relay => (0, self.connections),
            _ => (self.connections, 0),
        };
        let said = format!("{name}: handed_off={handed_off} relayed={relayed}");
        ensure!(self.connections > 0 && counts == right, "{said}, and not {right:?}");
        Ok(format!("{said}, of {} connections", self.connections))
    }

    /// A new player, still in the lobby, and where they were sent.
    async fn reroute(&self) -> anyhow::Result<(Option<Client>, Value)> {
        let player = match &self.server {
            Server::Bare { .. } => None,
            Server::Lobby { lobby, .. } => Some(registered(lobby).await?),
        };
        Ok(self.ask_for_seat(player).await)
    }

    async fn ask_for_seat(&self, player: Option<Client>) -> (Option<Client>, Value) {
        match (&self.server, player) {
            (Server::Lobby { room, .. }, Some(mut player)) => {
                player.emit("join", json!({ "room": room }));
                let reroute = player.event("reroute").await;
                (Some(player), reroute)
            }
            _ => (None, json!({ "path": self.path })),
        }
    }

    async fn enter(&mut self, reroute: &Value) -> anyhow::Result<Seat> {
        self.connections += 1;
        Seat::take(&self.url, reroute).await
    }

    /// Of the lobby, the room, this process and the whole machine.
    fn processor_times(&self) -> anyhow::Result<[Duration; 4]> {
        let time = processor_time;
        let this = std::process::id().into();
        let lobby = match &self.server {
            Server::Bare { .. } => Duration::ZERO,
            Server::Lobby { lobby, .. } => time(lobby.pid().as_raw_nonzero().get() as u64)?,
        };
        Ok([lobby, time(self.room_pid)?, time(this)?, machine_time()?])
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
async fn registered(lobby: &TestLobby) -> anyhow::Result<Client> {
    let mut client = Client::connect(&lobby.url, json!({})).await.map_err(Error::msg)?;
    client.ask("register", json!({ "name": "somebody" })).await.map_err(Error::msg)?;
    Ok(client)
}

/// A new player asks the lobby for a seat.
async fn rerouted(lobby: &TestLobby, event: &str, data: Value) -> anyhow::Result<(Client, Value)> {
    let mut client = registered(lobby).await?;
    client.emit(event, data);
    let reroute = client.event("reroute").await;
    Ok((client, reroute))
}

/// Connects, upgrades to a websocket, waits for the first frame, and disconnects.
async fn knock(host: &str, request: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 1024];
    let mut length = 0;
    loop {
        let count = stream.read(&mut answer[length..]).await?;
        ensure!(count > 0, "the room has hung up");
        length += count;
        ensure!(answer.starts_with(&b"HTTP/1.1 101 "[..length.min(13)]), "not let in");
        let head = answer[..length].windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if head.is_some_and(|head| head + 4 < length) {
            return Ok(());
        }
    }
}
