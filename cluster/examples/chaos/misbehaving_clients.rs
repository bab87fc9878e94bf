//! Misbehaving clients. Each connects, breaks one rule, and is gone within seconds. Their outcomes
//! are counted; other players must not be affected.

use std::sync::Arc;
use std::time::Duration;

use cluster::testing::{Connection, Packet};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Shared;

/// How long they stay if they are not cut off.
const STAY: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehavior {
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

impl Misbehavior {
    pub const ALL: [Misbehavior; 12] = [
        Misbehavior::Flood,
        Misbehavior::Garbage,
        Misbehavior::Large,
        Misbehavior::Huge,
        Misbehavior::ReadsNothing,
        Misbehavior::SaysNothing,
        Misbehavior::NoConnect,
        Misbehavior::HalfHeader,
        Misbehavior::NeverJoins,
        Misbehavior::ReconnectLoop,
        Misbehavior::TicketTwice,
        Misbehavior::TwoWindows,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Misbehavior::Flood => "client floods",
            Misbehavior::Garbage => "client sends garbage",
            Misbehavior::Large => "client sends 70 kB",
            Misbehavior::Huge => "client sends 5 MB",
            Misbehavior::ReadsNothing => "client stops reading",
            Misbehavior::SaysNothing => "connects, says nothing",
            Misbehavior::NoConnect => "websocket, says nothing",
            Misbehavior::HalfHeader => "half a header",
            Misbehavior::NeverJoins => "drops before joining",
            Misbehavior::ReconnectLoop => "reconnects in a loop",
            Misbehavior::TicketTwice => "uses a ticket twice",
            Misbehavior::TwoWindows => "plays in two windows",
        }
    }

    /// Returns how it ended, in a word or two. `Err`: it could not begin.
    pub async fn commit(self, shared: &Arc<Shared>) -> Result<&'static str, String> {
        match self {
            Misbehavior::Flood => flood(shared).await,
            Misbehavior::Garbage => {
                let mut connection = Client::come(shared).await?.connection;
                for text in ["42[", "5zzz", "42{\"a\":1}", "451-[\"binary\"]", "\u{0}\u{1}", "9"] {
                    if connection.send(text.to_owned()).await.is_err() {
                        break;
                    }
                }
                Ok(end_of(connection).await)
            }
            Misbehavior::Large => large(shared, 70_000).await,
            Misbehavior::Huge => large(shared, 5_000_000).await,
            Misbehavior::ReadsNothing => {
                let mut connection = Client::come(shared).await?.connection;
                let answered = async {
                    while connection.ask("welcome", &Value::Null).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                let _ = timeout(STAY, answered).await;
                // Reads what is buffered, up to the end if there is one.
                Ok(end_of(connection).await)
            }
            Misbehavior::SaysNothing => raw(shared, "").await,
            Misbehavior::HalfHeader => {
                raw(shared, "GET /rooms/1/socket.io/ HTTP/1.1\r\nHost: 127").await
            }
            Misbehavior::NoConnect => {
                Ok(end_of(Connection::open(&shared.url, "/socket.io").await?).await)
            }
            Misbehavior::NeverJoins => {
                let client = Client::come_to_lobby(shared).await?;
                match client.seat(shared).await {
                    Ok(_) => Ok("has left"),
                    Err(_) => Ok("no seat"),
                }
            }
            Misbehavior::ReconnectLoop => {
                let token = Client::come_to_lobby(shared).await?.token;
                for _ in 0..40 {
                    let auth = json!({ "token": token });
                    if Connection::connect(&shared.url, "/socket.io", &auth).await.is_err() {
                        return Ok("put off");
                    }
                }
                Ok("has left")
            }
            Misbehavior::TicketTwice => {
                let client = Client::come_to_lobby(shared).await?;
                let Ok((_lobby, to)) = client.seat(shared).await else { return Ok("no seat") };
                let (one, other) = tokio::join!(take(shared, &to), take(shared, &to));
                if one.is_ok() && other.is_ok() {
                    shared.record.lock().violation("a ticket was good for two");
                }
                Ok(if one.is_ok() || other.is_ok() { "let in once" } else { "not let in" })
            }
            Misbehavior::TwoWindows => {
                let first = Client::come_to_lobby(shared).await?;
                let auth = json!({ "token": first.token });
                let mut second = Connection::connect(&shared.url, "/socket.io", &auth).await?;
                second.event("welcome").await?;
                let told = end_of(first.connection).await;
                if told == "stayed" {
                    shared.record.lock().violation("two windows of one player stayed in the lobby");
                }
                Ok(if told == "stayed" { told } else { "the first is replaced" })
            }
        }
    }
}

