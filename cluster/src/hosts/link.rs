//! An open link: lines over TCP, written by a task.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use crate::process::channel::{MAX_FRAME, Queue};
use crate::types::RoomId;

/// The longest line: a frame with its room's id.
const MAX_LINE: usize = MAX_FRAME + 128;
/// An end that accepts no line for this long counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The reading end.
pub(super) struct Lines(FramedRead<OwnedReadHalf, LinesCodec>);

/// A received line.
pub(super) enum Line<T> {
    Message(T),
    /// A frame to or from this room, not parsed.
    Frame(RoomId, String),
    /// The other end has closed the link, or its process has ended.
    Closed,
}

/// Splits the connection, and spawns the task that writes what is queued. The task ends, and closes
/// the connection, when all senders are dropped.
pub(super) fn open(stream: TcpStream) -> (Queue, Lines) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let (queue, mut lines): (Queue, _) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((line, _permit)) = lines.recv().await {
            // The reader notices that the other end is gone.
            let written = timeout(WRITE_TIMEOUT, write.write_all(line.as_bytes())).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    });
    (queue, Lines(FramedRead::new(read, LinesCodec::new_with_max_length(MAX_LINE))))
}

impl Lines {
    /// The next line. Cancel safe. Fails if it is malformed.
    pub async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Line<T>> {
        let line = match self.0.next().await {
            None | Some(Err(LinesCodecError::Io(_))) => return Ok(Line::Closed),
            Some(line) => line.context("no line came")?,
        };
        match line.split_once(' ') {
            Some((room, frame)) if !line.starts_with('{') => {
                Ok(Line::Frame(RoomId(room.to_owned()), frame.to_owned()))
            }
            _ => Ok(Line::Message(serde_json::from_str(&line).context("it does not parse")?)),
        }
    }
}
