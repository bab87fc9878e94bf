//! Guests who do not mean well. Each comes, does one thing that no page does, and is gone within
//! seconds. What becomes of them is counted; the others must not notice.

use std::{sync::Arc, time::Duration};

use cluster::testing::{Connection, Packet};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{World, line};

/// So long they stay, if they are not put out.
const STAY: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    Flood,
    Garbage,
    Large,
    Huge,
    ReadsNothing,
    SaysNothing,
    NoConnect,
    HalfHeader,
    NeverJoins,
    ReconnectLoop,
    TicketTwice,
    TwoWindows,
}

impl Misdeed {
    pub const ALL: [Misdeed; 12] = [
        Misdeed::Flood,
        Misdeed::Garbage,
        Misdeed::Large,
        Misdeed::Huge,
        Misdeed::ReadsNothing,
        Misdeed::SaysNothing,
        Misdeed::NoConnect,
        Misdeed::HalfHeader,
        Misdeed::NeverJoins,
        Misdeed::ReconnectLoop,
        Misdeed::TicketTwice,
        Misdeed::TwoWindows,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Misdeed::Flood => "client floods",
            Misdeed::Garbage => "client sends garbage",
            Misdeed::Large => "client sends 70 kB",
            Misdeed::Huge => "client sends 5 MB",
            Misdeed::ReadsNothing => "client stops reading",
            Misdeed::SaysNothing => "connects, says nothing",
            Misdeed::NoConnect => "websocket, says nothing",
            Misdeed::HalfHeader => "half a header",
            Misdeed::NeverJoins => "drops before joining",
            Misdeed::ReconnectLoop => "reconnects in a loop",
            Misdeed::TicketTwice => "uses a ticket twice",
            Misdeed::TwoWindows => "plays in two windows",
        }
    }

    /// How it ended, in a word or two. `Err`: they could not even connect.
    pub async fn commit(self, world: &Arc<World>) -> Result<&'static str, String> {
        match self {
            Misdeed::Flood => flood(world).await,
            Misdeed::Garbage => {
                let mut line = Guest::come(world).await?.line;
                for text in ["42[", "5zzz", "42{\"a\":1}", "451-[\"binary\"]", "\u{0}\u{1}", "9"] {
                    if line.send(text.to_owned()).await.is_err() {
                        break;
                    }
                }
                Ok(end_of(line).await)
            }
            Misdeed::Large => large(world, 70_000).await,
            Misdeed::Huge => large(world, 5_000_000).await,
            Misdeed::ReadsNothing => {
                let mut line = Guest::come(world).await?.line;
                let answered = async {
                    while line.ask("welcome", &Value::Null).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                let _ = timeout(STAY, answered).await;
                // What is still in the line's memory is read now, up to its end if there is one.
                Ok(end_of(line).await)
            }
            Misdeed::SaysNothing => raw(world, "").await,
            Misdeed::HalfHeader => {
                raw(world, "GET /rooms/1/socket.io/ HTTP/1.1\r\nHost: 127").await
            }
            Misdeed::NoConnect => Ok(end_of(line::open(&world.url, "/socket.io").await?).await),
            Misdeed::NeverJoins => {
                let guest = Guest::come_to_lobby(world).await?;
                match guest.seat(world).await {
                    Ok(_) => Ok("has left"),
                    Err(_) => Ok("no seat"),
                }
            }
            Misdeed::ReconnectLoop => {
                let token = Guest::come_to_lobby(world).await?.token;
                for _ in 0..40 {
                    let auth = json!({ "token": token });
                    if line::connect(&world.url, "/socket.io", auth).await.is_err() {
                        return Ok("put off");
                    }
                }
                Ok("has left")
            }
            Misdeed::TicketTwice => {
                let guest = Guest::come_to_lobby(world).await?;
                let Ok((_lobby, to)) = guest.seat(world).await else { return Ok("no seat") };
                let (one, other) = tokio::join!(take(world, &to), take(world, &to));
                if one.is_ok() && other.is_ok() {
                    world.book.open().wrong("a ticket was good for two");
                }
                Ok(if one.is_ok() || other.is_ok() { "let in once" } else { "not let in" })
            }
            Misdeed::TwoWindows => {
                let first = Guest::come_to_lobby(world).await?;
                let auth = json!({ "token": first.token });
                let mut second = line::connect(&world.url, "/socket.io", auth).await?;
                second.event("welcome").await?;
                let told = end_of(first.line).await;
                if told == "stayed" {
                    world.book.open().wrong("two windows of one player stayed in the lobby");
                }
                Ok(if told == "stayed" { told } else { "the first is out" })
            }
        }
    }
}

