//! The control channel between lobby and room: one Unix socket pair, one JSON value a line.
//!
//! The lobby also hands browsers' connections to a room over it, as file descriptors (SCM_RIGHTS).
//! The kernel attaches a descriptor to the bytes it was sent with, and a plain `read` of those
//! bytes discards it. Therefore one `sendmsg` writes a line and its descriptor, and a room reads
//! with `recvmsg` only.
//!
//! A line that does not parse or is too long counts as the death of the end that wrote it.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::cmsg_space;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::{Settings, Size};
use crate::process::room_process::{Part, RemoteRoom};
use crate::process::usage::Usage;
use crate::runtime::clock;
use crate::types::{AnyPlayer, Exit, LeaveReason, PlayerId, Refusal, RoomId, Route};

/// Raised whenever a frame changes its meaning. Lobby and room must agree on it.
pub(crate) const VERSION: u32 = 11;
/// The longest line, in bytes.
pub(crate) const MAX_FRAME: usize = 64 * 1024;
/// Bytes that are queued for an end that does not read. When the queue is full, the lobby kills the
/// room as hung.
pub(crate) const MAX_QUEUED: u32 = 8 * 1024 * 1024;
/// Players who may join together: their reservations fit into one frame.
pub(crate) const MAX_PARTY: usize = 32;
/// A smaller frame counts as this many bytes, so that at most 4,096 frames are queued.
const MIN_CHARGE: u32 = 2 * 1024;
/// How long a handoff waits for space in the socket.
const HANDOFF_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes read at a time.
pub(crate) const CHUNK: usize = 8 * 1024;
/// Linux sends at most 253 descriptors at once.
pub(crate) const MAX_FILES: usize = 200;
/// Processes started by a room must not inherit its connections. macOS lacks the flag.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// Lobby to room: `Setup`, then `Open`, then the others in any order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToRoom {
    /// First frame: the room's id and settings; on a host of a lobby, the file of its lease.
    Setup { version: u32, room: RoomId, settings: Box<Settings>, lease: Option<PathBuf> },
    /// Turns a warm process into a room of this kind.
    Open { options: Box<RawValue>, spec: RoomSpec },
    /// Reserves all of these seats or none. Answered by `Reserved` or `ReserveRefused`.
    Reserve { join: u64, seats: Vec<ReservedSeat> },
    /// Frees the seat, unless it was reserved again, and sends its player to the lobby.
    Release { seat: u64, reason: LeaveReason },
    /// Frees the seat of a player who goes to another room. Their page is sent this route; `None`:
    /// the lobby reroutes it, or the player never came.
    Transfer { seat: u64, to: Option<Route> },
    /// The player of this seat has another profile.
    Profile { seat: u64, profile: Value },
    /// Tells the player of this seat that a reroute was refused.
    Refused { seat: u64, refusal: Refusal },
    /// A message for `on_lobby_message`.
    Message(Box<RawValue>),
    /// Admits nobody more, and closes within this many milliseconds.
    Drain { remaining_ms: u64, reason: String },
    /// On a host: what the room tells the next lobby, with its seats, if this one ends.
    Note(Box<RawValue>),
    /// The lobby has ended: the room describes itself to the next one.
    Describe,
    /// A browser's connection comes with this line.
    Socket,
}

/// What a room knows about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoomSpec {
    /// The name of a registered kind of room.
    pub kind: String,
    pub capacity: usize,
    pub memory: Size,
    pub seed: u64,
    pub host: Option<PlayerId>,
    pub code: Option<String>,
}

/// A seat reserved for a player, who takes it by showing the ticket.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReservedSeat {
    pub seat: u64,
    pub ticket: String,
    pub player: AnyPlayer,
    /// What the lobby passes on with the seat, if anything.
    pub options: Option<Value>,
}

