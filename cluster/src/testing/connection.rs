//! One Socket.IO connection. It implements the protocol itself, so that a test can break it, and
//! parses lazily, so that one thread carries a thousand connections.

use std::io;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::config::without_path;

/// How long a server may take for its next step.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the page waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of each connection's buffer: the default of 128 KiB is much for ten thousand connections.
const READ_BUFFER: usize = 4 << 10;

/// A connection without a background task: only calls of its methods read from it. Any error is an
/// `Err` with the reason, and ends the connection. Dropping it closes the connection abruptly, as a
/// lost network does. Most tests want a [`Client`](super::Client).
pub struct Connection {
    stream: WebSocketStream<TcpStream>,
    asked: u64,
    owes_pong: bool,
}

/// A packet from the server.
#[derive(Debug)]
pub enum Packet {
    /// The client is connected.
    Connected,
    /// The client is refused: the message of `connect_error`.
    Refused(String),
    /// An event, by name.
    Event(String, Payload),
    /// The event `binary`, with these bytes.
    Bytes(Vec<u8>),
    /// The answer to the request with this acknowledgement id.
    Answer(u64, Payload),
    /// The server disconnects gracefully.
    Disconnected,
}

impl Packet {
    /// The events of `announcements`; any other packet is itself.
    pub fn unpacked(self) -> Vec<Packet> {
        let Packet::Event(name, data) = &self else { return vec![self] };
        if name != "announcements" {
            return vec![self];
        }
        let Value::Array(events) = data.value() else { return Vec::new() };
        events.iter().filter_map(|event| parse(&format!("42{event}").into())).collect()
    }
}

/// JSON that is parsed on demand.
#[derive(Debug, Clone)]
pub struct Payload {
    frame: Utf8Bytes,
    /// Where the array begins, and the index of the data in it.
    at: usize,
    index: usize,
}

impl Payload {
    /// The data of an event.
    pub(crate) fn of(event: &str, data: &Value) -> Payload {
        Payload { frame: json!([event, data]).to_string().into(), at: 0, index: 1 }
    }

    /// The array that contains the data, as sent.
    pub fn text(&self) -> &str {
        &self.frame[self.at..]
    }

    /// The data; `null` if there is none.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn value(&self) -> Value {
        let mut values: Value = serde_json::from_str(self.text()).expect("the server sends JSON");
        values.get_mut(self.index).map_or(Value::Null, Value::take)
    }
}

/// The host and port of a URL such as `http://127.0.0.1:3000/game`.
pub(super) fn host_of(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap_or_default()
}

/// The Socket.IO path of the lobby at this URL.
pub(super) fn lobby_path(url: &str) -> String {
    let (_, path) = url.split_at(without_path(url).len());
    format!("{}/socket.io", path.trim_end_matches('/'))
}

impl Connection {
    /// Connects to the lobby at `url` (http://…), otherwise as [`Connection::connect`].
    pub async fn connect_to_lobby(url: &str, auth: &Value) -> Result<Connection, String> {
        Self::connect(url, &lobby_path(url), auth).await
    }

    /// Connects to the Socket.IO server at this path, with the timeouts of the page, and waits to
    /// be accepted. `Err`: why not; the refusal's code, if there is one.
    pub async fn connect(url: &str, path: &str, auth: &Value) -> Result<Connection, String> {
        let opened = timeout(CONNECT_TIMEOUT, Self::open(url, path)).await;
        let mut connection = opened.map_err(|_| "no connection")??;
        let introduced = timeout(STEP_TIMEOUT, connection.introduce(auth)).await;
        introduced.map_err(|_| "no answer")??;
        Ok(connection)
    }

    /// Opens a websocket to the Socket.IO server at this path. [`Connection::introduce`] is the
    /// next step.
    pub async fn open(url: &str, path: &str) -> Result<Connection, String> {
        Self::open_from(Ipv4Addr::LOCALHOST, url, path).await
    }

    /// The same from this address in 127.0.0.0/8.
    pub async fn open_from(from: Ipv4Addr, url: &str, path: &str) -> Result<Connection, String> {
        let host = host_of(url);
        let stream = tcp(from, host).await.map_err(|error| error.to_string())?;
        let address = format!("ws://{host}{path}/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let opened = client_async_with_config(address, stream, Some(config)).await;
        let (stream, _) = opened.map_err(|error| error.to_string())?;
        Ok(Connection { stream, asked: 0, owes_pong: false })
    }

    /// Sends CONNECT and waits until it is accepted. `Err`: why not; the refusal's code, if there
    /// is one.
    pub async fn introduce(&mut self, auth: &Value) -> Result<(), String> {
        self.send(format!("40{auth}")).await?;
        loop {
            match self.next().await? {
                Packet::Connected => return Ok(()),
                Packet::Refused(why) => return Err(why),
                _ => {}
            }
        }
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), String> {
        self.stream.send(Message::Text(text.into())).await.map_err(|error| error.to_string())
    }

    /// Sends a binary frame: the attachment of the packet before it.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.stream.send(Message::binary(bytes)).await.map_err(|error| error.to_string())
    }

