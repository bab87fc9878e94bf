//! What lobby and room say to each other, and the one socket pair on which they say it: a JSON
//! value a line, at most 64 KiB each. Both ends treat a line that does not parse as the other's death.
//! The lobby also sends sockets to the room, each with a line of its own.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::{
    cmsg_space,
    io::{FdFlags, fcntl_setfd},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, mpsc, oneshot},
};

use crate::{
    config::settings::RoomSettings,
    runtime::clock,
    types::{LeaveReason, Player, PlayerId, Refusal, RoomId, Route},
};

/// Raised whenever a frame changes its meaning; lobby and room must agree.
pub(crate) const VERSION: u32 = 7;
pub(crate) const MAX_FRAME: usize = 64 * 1024;
/// Frames that may wait for a room that does not read, and their bytes; one more, and it counts as hung.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 8 * 1024 * 1024;
/// How long a room may take to make way for one more socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(1);
/// How much is read in one go.
pub(crate) const CHUNK: usize = 8 * 1024;
/// What this process starts must not inherit the sockets that it gets. Elsewhere than on Linux they
/// can only be marked a moment later.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// Lobby to room, in this order: `Setup`, `Open`, then anything.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToRoom {
    /// First frame: who the room is, and where it listens.
    Setup { version: u32, room: RoomId, settings: Box<RoomSettings> },
    /// Become ready for this task.
    Open { options: Box<RawValue>, spec: RoomSpec },
    /// Keep seats for players who come together: for all of them, or for none. Answered `Reserved` or
    /// `ReserveRefused`.
    Reserve { join: u64, seats: Vec<ReservedSeat> },
    /// Take this seat back, if it has not been given again, and send its player to the lobby.
    Release { seat: u64, reason: LeaveReason },
    /// The player of this seat has one in another room: there he goes, unless he goes from the lobby.
    Move { seat: u64, to: Option<Route> },
    /// Tell the player of this seat that he was refused another one.
    Refused { seat: u64, refusal: Refusal },
    /// A message for `on_lobby_message`.
    Message(Box<RawValue>),
    /// Finish within so many milliseconds; nobody new comes.
    Drain { left_ms: u64, reason: String },
    /// The socket that came with this line is a browser's connection: serve it.
    Socket,
}

/// What kind of room it is, and for whom; decided by the lobby.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoomSpec {
    /// Which of the registered kinds of rooms it is.
    pub kind: String,
    pub capacity: usize,
    pub seed: u64,
    pub host: Option<PlayerId>,
    pub code: Option<String>,
}

/// A seat that waits for its player; who shows the ticket takes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReservedSeat {
    pub seat: u64,
    pub ticket: String,
    pub player: Player,
}

/// Room to lobby, in the order in which things on_notice.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromRoom {
    /// First frame: runs, and has not been opened yet.
    Warm,
    Ready,
    /// `on_open` refused, or a state of the room's own made it give up.
    Failed(Refusal),
    /// A hook has panicked: this is why it ends. Only `Left` follows, unless it was while the room closed: then
    /// this is the last frame.
    Crashed {
        what: String,
    },
    Heartbeat,
    Reserved {
        join: u64,
    },
    ReserveRefused {
        join: u64,
        refusal: Refusal,
    },
    Joined {
        seat: u64,
    },
    /// The connection is lost; the seat is kept for the grace that `on_disconnect` gave.
    Dropped {
        seat: u64,
    },
    Left {
        seat: u64,
        reason: LeaveReason,
    },
    /// The player of this seat wants to be, or is to be, in another room.
    SendOn {
        seat: u64,
        room: RoomId,
    },
    /// A message for `on_room_message`.
    Message(Box<RawValue>),
    Locked(bool),
    /// Last frame: a hook called `close`.
    Finished,
    /// Last frame: empty for too long, or asked by the lobby.
    Closed,
}

/// The writing end. Cloning it is cheap; frames go out in the order in which they were sent.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    jobs: mpsc::Sender<Job>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    /// Locked for as long as one line is written, so that no other begins in the middle of it.
    stream: Arc<Mutex<OwnedWriteHalf>>,
}

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
    last_size: usize,
    /// What came with the lines so far, for one who takes sockets: a room does, a lobby does not.
    sockets: Option<Vec<OwnedFd>>,
}

/// Takes the socket apart, and starts the task that writes to it.
pub(crate) fn open(stream: UnixStream) -> (Sender, Receiver) {
    let (read, write) = stream.into_split();
    let (jobs, queue) = mpsc::channel(MAX_WAITING);
    let stream = Arc::new(Mutex::new(write));
    let waiting = Arc::new(AtomicUsize::new(0));
    tokio::spawn(write_lines(stream.clone(), queue, waiting.clone()));
    let receiver =
        Receiver { stream: read, buffer: Vec::new(), start: 0, last_size: 0, sockets: None };
    (Sender { jobs, waiting, stream }, receiver)
}