/// Somebody new, in the lobby or in a room.
struct Guest {
    line: Connection,
    token: String,
}

impl Guest {
    async fn come_to_lobby(world: &World) -> Result<Guest, String> {
        let mut line = line::connect(&world.url, "/socket.io", json!({})).await?;
        line.event("welcome").await?;
        let answer = line.answer("register", &json!({ "name": "Guest" })).await?;
        let token = answer["ok"]["token"].as_str().ok_or("not registered")?.to_owned();
        Ok(Guest { line, token })
    }

    /// Asks for a room. The connection to the lobby, and the reroute unless the request was
    /// refused.
    async fn seat(mut self, world: &World) -> Result<(Connection, Value), Connection> {
        let (event, data) = &world.enter;
        let wait = Duration::from_secs(3);
        let rerouted = async {
            self.line.ask(event, data).await.ok()?;
            loop {
                match line::hear(&mut self.line).await.ok()? {
                    Packet::Event(event, to) if event == "reroute" => return Some(to.value()),
                    _ => {}
                }
            }
        };
        match timeout(wait, rerouted).await.ok().flatten() {
            Some(to) => Ok((self.line, to)),
            None => Err(self.line),
        }
    }

    /// Enters a room if there is a seat; otherwise stays in the lobby.
    async fn come(world: &World) -> Result<Guest, String> {
        let guest = Guest::come_to_lobby(world).await?;
        let token = guest.token.clone();
        let line = match guest.seat(world).await {
            Ok((_lobby, to)) => take(world, &to).await?,
            Err(lobby) => lobby,
        };
        Ok(Guest { line, token })
    }
}

/// Takes the seat of a reroute.
pub async fn take(world: &World, to: &Value) -> Result<Connection, String> {
    let url = to["url"].as_str().filter(|url| !url.is_empty()).unwrap_or(&world.url);
    let path = to["path"].as_str().unwrap_or_default();
    let mut line = line::connect(url, path, json!({ "ticket": to["ticket"] })).await?;
    line.event("joined").await?;
    Ok(line)
}

/// As fast as it goes for a moment, and then some more.
async fn flood(world: &World) -> Result<&'static str, String> {
    let mut line = Guest::come(world).await?.line;
    for _ in 0..50 {
        for _ in 0..100 {
            if line.ask("welcome", &Value::Null).await.is_err() {
                return Ok("cut off");
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(end_of(line).await)
}

async fn large(world: &World, bytes: usize) -> Result<&'static str, String> {
    let mut line = Guest::come(world).await?.line;
    let said = line.ask("welcome", &json!("x".repeat(bytes))).await;
    Ok(if said.is_err() { "cut off" } else { end_of(line).await })
}

/// A connection that says this much and no more.
async fn raw(world: &World, text: &str) -> Result<&'static str, String> {
    let address = world.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    let ended = timeout(STAY, stream.read_to_end(&mut rest)).await;
    Ok(if ended.is_ok() { "cut off" } else { "stayed" })
}

/// Stays until kicked, or leaves after a while.
async fn end_of(mut line: Connection) -> &'static str {
    let ended = async { while line::hear(&mut line).await.is_ok() {} };
    match timeout(STAY, ended).await {
        Ok(()) => "cut off",
        Err(_) => "stayed",
    }
}