    /// Emits a request and returns its acknowledgement id. The answer arrives among the other
    /// packets.
    pub async fn ask(&mut self, event: &str, data: &Value) -> Result<u64, String> {
        self.asked += 1;
        let number = self.asked;
        self.send(format!("42{number}[{},{data}]", Value::from(event))).await?;
        Ok(number)
    }

    /// Emits an event without data many times at once, as cheaply as a flooding client can.
    pub async fn emit_many(&mut self, event: &str, times: usize) -> Result<(), String> {
        let text = Utf8Bytes::from(format!("42{}", json!([event])));
        for _ in 0..times {
            let fed = self.stream.feed(Message::Text(text.clone())).await;
            fed.map_err(|error| error.to_string())?;
        }
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// Emits a request and waits for the answer, at most 10 seconds. Drops events before it.
    pub async fn answer(&mut self, event: &str, data: &Value) -> Result<Value, String> {
        let number = self.ask(event, data).await?;
        let answer = async {
            loop {
                match self.next().await? {
                    Packet::Answer(to, answer) if to == number => return Ok(answer.value()),
                    _ => {}
                }
            }
        };
        timeout(STEP_TIMEOUT, answer).await.map_err(|_| format!("no answer to {event}"))?
    }

    /// Waits at most 10 seconds for the next event of this name and returns its data. Drops packets
    /// before it.
    pub async fn event(&mut self, name: &str) -> Result<Value, String> {
        let event = async {
            loop {
                match self.next().await? {
                    Packet::Event(heard, data) if heard == name => return Ok(data.value()),
                    _ => {}
                }
            }
        };
        timeout(STEP_TIMEOUT, event).await.map_err(|_| format!("no {name}"))?
    }

    /// The next packet. Answers pings. Cancel-safe: no packet is lost.
    pub async fn next(&mut self) -> Result<Packet, String> {
        loop {
            match self.frame().await? {
                Message::Text(text) => match parse(&text) {
                    Some(packet) => return Ok(packet),
                    None => continue,
                },
                Message::Binary(bytes) => return Ok(Packet::Bytes(bytes.to_vec())),
                _ => {}
            }
        }
    }

    /// The next frame that is no ping.
    async fn frame(&mut self) -> Result<Message, String> {
        loop {
            if self.owes_pong {
                let fed = self.stream.feed(Message::text("3")).await;
                self.owes_pong = false;
                fed.map_err(|error| error.to_string())?;
                self.stream.flush().await.map_err(|error| error.to_string())?;
            }
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) if text == "2" => self.owes_pong = true,
                Some(Ok(frame)) => return Ok(frame),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the connection has ended".to_owned()),
            }
        }
    }

    /// Disconnects gracefully, as a page does that is closed. [`Connection::next`] then returns the
    /// end.
    pub async fn hang_up(&mut self) {
        let _ = self.send("41").await;
        let _ = self.stream.close(None).await;
    }

    /// Disconnects gracefully and waits for the end.
    pub async fn leave(mut self) {
        let goodbye = async {
            self.hang_up().await;
            while self.next().await.is_ok() {}
        };
        let _ = timeout(CONNECT_TIMEOUT, goodbye).await;
    }
}

fn parse(frame: &Utf8Bytes) -> Option<Packet> {
    let payload = |at, index| Payload { frame: frame.clone(), at, index };
    let rest = frame.get(2..)?;
    match &frame[..2] {
        "40" => Some(Packet::Connected),
        "41" => Some(Packet::Disconnected),
        "42" => {
            let name = rest.strip_prefix("[\"")?.split('"').next()?.to_owned();
            Some(Packet::Event(name, payload(2, 1)))
        }
        "43" => {
            let at = 2 + rest.find('[')?;
            Some(Packet::Answer(frame[2..at].parse().ok()?, payload(at, 0)))
        }
        "44" => {
            let refused: Value = serde_json::from_str(rest).ok()?;
            Some(Packet::Refused(refused["message"].as_str().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}

/// A TCP connection from this address, without Nagle's algorithm, as in browsers.
pub async fn tcp(from: Ipv4Addr, to: &str) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if from != Ipv4Addr::LOCALHOST {
        socket.bind((from, 0).into())?;
    }
    socket.set_nodelay(true)?;
    let address = match to.replace("localhost", "127.0.0.1").parse() {
        Ok(address) => address,
        Err(_) => lookup_host(to).await?.find(SocketAddr::is_ipv4).ok_or(ErrorKind::NotFound)?,
    };
    socket.connect(address).await
}