/// Room to lobby, in the order in which things happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromRoom {
    /// First frame: the process runs and waits for `Open`.
    Warm,
    /// `on_open` has returned: players may come.
    Ready,
    /// `on_open` refused. Last frame.
    Failed(Refusal),
    /// The thread that runs the hooks is not blocked. With the longest delay of a tick since the
    /// last one. The supervisor passes on one now and then, and fills in what the process uses.
    Heartbeat(Usage),
    /// The seats of this join wait for their players.
    Reserved { join: u64 },
    /// The room gives none of the seats of this join.
    ReserveRefused { join: u64, refusal: Refusal },
    /// The player of this seat has connected.
    Connected { seat: u64 },
    /// The connection is lost; the seat is kept for the grace period of `on_disconnect`.
    Disconnected { seat: u64, grace_ms: u64 },
    /// The seat is free.
    Left { seat: u64, reason: LeaveReason },
    /// Asks the lobby to move the player of this seat to another room.
    Transfer { seat: u64, room: RoomId },
    /// A message for `on_room_message`.
    Message(Box<RawValue>),
    /// What the list of rooms shows of the room, from now on.
    Listed(Value),
    /// A hook locked or unlocked the room.
    Locked(bool),
    /// Answers `Describe`, in several parts.
    Described(Part),
    /// The room ends in this way. After `Crashed`, a `Left` frame follows for each seat; after any
    /// other exit, none does. Heartbeats may still follow.
    Ending(Exit),
}

/// Lines that are to be written.
pub(crate) type Queue = mpsc::UnboundedSender<(String, OwnedSemaphorePermit)>;

/// The writing end. Clones share one queue, which is written in order. A test makes one that is not
/// written, and reads the queue itself.
#[derive(Clone)]
pub(crate) struct Sender {
    queue: Queue,
    /// `MAX_QUEUED` permits. Until it is written, each line holds one for each of its bytes, and at
    /// least `MIN_CHARGE`.
    space: Arc<Semaphore>,
    pub end: End,
}

/// Where the other end is.
#[derive(Clone)]
pub(crate) enum End {
    /// On this machine. The stream is held while one line is written: another must not start in the
    /// middle of it.
    Here(Arc<Mutex<OwnedWriteHalf>>),
    /// A room on another host. All rooms of the host share the queue of its link.
    Remote(Arc<RemoteRoom>),
    /// The host itself.
    Host,
}

/// The reading end.
pub(crate) struct Receiver {
    pub stream: OwnedReadHalf,
    pub buffer: Vec<u8>,
    /// Bytes of the last frame.
    pub last_size: usize,
    /// Received so far: fewer than were sent, if this process is out of descriptors. `None`: the
    /// kernel closes them, as in a lobby, which accepts none.
    pub sockets: Option<Vec<OwnedFd>>,
}

