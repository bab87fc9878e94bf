//! A Socket.IO connection that never panics and keeps nothing: whatever goes wrong is an end, with a word
//! for why. What is not looked at is not parsed, so that one thread carries a thousand players.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes},
};

/// A connection that takes longer has failed; the page waits as long.
const CONNECTING: Duration = Duration::from_secs(3);
/// Who is connected is greeted within this, or the page tries again.
const GREETING: Duration = Duration::from_secs(10);
/// The events whose data matters here.
const LOOKED_AT: [&str; 5] = ["welcome", "reroute", "refused", "joined", "rooms"];

pub struct Line {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
}

pub enum Heard {
    /// The data is null where nobody looks at it.
    Event(String, Value),
    /// The answer to what was asked with this number.
    Answer(u64, Value),
}

impl Line {
    /// Connects, and waits to be let in. `Err`: why not, where the server has said so its code.
    pub async fn connect(url: &str, path: &str, auth: Value) -> Result<Line, String> {
        let mut line = Line::open(url, path).await?;
        line.send(format!("40{auth}")).await?;
        let let_in = async {
            loop {
                let text = line.text().await?;
                if text.starts_with("40") {
                    return Ok(());
                } else if let Some(refused) = text.strip_prefix("44") {
                    let refused: Value = serde_json::from_str(refused).unwrap_or_default();
                    return Err(refused["message"].as_str().unwrap_or("refused").to_owned());
                }
            }
        };
        timeout(GREETING, let_in).await.map_err(|_| "no answer")??;
        Ok(line)
    }

    /// A websocket that has not said yet who it is.
    pub async fn open(url: &str, path: &str) -> Result<Line, String> {
        let host = url.trim_start_matches("http");
        let address = format!("ws{host}{path}/?EIO=4&transport=websocket");
        // As browsers do: a small packet is sent at once.
        let connecting = connect_async_with_config(address, None, true);
        let connected = timeout(CONNECTING, connecting).await.map_err(|_| "no connection")?;
        let (stream, _) = connected.map_err(|error| error.to_string())?;
        Ok(Line { stream, asked: 0 })
    }

    /// Emits with a number, and returns it: the answer comes among the other things that are heard.
    pub async fn ask(&mut self, event: &str, data: &Value) -> Result<u64, String> {
        self.asked += 1;
        let number = self.asked;
        self.send(format!("42{number}{}", json!([event, data]))).await?;
        Ok(number)
    }

    /// The same so many times at once, without numbers: they cost the one who floods as little as can be.
    pub async fn ask_many(&mut self, event: &str, times: usize) -> Result<(), String> {
        let text = Utf8Bytes::from(format!("42{}", json!([event])));
        for _ in 0..times {
            let fed = self.stream.feed(Message::Text(text.clone())).await;
            fed.map_err(|error| error.to_string())?;
        }
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// Emits with a number, and waits for the answer; the events before it are passed over.
    pub async fn answer(&mut self, event: &str, data: &Value) -> Result<Value, String> {
        let number = self.ask(event, data).await?;
        let answer = async {
            loop {
                match self.hear().await? {
                    Heard::Answer(to, answer) if to == number => return Ok(answer),
                    Heard::Answer(..) | Heard::Event(..) => {}
                }
            }
        };
        timeout(GREETING, answer).await.map_err(|_| "no answer")?
    }

    /// Waits for the event of this name, but no longer than for a greeting.
    pub async fn event(&mut self, name: &str) -> Result<Value, String> {
        let event = async {
            loop {
                match self.hear().await? {
                    Heard::Event(heard, data) if heard == name => return Ok(data),
                    Heard::Event(..) | Heard::Answer(..) => {}
                }
            }
        };
        timeout(GREETING, event).await.map_err(|_| format!("no {name}"))?
    }

    /// The next event or answer. May be given up half-way: nothing is lost.
    pub async fn hear(&mut self) -> Result<Heard, String> {
        loop {
            let text = self.text().await?;
            if text.starts_with("41") {
                return Err("the server has hung up".to_owned());
            } else if let Some(heard) = parse(&text) {
                return Ok(heard);
            }
        }
    }

    /// Sends text as it is.
    pub async fn send(&mut self, text: String) -> Result<(), String> {
        self.stream.send(Message::text(text)).await.map_err(|error| error.to_string())
    }

    /// Hangs up in order, as a page does that goes on purpose.
    pub async fn leave(mut self) {
        let goodbye = async {
            let _ = self.send("41".to_owned()).await;
            let _ = self.stream.close(None).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = timeout(CONNECTING, goodbye).await;
    }

    /// The next packet. Pings are answered: the first may come before anything else.
    async fn text(&mut self) -> Result<Utf8Bytes, String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) if text == "2" => self.send("3".to_owned()).await?,
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(_))) | None => return Err("the line was cut".to_owned()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }
}

fn parse(text: &str) -> Option<Heard> {
    if let Some(event) = text.strip_prefix("42") {
        let name = event.strip_prefix("[\"")?.split('"').next()?;
        if !LOOKED_AT.contains(&name) {
            return Some(Heard::Event(name.to_owned(), Value::Null));
        }
        let mut event: Value = serde_json::from_str(event).ok()?;
        return Some(Heard::Event(name.to_owned(), event[1].take()));
    }
    let answer = text.strip_prefix("43")?;
    let (number, values) = answer.split_at(answer.find('[')?);
    let mut values: Value = serde_json::from_str(values).ok()?;
    Some(Heard::Answer(number.parse().ok()?, values[0].take()))
}
