//! What lobby and room say to each other, and the one socket pair on which they say it: a JSON
//! value a line, at most 64 KiB each. Both ends treat a line that does not parse as the other's death.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

use super::{
    settings::RoomSettings,
    words::{Leave, Player, Refusal, RoomId},
};

/// Raised whenever a frame changes its meaning; lobby and room must agree.
pub(crate) const VERSION: u32 = 1;
const MAX_FRAME: usize = 64 * 1024;
/// Frames that may wait for a room that does not read; one more, and it counts as hung.
const MAX_WAITING: usize = 4096;

/// Lobby to room, in this order: `Setup`, `Open`, then anything.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToRoom {
    /// First frame: who the room is, and where it listens.
    Setup { version: u32, room: RoomId, settings: Box<RoomSettings> },
    /// Become ready for this task.
    Open { options: Box<RawValue>, capacity: usize, seed: u64 },
    /// Keep a seat for the player; who shows the ticket takes it.
    Hold { seat: u64, ticket: String, player: Player },
    /// Let the player of this seat go, if it is still his.
    Release { seat: u64, reason: String },
    /// A message for `on_lobby_message`.
    Message(Box<RawValue>),
    /// Finish within so many milliseconds; nobody new comes.
    Drain { left_ms: u64 },
}

/// Room to lobby, in the order in which things happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromRoom {
    /// First frame: runs, listens on `port`, knows nothing of its task.
    Warm {
        version: u32,
        build: String,
        port: u16,
    },
    Ready,
    /// `on_open` refused, or a state of the room's own made it give up.
    Failed(Refusal),
    Beat,
    Held {
        seat: u64,
    },
    HoldRefused {
        seat: u64,
        refusal: Refusal,
    },
    Joined {
        seat: u64,
    },
    /// The connection is lost; the seat is kept for the grace that `on_drop` gave.
    Dropped {
        seat: u64,
    },
    Left {
        seat: u64,
        why: Leave,
    },
    /// A message for `on_room_message`.
    Message(Box<RawValue>),
    Locked(bool),
    /// Last frame: ended in order, with the outcome given to `close`, if any.
    Closed {
        outcome: Option<Box<RawValue>>,
    },
}

/// The writing end. Cloning it is cheap; frames go out in the order in which they were sent.
#[derive(Clone, Debug)]
pub(crate) struct Sender(mpsc::Sender<Job>);

#[derive(Debug)]
enum Job {
    Line(String),
    /// Answered when all lines before it are written.
    Flush(oneshot::Sender<()>),
}

/// The reading end.
pub(crate) struct Receiver {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// How much of the buffer was given out already.
    start: usize,
}

/// Takes the socket apart, and starts the task that writes to it.
pub(crate) fn open(stream: UnixStream) -> (Sender, Receiver) {
    let (read, write) = stream.into_split();
    let (sender, jobs) = mpsc::channel(MAX_WAITING);
    tokio::spawn(write_lines(write, jobs));
    (Sender(sender), Receiver { stream: read, buffer: Vec::new(), start: 0 })
}

async fn write_lines(mut stream: OwnedWriteHalf, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        match job {
            // The other end's death is noticed by the reader; here it only ends the writing.
            Job::Line(line) if stream.write_all(line.as_bytes()).await.is_err() => return,
            Job::Line(_) => {}
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

impl Sender {
    /// Queues a frame. An error means that it is too large, or that the other end has stopped reading.
    pub fn send(&self, frame: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(frame)?;
        line.push('\n');
        if line.len() > MAX_FRAME {
            bail!("a message of {} bytes is over the limit of {MAX_FRAME}", line.len());
        }
        self.0.try_send(Job::Line(line)).context("the other end has stopped reading")
    }

    /// Waits until all that was queued is written, for at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let (done, written) = oneshot::channel();
        if self.0.try_send(Job::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(patience, written).await;
        }
    }
}

impl Receiver {
    /// The next frame; `None` when the other end is gone. Cancel safe.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            let rest = &self.buffer[self.start..];
            let end = rest.iter().position(|&byte| byte == b'\n');
            if end.unwrap_or(rest.len()) >= MAX_FRAME {
                bail!("a frame over {MAX_FRAME} bytes");
            }
            if let Some(end) = end {
                let frame = serde_json::from_slice(&rest[..end]);
                self.start += end + 1;
                return frame.map(Some).context("a frame that does not parse");
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}