/// Splits the socket, and spawns the task that writes to it.
pub(crate) fn open(stream: UnixStream) -> (Sender, Receiver) {
    let (stream, write) = stream.into_split();
    let (queue, mut lines): (Queue, _) = mpsc::unbounded_channel();
    let write = Arc::new(Mutex::new(write));
    let sender = Sender::new(queue, End::Here(write.clone()));
    tokio::spawn(async move {
        while let Some((line, _permit)) = lines.recv().await {
            // The reader notices the death of the other end.
            if write.lock().await.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    (sender, Receiver { stream, buffer: Vec::new(), last_size: 0, sockets: None })
}

impl Sender {
    pub fn new(queue: Queue, end: End) -> Self {
        Sender { queue, space: Arc::new(Semaphore::new(MAX_QUEUED as usize)), end }
    }

    /// Queues a frame. One for an end that is gone is dropped: the reader notices that.
    ///
    /// # Errors
    /// - The frame is longer than `MAX_FRAME`.
    /// - The queue is full, because the other end does not read.
    pub fn send(&self, frame: &impl Serialize) -> anyhow::Result<()> {
        self.send_line(line(frame)?)
    }

    /// The same for a frame that is a line already.
    pub fn send_line(&self, mut line: String) -> anyhow::Result<()> {
        if let End::Remote(room) = &self.end {
            line = format!("{} {line}", room.id);
        }
        let charge = MIN_CHARGE.max(line.len() as u32);
        let permit = self.space.clone().try_acquire_many_owned(charge);
        let permit = permit.context("the other end does not read, and its queue is full")?;
        let _ = self.queue.send((line, permit));
        Ok(())
    }

    /// Whether the queue is more than half full. New joins are refused then.
    pub fn is_busy(&self) -> bool {
        self.space.available_permits() < MAX_QUEUED as usize / 2
    }

    /// Hands a copy of a browser's connection to the room, ahead of the queued frames.
    ///
    /// # Errors
    /// The room is gone, or made no space in time. It has not received the connection then.
    pub async fn send_socket(&self, socket: impl AsFd) -> anyhow::Result<()> {
        let line = line(&ToRoom::Socket)?;
        let End::Here(stream) = &self.end else { bail!("the room is on another host") };
        let sent = async {
            let stream = stream.lock().await;
            let stream: &UnixStream = (*stream).as_ref();
            // The kernel writes a line as short as this whole or not at all, so the descriptor
            // cannot be sent twice.
            let send = || send_files(stream, line.as_bytes(), &[socket.as_fd()]);
            stream.async_io(Interest::WRITABLE, send).await
        };
        clock::timeout(HANDOFF_TIMEOUT, sent).await.context("the room accepts no connection")??;
        Ok(())
    }

    /// Waits until what is queued now is written, at most for `limit`. Returns whether it is.
    pub async fn flush(&self, limit: Duration) -> bool {
        // The permit of an empty line is free again when all lines before it are written.
        let written = Arc::new(Semaphore::new(1));
        if let Ok(permit) = written.clone().try_acquire_owned() {
            let _ = self.queue.send((String::new(), permit));
        }
        clock::timeout(limit, written.acquire()).await.is_ok()
    }
}

pub(crate) fn line(frame: &impl Serialize) -> anyhow::Result<String> {
    // JSON that a hook passes on verbatim may have line breaks between its tokens.
    let line = serde_json::to_string(frame)?.replace('\n', " ") + "\n";
    let size = line.len();
    ensure!(size <= MAX_FRAME, "a message of {size} bytes is over the limit of {MAX_FRAME}");
    Ok(line)
}

impl Receiver {
    /// The next frame; `None` when the other end is gone. Cancel safe.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            let end = self.buffer.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(self.buffer.len());
            ensure!(length < MAX_FRAME, "a frame over {MAX_FRAME} bytes");
            if end.is_some() {
                self.last_size = length + 1;
                let frame = serde_json::from_slice(&self.buffer[..length]);
                self.buffer.drain(..=length);
                return frame.map(Some).context("a frame that does not parse");
            }
            let stream: &UnixStream = self.stream.as_ref();
            let receive = || receive_files(stream, &mut self.buffer, self.sockets.as_mut());
            if !matches!(stream.async_io(Interest::READABLE, receive).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }
}

/// Sends these bytes with copies of descriptors, of which there are at most [`MAX_FILES`].
pub(crate) fn send_files(socket: impl AsFd, bytes: &[u8], files: &[BorrowedFd]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(files));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives the bytes that are there, up to [`CHUNK`], and returns their number. Descriptors that
/// come with them are added to `files`; `None`: the kernel closes them.
pub(crate) fn receive_files(
    socket: impl AsFd,
    bytes: &mut Vec<u8>,
    files: Option<&mut Vec<OwnedFd>>,
) -> io::Result<usize> {
    let mut chunk = [0; CHUNK];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
    let space = if files.is_some() { &mut space[..] } else { &mut [] };
    let mut control = RecvAncillaryBuffer::new(space);
    let count = recvmsg(socket, &mut [IoSliceMut::new(&mut chunk)], &mut control, RECEIVE)?.bytes;
    bytes.extend_from_slice(&chunk[..count]);
    let Some(files) = files else { return Ok(count) };
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(received) = message else { continue };
        for file in received {
            fcntl_setfd(&file, FdFlags::CLOEXEC)?;
            files.push(file);
        }
    }
    Ok(count)
}
