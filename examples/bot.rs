//! Bots that play the arena, as a model for clients in other languages: they use nothing of the
//! crate, only the wire contract (cluster/docs/wire.md). A complete client also handles `refused`,
//! a new token in `welcome`, and a foreign `url`. A Socket.IO packet is some digits, then JSON.
//!
//! `cargo run --example bot [URL [NUMBER]]`: the lobby's URL, by default http://127.0.0.1:3000, and
//! the number of bots, by default one. Ctrl-C ends them.

use std::env;
use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Many connections may be lost at once: each bot waits a random part of this, in ms, before it
/// reconnects.
const JITTER: u64 = 500;
/// How long to wait for a connection and its first packet.
const TIMEOUT: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or("http://127.0.0.1:3000".to_owned());
    let bots: u32 = env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    join_all((1..=bots).map(|number| play(&url, format!("Bot {number}")))).await;
    Ok(())
}

/// Plays for ever: from the lobby to a room and back. However a connection ends, the lobby is next.
async fn play(url: &str, name: String) {
    let mut token = None;
    loop {
        match play_once(url, &name, &mut token).await {
            Ok(reason) => println!("{name} is out of the room: {reason}"),
            Err(error) => println!("{name} reconnects: {error}"),
        }
        // 6. Back to the lobby, but not everyone at once.
        time::sleep(Duration::from_millis(rand::random_range(0..JITTER))).await;
    }
}

async fn play_once(url: &str, name: &str, token: &mut Option<String>) -> Result<String> {
    let reroute = wait_in_lobby(url, name, token).await?;
    play_in_room(url, name, &reroute).await
}

/// Stays in the lobby until it reroutes the bot to a room; returns the data of `reroute`.
async fn wait_in_lobby(url: &str, name: &str, token: &mut Option<String>) -> Result<Value> {
    // 1. Connect, with a token if there is one.
    let auth = token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
    let mut lobby = Connection::connect(url, "/socket.io", auth).await?;
    let (mut asked, mut reroute) = (false, None);
    loop {
        match lobby.receive().await? {
            // 2. The first event. `you`: the player that the token identifies, or null.
            Received::Event(event, data) if event == "welcome" => {
                if data["you"].is_null() {
                    *token = None;
                    lobby.send("register", json!({ "name": name })).await?;
                } else {
                    lobby.send("play", json!({})).await?;
                }
            }
            // 4. The room's path, and a ticket, valid for 15 s and one connection.
            Received::Event(event, data) if event == "reroute" => reroute = Some(data),
            Received::Event(..) => {}
            // 3. Each request is acknowledged: `{ ok: … }` or `{ error: { code, message } }`.
            Received::Answer(answer) => {
                match (&answer["ok"], answer["error"]["message"].as_str()) {
                    (_, Some(message)) => return Err(message.into()),
                    (ok, None) if ok["token"].is_string() => {
                        *token = ok["token"].as_str().map(str::to_owned);
                        lobby.send("play", json!({})).await?;
                    }
                    _ => asked = true,
                }
            }
        }
        // The latest ticket counts. If a room keeps a seat, the lobby reroutes the bot even before
        // it answers `play`.
        if let Some(reroute) = reroute.take_if(|_| asked) {
            return Ok(reroute);
        }
    }
}

/// Plays in the room until it sends the bot back; returns the reason's code.
async fn play_in_room(url: &str, name: &str, reroute: &Value) -> Result<String> {
    // 5. An empty url means the lobby's own. The connection to the lobby is closed by now.
    let at = reroute["url"].as_str().filter(|at| !at.is_empty()).unwrap_or(url);
    let path = reroute["path"].as_str().unwrap_or_default();
    let mut room = Connection::connect(at, path, json!({ "ticket": reroute["ticket"] })).await?;
    let mut you = Value::Null;
    loop {
        let Received::Event(event, data) = room.receive().await? else { continue };
        match event.as_str() {
            "joined" => you = data["you"]["id"].clone(),
            "state" => {
                let mut dots = data["dots"].as_array().into_iter().flatten();
                let Some(dot) = dots.find(|dot| dot["id"] == you) else { continue };
                // Between two rounds.
                if !data["results"].is_null() {
                    if dot["ready"] == false {
                        room.send("play_again", json!({})).await?;
                    }
                    continue;
                }
                let way = |axis: &str, at: usize| {
                    let left = data["coin"][at].as_f64()? - dot[axis].as_f64()?;
                    Some((left * 20.0).clamp(-1.0, 1.0))
                };
                room.send("steer", json!({ "x": way("x", 0), "y": way("y", 1) })).await?;
            }
            "scored" if data["player"] == you => println!("{name} has {}", data["score"]),
            // Sent before the room closes the connection.
            "reroute" => return Ok(data["reason"]["code"].as_str().unwrap_or_default().to_owned()),
            _ => {}
        }
    }
}

/// A Socket.IO connection. Each websocket message is an Engine.IO packet, which may hold a
/// Socket.IO packet.
struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The server sends pings; without one for this long, the connection is lost.
    timeout: Duration,
    requests: u64,
}

enum Received {
    Event(String, Value),
    /// An acknowledgement. The bot has one request at a time, so its number does not matter.
    Answer(Value),
}

impl Connection {
    async fn connect(url: &str, path: &str, auth: Value) -> Result<Connection> {
        let host = url.strip_prefix("http").ok_or("the URL must begin with http")?;
        let connecting = connect_async(format!("ws{host}{path}/?EIO=4&transport=websocket"));
        let (socket, _) = time::timeout(TIMEOUT, connecting).await??;
        let mut connection = Connection { socket, timeout: TIMEOUT, requests: 0 };
        // `40`: connects to the namespace `/`.
        connection.socket.send(Message::text(format!("40{auth}"))).await?;
        Ok(connection)
    }

    /// Sends a request: `42`, the request's number, `[event, data]`.
    async fn send(&mut self, event: &str, data: Value) -> Result<()> {
        self.requests += 1;
        let packet = format!("42{}{}", self.requests, json!([event, data]));
        Ok(self.socket.send(Message::text(packet)).await?)
    }

    async fn receive(&mut self) -> Result<Received> {
        loop {
            let message = time::timeout(self.timeout, self.socket.next()).await?;
            let Message::Text(text) = message.ok_or("the connection is lost")?? else { continue };
            // Digits, then JSON.
            let (digits, data) = text.split_at(text.find(['[', '{']).unwrap_or(text.len()));
            let mut data: Value = serde_json::from_str(data).unwrap_or_default();
            match digits.split_at(digits.len().min(2)) {
                ("0", _) => {
                    let ms = |key: &str| data[key].as_u64().unwrap_or_default();
                    self.timeout = Duration::from_millis(ms("pingInterval") + ms("pingTimeout"));
                }
                ("2", _) => self.socket.send(Message::text("3")).await?,
                ("42", _) => {
                    let event = data[0].as_str().unwrap_or_default().to_owned();
                    return Ok(Received::Event(event, data[1].take()));
                }
                ("43", _number) => return Ok(Received::Answer(data[0].take())),
                ("44", _) => return Err(data["message"].to_string().into()),
                ("1" | "41", _) => return Err("the server hung up".into()),
                // `40`: connected.
                _ => {}
            }
        }
    }
}
