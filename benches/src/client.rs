//! The load: connections to all servers alike, each as cheap as possible. Frames are looked at, but
//! not parsed unless a row asks for what is in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long a server may take for one answer: a hundred rooms of Node take ten seconds to start.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    SocketIo,
    Colyseus,
    /// A websocket that echoes texts.
    Plain,
}

pub struct Conn {
    stream: WebSocketStream<TcpStream>,
    wire: Wire,
}

impl Conn {
    /// Opens a websocket to this URL.
    pub async fn open(url: &str, path: &str, wire: Wire) -> anyhow::Result<Conn> {
        let host = url.trim_start_matches("http://");
        let stream = tcp(host).await?;
        let query = if wire == Wire::SocketIo { "/?EIO=4&transport=websocket" } else { "" };
        // The default, 128 KiB, costs time for each connection.
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let address = format!("ws://{host}{path}{query}");
        let opened = client_async_with_config(address, stream, Some(config));
        let (stream, _) = timeout(TIMEOUT, opened).await??;
        Ok(Conn { stream, wire })
    }

    /// Opens a connection of Socket.IO, and waits for this event, the server's first. Returns its
    /// data as well.
    pub async fn enter(
        url: &str,
        path: &str,
        auth: Value,
        first: &str,
    ) -> anyhow::Result<(Conn, Value)> {
        let mut conn = Conn::open(url, path, Wire::SocketIo).await?;
        conn.send(format!("40{auth}")).await?;
        let data = conn.event(first).await?;
        Ok((conn, data))
    }

    pub async fn send(&mut self, text: String) -> anyhow::Result<()> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    pub async fn emit(&mut self, event: &str, data: Value) -> anyhow::Result<()> {
        self.send(format!("42{}", json!([event, data]))).await
    }

    /// Emits a request and returns the answer.
    pub async fn ask(&mut self, event: &str, data: Value) -> anyhow::Result<Value> {
        self.send(format!("420{}", json!([event, data]))).await?;
        let frame = self.starts_with(b"430[").await?;
        let mut answer: Value = serde_json::from_slice(&frame[3..])?;
        ensure!(answer[0].get("ok").is_some(), "{event} is refused: {answer}");
        Ok(answer[0]["ok"].take())
    }

    /// The data of the next event of this name.
    pub async fn event(&mut self, name: &str) -> anyhow::Result<Value> {
        let frame = self.starts_with(format!("42[\"{name}\"").as_bytes()).await?;
        let mut event: Value = serde_json::from_slice(&frame[2..])?;
        Ok(event[1].take())
    }