async fn write_lines(
    stream: Arc<Mutex<OwnedWriteHalf>>,
    mut jobs: mpsc::Receiver<Job>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Line(line) => {
                // The other end's death is noticed by the reader; here it only ends the writing.
                if stream.lock().await.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
                waiting.fetch_sub(line.len(), Relaxed);
            }
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

impl Sender {
    /// Queues a frame. An error means that it is too large, or that the other end has stopped reading.
    pub fn send(&self, frame: &impl Serialize) -> anyhow::Result<()> {
        let line = line(frame)?;
        let size = line.len();
        ensure!(
            self.waiting.load(Relaxed) + size <= MAX_WAITING_BYTES,
            "the other end does not read, and {MAX_WAITING_BYTES} bytes wait for it"
        );
        self.jobs.try_send(Job::Line(line)).context("the other end has stopped reading")?;
        self.waiting.fetch_add(size, Relaxed);
        Ok(())
    }

    /// Half of what may wait for the other end does: no time for what may as well come later.
    pub fn is_busy(&self) -> bool {
        self.jobs.capacity() < MAX_WAITING / 2 || self.waiting.load(Relaxed) > MAX_WAITING_BYTES / 2
    }

    /// Gives a room a copy of the socket, ahead of the frames that still wait. On an error the room
    /// has none: it is gone, or has not made way in time.
    pub async fn send_socket(&self, socket: impl AsFd) -> anyhow::Result<()> {
        let line = line(&ToRoom::Socket)?;
        let send = |stream: &UnixStream| {
            let sockets = [socket.as_fd()];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&sockets));
            let bytes = [IoSlice::new(line.as_bytes())];
            Ok(sendmsg(stream, &bytes, &mut control, SendFlags::empty())?)
        };
        let sent = async {
            let stream = self.stream.lock().await;
            let stream: &UnixStream = (*stream).as_ref();
            // A line as short as this is written whole or not at all.
            stream.async_io(Interest::WRITABLE, || send(stream)).await
        };
        clock::timeout(SOCKET_PATIENCE, sent).await.context("too many wait")??;
        Ok(())
    }

    /// Waits until all that was queued is written, for at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let (done, written) = oneshot::channel();
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = clock::timeout(patience, written).await;
        }
    }
}

fn line(frame: &impl Serialize) -> anyhow::Result<String> {
    let mut line = serde_json::to_string(frame)?;
    line.push('\n');
    if line.len() > MAX_FRAME {
        bail!("a message of {} bytes is over the limit of {MAX_FRAME}", line.len());
    }
    Ok(line)
}

impl Receiver {
    /// From now on sockets are accepted. Without this the kernel closes what the other end sends.
    pub fn taking_sockets(mut self) -> Self {
        self.sockets = Some(Vec::new());
        self
    }

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
                self.last_size = end + 1;
                return frame.map(Some).context("a frame that does not parse");
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            match self.fill().await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// The bytes of the last frame.
    pub fn last_size(&self) -> usize {
        self.last_size
    }

    /// How much memory is reserved for what has not become a frame yet.
    #[cfg(test)]
    pub fn reserved(&self) -> usize {
        self.buffer.capacity()
    }

    /// The sockets that came with the frames so far. Fewer than were sent, if this process has no
    /// descriptors left.
    pub fn sockets(&mut self) -> impl Iterator<Item = OwnedFd> {
        self.sockets.iter_mut().flat_map(|sockets| sockets.drain(..))
    }

    /// Reads what is there. A plain read would discard the sockets that come with it.
    async fn fill(&mut self) -> io::Result<usize> {
        let stream: &UnixStream = self.stream.as_ref();
        let receive = || {
            let mut chunk = [0; CHUNK];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut control = match self.sockets {
                Some(_) => RecvAncillaryBuffer::new(&mut space),
                None => RecvAncillaryBuffer::default(),
            };
            let mut bytes = [IoSliceMut::new(&mut chunk)];
            let count = recvmsg(stream, &mut bytes, &mut control, RECEIVE)?.bytes;
            self.buffer.extend_from_slice(&chunk[..count]);
            for message in control.drain() {
                if let (RecvAncillaryMessage::ScmRights(new), Some(sockets)) =
                    (message, &mut self.sockets)
                {
                    for socket in new {
                        if RECEIVE.is_empty() {
                            fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
                        }
                        sockets.push(socket);
                    }
                }
            }
            Ok(count)
        };
        stream.async_io(Interest::READABLE, receive).await
    }
}
