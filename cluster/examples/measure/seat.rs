//! A player's connection to a room. It costs this process as little as possible: frames are not
//! parsed.

use anyhow::{Context as _, Error};
use cluster::testing::{Connection, Packet};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A request that the room only answers, with acknowledgement id 0.
const REQUEST: &str = r#"420["logged"]"#;
const ANSWER: &str = r#"[{"ok""#;

pub struct Seat(Connection);

impl Seat {
    /// Connects to the path of `reroute` at this URL, and joins.
    pub async fn take(url: &str, reroute: &Value) -> anyhow::Result<Seat> {
        let path = reroute["path"].as_str().context("no path")?;
        let auth = json!({ "ticket": reroute["ticket"] });
        let mut connection = Connection::connect(url, path, &auth).await.map_err(Error::msg)?;
        connection.event("joined").await.map_err(Error::msg)?;
        Ok(Seat(connection))
    }

    /// Sends one request after the other. Returns how many were answered.
    async fn ask_until(&mut self, end: Instant) -> anyhow::Result<u64> {
        let mut answered = 0;
        while Instant::now() < end {
            self.0.send(REQUEST).await.map_err(Error::msg)?;
            let good = |packet| matches!(packet, Packet::Answer(0, answer) if answer.text().starts_with(ANSWER));
            while !good(self.next().await?) {}
            answered += 1;
        }
        Ok(answered)
    }

    async fn next(&mut self) -> anyhow::Result<Packet> {
        self.0.next().await.map_err(Error::msg)
    }
}

/// The players who stay in the room for the whole measurement.
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

    /// Each sends one request after the other. Returns how many were answered in all.
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
            // Pings are answered between two turns.
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