    /// A round trip.
    pub async fn echo(&mut self) -> anyhow::Result<()> {
        let (request, answer) = match self.wire {
            Wire::SocketIo => (Message::text(r#"420["echo","0123456789abcdef"]"#), &b"430["[..]),
            Wire::Plain => (Message::text(r#"420["echo","0123456789abcdef"]"#), &b"420["[..]),
            Wire::Colyseus => {
                (Message::binary(&b"\x0d\xa4echo\xb00123456789abcdef"[..]), &b"\x0d\xa4echo"[..])
            }
        };
        self.stream.send(request).await?;
        self.starts_with(answer).await?;
        Ok(())
    }

    /// Colyseus: the room has accepted the connection.
    pub async fn joined(&mut self) -> anyhow::Result<()> {
        self.starts_with(b"\x0a").await?;
        Ok(self.stream.send(Message::binary(&b"\x0a"[..])).await?)
    }

    async fn starts_with(&mut self, start: &[u8]) -> anyhow::Result<Vec<u8>> {
        let frame = async {
            loop {
                let frame = self.frame().await?;
                let bytes = frame_bytes(&frame);
                ensure!(!bytes.starts_with(b"44"), "refused: {frame}");
                if bytes.starts_with(start) {
                    return anyhow::Ok(bytes.to_vec());
                }
            }
        };
        let frame = timeout(TIMEOUT, frame).await;
        frame.with_context(|| format!("no {}", String::from_utf8_lossy(start)))?
    }

    /// The next frame that is no ping. Answers pings.
    async fn frame(&mut self) -> anyhow::Result<Message> {
        loop {
            match self.stream.next().await.context("the connection has ended")?? {
                Message::Text(text) if text == "2" => self.send("3".to_owned()).await?,
                frame @ (Message::Text(_) | Message::Binary(_)) => return Ok(frame),
                Message::Close(_) => bail!("the server has closed the connection"),
                _ => {}
            }
        }
    }
}

fn frame_bytes(frame: &Message) -> &[u8] {
    match frame {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        _ => &[],
    }
}

/// Sends a request of HTTP with this body, and returns the body of the answer.
pub async fn post(url: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let host = url.trim_start_matches("http://");
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tcp(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(TIMEOUT, stream.read_to_string(&mut answer)).await??;
    let (start, end) = (answer.find('{').context("no JSON")?, answer.rfind('}').unwrap_or(0));
    Ok(serde_json::from_str(&answer[start..=end])?)
}

async fn tcp(host: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Microseconds of the monotonic clock, which all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// Connections that stay, and read whatever they are sent. Dropping it closes them.
pub struct Crowd {
    ends: watch::Sender<Instant>,
    answered: mpsc::UnboundedSender<anyhow::Result<u64>>,
    answers: mpsc::UnboundedReceiver<anyhow::Result<u64>>,
    heard: Heard,
    pub size: usize,
}

/// What a crowd has been sent.
#[derive(Clone)]
pub struct Heard {
    /// Frames but pings and answers.
    pub frames: Arc<AtomicU64>,
    /// For each tick, microseconds from when it was due until it was sent, and until it arrived.
    ticks: Option<mpsc::UnboundedSender<(u64, u64)>>,
}

impl Crowd {
    pub fn new() -> Crowd {
        let (answered, answers) = mpsc::unbounded_channel();
        let heard = Heard { frames: Arc::default(), ticks: None };
        let ends = watch::Sender::new(Instant::now());
        Crowd { ends, answered, answers, heard, size: 0 }
    }

    /// The same, which also reads when ticks were due and sent.
    pub fn with_ticks() -> (Crowd, mpsc::UnboundedReceiver<(u64, u64)>) {
        let (sender, ticks) = mpsc::unbounded_channel();
        let mut crowd = Crowd::new();
        crowd.heard.ticks = Some(sender);
        (crowd, ticks)
    }

    pub fn add(&mut self, conn: Conn) {
        let (ends, heard) = (self.ends.subscribe(), self.heard.clone());
        tokio::spawn(sit(conn, ends, self.answered.clone(), heard));
        self.size += 1;
    }

    pub fn frames(&self) -> u64 {
        self.heard.frames.load(Relaxed)
    }

    /// Each sends one request after the other for this long. Returns how many were answered in a
    /// second.
    pub async fn echo_for(&mut self, time: Duration) -> anyhow::Result<f64> {
        let start = Instant::now();
        self.ends.send(start + time)?;
        let mut sum = 0;
        for _ in 0..self.size {
            sum += self.answers.recv().await.context("nobody is left")??;
        }
        Ok(sum as f64 / start.elapsed().as_secs_f64())
    }
}

async fn sit(
    mut conn: Conn,
    mut ends: watch::Receiver<Instant>,
    answered: mpsc::UnboundedSender<anyhow::Result<u64>>,
    heard: Heard,
) {
    loop {
        let result = tokio::select! {
            told = ends.changed() => {
                if told.is_err() { return }
                let end = *ends.borrow_and_update();
                echo_until(&mut conn, end).await
            }
            frame = conn.frame() => match frame {
                Ok(frame) => {
                    hear(&heard, &frame);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        let failed = result.is_err();
        if answered.send(result).is_err() || failed {
            return;
        }
    }
}

async fn echo_until(conn: &mut Conn, end: Instant) -> anyhow::Result<u64> {
    let mut answered = 0;
    while Instant::now() < end {
        conn.echo().await?;
        answered += 1;
    }
    Ok(answered)
}

fn hear(heard: &Heard, frame: &Message) {
    heard.frames.fetch_add(1, Relaxed);
    let (Some(ticks), Message::Text(text)) = (&heard.ticks, frame) else { return };
    let number = |name: &str| {
        let rest = &text[text.find(name)? + name.len()..];
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    if let (Some(due), Some(sent)) = (number("\"due\":"), number("\"sent\":")) {
        let _ = ticks.send((sent.saturating_sub(due), now().saturating_sub(due)));
    }
}
