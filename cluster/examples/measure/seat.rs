//! A player's connection to a room that costs the one who measures as little as can be: frames are
//! looked at and never parsed.

use anyhow::{Context as _, Error};
use cluster::testing::{Connection, Packet};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// The request, for which the room sends nothing but the answer; 0 is the answer's number.
const REQUEST: &str = r#"420["logged"]"#;
const ANSWER: &str = r#"[{"ok""#;

pub struct Seat(Connection);

impl Seat {
    /// Connects to where `reroute` says, and joins. `url`: where its `path` is.
    pub async fn take(url: &str, reroute: &Value) -> anyhow::Result<Seat> {
        let path = reroute["path"].as_str().context("no path")?;
        let mut seat = Seat(Connection::open(url, path).await.map_err(Error::msg)?);
        let auth = json!({ "ticket": reroute["ticket"] });
        seat.0.introduce(&auth).await.map_err(Error::msg)?;
        seat.0.event("joined").await.map_err(Error::msg)?;
        Ok(seat)
    }

    /// One request after the other, for as long as told. How many were answered.
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
