//! A player's connection to a room that costs the one who measures as little as can be: frames are
//! looked at and never parsed.

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes},
};

/// The request, for which the room sends nothing but the answer; 0 is the answer's number.
const REQUEST: Utf8Bytes = Utf8Bytes::from_static(r#"420["logged"]"#);
const ANSWER: &str = r#"430[{"ok""#;

pub struct Seat(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Seat {
    /// Connects to where `reroute` says, and joins. `url`: where its `path` is.
    pub async fn take(url: &str, reroute: &Value) -> anyhow::Result<Seat> {
        let host = url.trim_start_matches("http");
        let path = reroute["path"].as_str().context("no path")?;
        let address = format!("ws{host}{path}/?EIO=4&transport=websocket");
        // As browsers do: a small packet is sent at once.
        let at_once = true;
        let mut seat = Seat(connect_async_with_config(address, None, at_once).await?.0);
        let auth = json!({ "ticket": reroute["ticket"] });
        seat.0.send(Message::text(format!("40{auth}"))).await?;
        while !seat.next().await?.starts_with(r#"42["joined""#) {}
        Ok(seat)
    }

    /// One request after the other, for as long as told. How many were answered.
    async fn ask_until(&mut self, end: Instant) -> anyhow::Result<u64> {
        let mut answered = 0;
        while Instant::now() < end {
            self.0.send(Message::Text(REQUEST)).await?;
            while !self.next().await?.starts_with(ANSWER) {}
            answered += 1;
        }
        Ok(answered)
    }

    /// The next frame. Pings are answered.
    async fn next(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the connection has ended")?? {
                Message::Text(text) if text == "2" => self.0.send(Message::text("3")).await?,
                Message::Text(text) => return Ok(text),
                Message::Close(_) => bail!("the room has hung up"),
                _ => {}
            }
        }
    }
}

/// Players who sit in their room for the whole measurement, and all ask at once when told to.
pub struct Crowd {
    ends: watch::Sender<Instant>,
    answers: mpsc::UnboundedReceiver<anyhow::Result<u64>>,
    size: usize,
}

impl Crowd {
    pub fn new(seats: Vec<Seat>) -> Crowd {
        let ends = watch::Sender::new(Instant::now());
        let (answered, answers) = mpsc::unbounded_channel();
        let size = seats.len();
        for seat in seats {
            tokio::spawn(sit(seat, ends.subscribe(), answered.clone()));
        }
        Crowd { ends, answers, size }
    }

    /// Each asks one thing after the other. How many answers they got together.
    pub async fn ask_until(&mut self, end: Instant) -> anyhow::Result<u64> {
        self.ends.send(end)?;
        let mut sum = 0;
        for _ in 0..self.size {
            sum += self.answers.recv().await.context("nobody is left")??;
        }
        Ok(sum)
    }
}

async fn sit(
    mut seat: Seat,
    mut ends: watch::Receiver<Instant>,
    answered: mpsc::UnboundedSender<anyhow::Result<u64>>,
) {
    loop {
        let result = tokio::select! {
            told = ends.changed() => match told {
                Ok(()) => {
                    let end = *ends.borrow_and_update();
                    seat.ask_until(end).await
                }
                Err(_) => return,
            },
            // Between two turns there are pings to answer.
            frame = seat.next() => match frame {
                Ok(_) => continue,
                Err(error) => Err(error),
            },
        };
        let failed = result.is_err();
        if answered.send(result).is_err() || failed {
            return;
        }
    }
}