/// A new client, in the lobby or in a room.
struct Client {
    connection: Connection,
    token: String,
}

impl Client {
    async fn come_to_lobby(shared: &Shared) -> Result<Client, String> {
        let mut connection = Connection::connect(&shared.url, "/socket.io", &json!({})).await?;
        connection.event("welcome").await?;
        let answer = connection.answer("register", &json!({ "name": "Client" })).await?;
        let token = answer["ok"]["token"].as_str().ok_or("not registered")?.to_owned();
        Ok(Client { connection, token })
    }

    /// Asks for a room. Returns the connection to the lobby and the reroute. `Err`: there is no
    /// room.
    async fn seat(mut self, shared: &Shared) -> Result<(Connection, Value), Connection> {
        let (event, data) = &shared.enter;
        let wait = Duration::from_secs(3);
        let rerouted = async {
            self.connection.ask(event, data).await.ok()?;
            loop {
                match self.connection.next().await.ok()? {
                    Packet::Event(event, to) if event == "reroute" => return Some(to.value()),
                    _ => {}
                }
            }
        };
        match timeout(wait, rerouted).await.ok().flatten() {
            Some(to) => Ok((self.connection, to)),
            None => Err(self.connection),
        }
    }

    /// Joins a room if there is one, else stays in the lobby.
    async fn come(shared: &Shared) -> Result<Client, String> {
        let client = Client::come_to_lobby(shared).await?;
        let token = client.token.clone();
        let connection = match client.seat(shared).await {
            Ok((_lobby, to)) => take(shared, &to).await?,
            Err(lobby) => lobby,
        };
        Ok(Client { connection, token })
    }
}

/// Connects to the room of this reroute.
pub async fn take(shared: &Shared, to: &Value) -> Result<Connection, String> {
    let url = to["url"].as_str().filter(|url| !url.is_empty()).unwrap_or(&shared.url);
    let path = to["path"].as_str().unwrap_or_default();
    let mut connection = Connection::connect(url, path, &json!({ "ticket": to["ticket"] })).await?;
    connection.event("joined").await?;
    Ok(connection)
}

/// Sends 50 bursts of 100 requests, with pauses of 10 ms, unless it is cut off earlier.
async fn flood(shared: &Shared) -> Result<&'static str, String> {
    let mut connection = Client::come(shared).await?.connection;
    for _ in 0..50 {
        for _ in 0..100 {
            if connection.ask("welcome", &Value::Null).await.is_err() {
                return Ok("cut off");
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(end_of(connection).await)
}

async fn large(shared: &Shared, bytes: usize) -> Result<&'static str, String> {
    let mut connection = Client::come(shared).await?.connection;
    let said = connection.ask("welcome", &json!("x".repeat(bytes))).await;
    Ok(if said.is_err() { "cut off" } else { end_of(connection).await })
}

/// A connection that sends this text and nothing else.
async fn raw(shared: &Shared, text: &str) -> Result<&'static str, String> {
    let address = shared.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    let ended = timeout(STAY, stream.read_to_end(&mut rest)).await;
    Ok(if ended.is_ok() { "cut off" } else { "stayed" })
}

/// Reads until the client is cut off, or its time is over.
async fn end_of(mut connection: Connection) -> &'static str {
    let ended = async { while connection.next().await.is_ok() {} };
    match timeout(STAY, ended).await {
        Ok(()) => "cut off",
        Err(_) => "stayed",
    }
}
