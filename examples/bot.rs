//! Bots that play the arena, for who writes a client in another language: nothing here comes from
//! the crate. All they know is the wire (cluster/docs/wire.md); Socket.IO is some digits before
//! JSON.
//!
//! `cargo run --example bot [URL [HOW_MANY]]`: the lobby, by default http://127.0.0.1:3000, and how
//! many bots play, by default one. Ctrl-C ends them.

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

/// Lost connections come in crowds: each waits a random part of this, in ms, before it comes back.
const JITTER: u64 = 500;
/// A connection that says nothing at all for so long after it was opened has failed.
const PATIENCE: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or("http://127.0.0.1:3000".to_owned());
    let bots: u32 = env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    join_all((1..=bots).map(|number| live(&url, format!("Bot {number}")))).await;
    Ok(())
}

/// From the lobby to a room and back, for ever: whatever ends a connection, the lobby is next.
async fn live(url: &str, name: String) {
    let mut token = None;
    loop {
        match hop(url, &name, &mut token).await {
            Ok(reason) => println!("{name} is out of the room: {reason}"),
            Err(error) => println!("{name} reconnects: {error}"),
        }
        // 6. Back to the lobby, but not everyone at once.
        time::sleep(Duration::from_millis(rand::random_range(0..JITTER))).await;
    }
}

async fn hop(url: &str, name: &str, token: &mut Option<String>) -> Result<String> {
    let reroute = in_the_lobby(url, name, token).await?;
    in_the_room(url, name, &reroute).await
}

/// Until the lobby sends the bot to a room: what `reroute` said.
async fn in_the_lobby(url: &str, name: &str, token: &mut Option<String>) -> Result<Value> {
    // 1. Connect, with a token if there is one.
    let auth = token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
    let mut lobby = Line::connect(url, "/socket.io", auth).await?;
    let (mut asked, mut reroute) = (false, None);
    loop {
        match lobby.hear().await? {
            // 2. The first thing that is said. `you`: who the token says it is, or null.
            Heard::Event(event, data) if event == "welcome" => {
                if data["you"].is_null() {
                    *token = None;
                    lobby.say("register", json!({ "name": name })).await?;
                } else {
                    lobby.say("play", json!({})).await?;
                }
            }
            // 4. Where the room is, and a ticket, good for 15 s and for one connection.
            Heard::Event(event, data) if event == "reroute" => reroute = Some(data),
            Heard::Event(..) => {}
            // 3. Each request is answered: `{ ok: … }` or `{ error: { code, message } }`.
            Heard::Answer(answer) => match (&answer["ok"], answer["error"]["message"].as_str()) {
                (_, Some(message)) => return Err(message.into()),
                (ok, None) if ok["token"].is_string() => {
                    *token = ok["token"].as_str().map(str::to_owned);
                    lobby.say("play", json!({})).await?;
                }
                _ => asked = true,
            },
        }
        // The last ticket counts: a seat that was kept has led to one before.
        if let Some(reroute) = reroute.take_if(|_| asked) {
            return Ok(reroute);
        }
    }
}

/// Until the room lets the bot go: for what reason.
async fn in_the_room(url: &str, name: &str, reroute: &Value) -> Result<String> {
    // 5. An empty url is the lobby's own. The lobby's connection has ended by now: one at a time
    //    will do.
    let at = reroute["url"].as_str().filter(|at| !at.is_empty()).unwrap_or(url);
    let path = reroute["path"].as_str().unwrap_or_default();
    let mut room = Line::connect(at, path, json!({ "ticket": reroute["ticket"] })).await?;
    let mut you = Value::Null;
    loop {
        let Heard::Event(event, data) = room.hear().await? else { continue };
        match event.as_str() {
            "joined" => you = data["you"]["id"].clone(),
            "state" => {
                let mut dots = data["dots"].as_array().into_iter().flatten();
                let Some(dot) = dots.find(|dot| dot["id"] == you) else { continue };
                let way = |axis: &str, at: usize| {
                    let left = data["coin"][at].as_f64()? - dot[axis].as_f64()?;
                    Some((left * 20.0).clamp(-1.0, 1.0))
                };
                room.say("steer", json!({ "x": way("x", 0), "y": way("y", 1) })).await?;
            }
            "scored" if data["player"] == you => println!("{name} has {}", data["score"]),
            // Said before the room hangs up.
            "reroute" => return Ok(data["reason"].as_str().unwrap_or_default().to_owned()),
            _ => {}
        }
    }
}

/// A Socket.IO connection: engine.io's packets, one a websocket message, and Socket.IO's within.
struct Line {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The server pings; one that has not for so long is gone.
    patience: Duration,
    requests: u64,
}

enum Heard {
    Event(String, Value),
    /// To what was asked: here one thing after the other, so there is no need to look at its
    /// number.
    Answer(Value),
}

impl Line {
    async fn connect(url: &str, path: &str, auth: Value) -> Result<Line> {
        let host = url.strip_prefix("http").ok_or("the URL must begin with http")?;
        let connecting = connect_async(format!("ws{host}{path}/?EIO=4&transport=websocket"));
        let (socket, _) = time::timeout(PATIENCE, connecting).await??;
        let mut line = Line { socket, patience: PATIENCE, requests: 0 };
        // `40`: connects to the namespace `/`.
        line.socket.send(Message::text(format!("40{auth}"))).await?;
        Ok(line)
    }

    /// Emits an event that is to be answered: `42`, the request's number, `[event, data]`.
    async fn say(&mut self, event: &str, data: Value) -> Result<()> {
        self.requests += 1;
        let packet = format!("42{}{}", self.requests, json!([event, data]));
        Ok(self.socket.send(Message::text(packet)).await?)
    }

    async fn hear(&mut self) -> Result<Heard> {
        loop {
            let message = time::timeout(self.patience, self.socket.next()).await?;
            let Message::Text(text) = message.ok_or("the connection is lost")?? else { continue };
            // Digits, then JSON.
            let (digits, data) = text.split_at(text.find(['[', '{']).unwrap_or(text.len()));
            let mut data: Value = serde_json::from_str(data).unwrap_or_default();
            match digits.split_at(digits.len().min(2)) {
                ("0", _) => {
                    let ms = |key: &str| data[key].as_u64().unwrap_or_default();
                    self.patience = Duration::from_millis(ms("pingInterval") + ms("pingTimeout"));
                }
                ("2", _) => self.socket.send(Message::text("3")).await?,
                ("42", _) => {
                    let event = data[0].as_str().unwrap_or_default().to_owned();
                    return Ok(Heard::Event(event, data[1].take()));
                }
                ("43", _number) => return Ok(Heard::Answer(data[0].take())),
                ("44", _) => return Err(data["message"].to_string().into()),
                ("1" | "41", _) => return Err("the server hung up".into()),
                // `40`: connected.
                _ => {}
            }
        }
    }
}
