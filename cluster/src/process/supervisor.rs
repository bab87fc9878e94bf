//! One room's process, seen from the lobby: started, listened to, and ended. Every process gets
//! exactly one verdict, and leaves nothing behind.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream, unix::process::ExitStatusExt as _},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use rustix::{
    net::sockopt::set_socket_send_buffer_size,
    process::{Pid, Signal, kill_process_group},
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep},
};
use tracing::Level;

use crate::{
    config::settings::Settings,
    logging::room_output::Output,
    process::{
        channel::{self, FromRoom, Receiver, Sender, ToRoom, VERSION},
        starvation,
    },
    runtime::{
        clock::timeout,
        token_bucket::{Quota, TokenBucket},
    },
    types::{Exit, RoomId, short},
};

/// Frames of one room that the lobby has not dealt with yet; a room that says more waits.
const MAX_WAITING: usize = 256;
/// After its process has ended, what a room said last is still read; a process that it left behind
/// and that holds the socket open must not hold this up.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Then its last lines are waited for, so that its verdict comes after them, but no player waits for it long.
const LAST_LINES: Duration = Duration::from_millis(100);
/// After so long they are not read any more. A process that a room left behind may hold its stdout for ever.
const NO_MORE_LINES: Duration = Duration::from_secs(1);
/// Frames of one room that are read in a second, and at once: more than a room with a thousand players has to
/// say when they all come or go. A room that says more is heard later, and the others meanwhile.
const FRAMES: Quota = Quota::new(2_000, 5);
/// So many bytes of a frame count as one more.
const SHARE: usize = 4 * 1024;
/// Too short a pause is not worth the timer.
const SHORT: Duration = Duration::from_millis(10);

/// A room that does not read absorbs at most some 60 sockets: each takes 768 bytes of this on Linux,
/// which doubles it. Without this it would be some 280.
const SEND_BUFFER: usize = 24 * 1024;

/// What a process brings to the lobby's loop.
pub(crate) enum ProcessEvent {
    Said(RoomId, FromRoom, OwnedSemaphorePermit),
    /// The process is gone and reaped; nothing follows.
    Ended(RoomId, Exit),
}

/// A running room process. Dropping this kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pub sender: Sender,
    kill: watch::Sender<Option<Exit>>,
}

impl Process {
    /// Kills the process; the first verdict counts. Whether this was the first.
    pub fn kill(&self, verdict: Exit) -> bool {
        self.kill.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(verdict);
            first
        })
    }
}

/// Starts a room process. Must be called on a thread that lives as long as the lobby: on Linux its end
/// is what wakes a stopped room, so that it can end as well.
pub(crate) fn start(
    program: &Path,
    room: RoomId,
    settings: &Settings,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
) -> anyhow::Result<Process> {
    let (ours, theirs) = StdUnixStream::pair().context("no socket pair")?;
    ours.set_nonblocking(true)?;
    set_socket_send_buffer_size(&ours, SEND_BUFFER)?;
    let mut child = Command::new(program)
        .arg("room")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: Ctrl-C in a terminal does not reach it, and it is killed as a whole.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let stderr = child.stderr.take().context("no stderr")?;
    let (sender, receiver) = channel::open(UnixStream::from_std(ours)?);
    let settings_for_room = Box::new(settings.for_rooms());
    sender.send(&ToRoom::Setup {
        version: VERSION,
        room: room.clone(),
        settings: settings_for_room,
    })?;
    let (kill, killed) = watch::channel(None);
    tracing::debug!(%room, pid = child.id(), "spawned");
    let watched = Watched {
        stdout: Output::repeat(room.clone(), stdout, Level::INFO),
        stderr: Output::repeat(room.clone(), stderr, Level::WARN),
        frames: TokenBucket::new(FRAMES, Instant::now()),
        room,
        child,
        receiver,
        inbox,
        waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        warm: false,
        closed: None,
    };
    tokio::spawn(watched.watch(killed, settings.ready_timeout, settings.heartbeat_timeout));
    Ok(Process { sender, kill })
}

struct Watched {
    room: RoomId,
    child: Child,
    receiver: Receiver,
    stdout: Output,
    stderr: Output,
    frames: TokenBucket,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
    waiting: Arc<Semaphore>,
    /// It has said that it runs.
    warm: bool,
    /// What the room said of its own end.
    closed: Option<Exit>,
}

impl Watched {
    async fn watch(
        mut self,
        mut killed: watch::Receiver<Option<Exit>>,
        ready_timeout: Duration,
        heartbeat_timeout: Duration,
    ) {
        let group = Group(self.child.id().and_then(|id| Pid::from_raw(id as i32)));
        let verdict = tokio::select! {
            verdict = self.listen(ready_timeout, heartbeat_timeout) => verdict,
            verdict = told(&mut killed) => Some(verdict),
        };
        if verdict.is_some() {
            group.kill();
        }
        let status = self.child.wait().await;
        // What it started goes with it. Its number cannot belong to another process group while a
        // member is alive; without members this finds nobody.
        drop(group);
        let last_words = self.last_words();
        let _ = timeout(DRAIN_TIMEOUT, last_words).await;
        let _ = timeout(LAST_LINES, self.last_lines()).await;
        // A room that has said how it ends keeps that, also if it had to be killed in the end.
        let verdict = self.closed.take().or(verdict).unwrap_or_else(|| {
            let last_line = self.stderr.last_line();
            let what = status
                .map_or_else(|error| error.to_string(), |status| describe(status, &last_line));
            if self.warm { Exit::Crashed(what) } else { Exit::NeverReady(what) }
        });
        let _ = self.inbox.send(ProcessEvent::Ended(self.room.clone(), verdict));
        let _ = timeout(NO_MORE_LINES, self.last_lines()).await;
    }

    /// Passes on what the room says, until its process ends (`None`) or must be ended.
    async fn listen(&mut self, ready: Duration, heartbeat: Duration) -> Option<Exit> {
        let process = self.child.id();
        loop {
            let patience = if self.warm { heartbeat } else { ready };
            let frame = tokio::select! {
                frame = starvation::timeout(process, patience, self.receiver.recv()) => frame,
                _ = self.child.wait() => return None,
            };
            match frame {
                Some(Ok(Some(frame))) => {
                    self.pass_on(frame).await;
                    self.pace().await;
                }
                // The socket is closed: the process is about to end, or it closed it on purpose.
                Some(Ok(None)) => {
                    let ended = starvation::timeout(process, heartbeat, self.child.wait()).await;
                    let closed = || Exit::Crashed("closed its channel".to_owned());
                    return ended.is_none().then(closed);
                }
                Some(Err(error)) => return Some(Exit::Crashed(format!("{error:#}"))),
                None if self.warm => return Some(Exit::Hung),
                None => return Some(Exit::NeverReady(format!("not warm within {ready:?}"))),
            }
            self.warm = true;
        }
    }

    /// Waits if the room says too much. It is not the room that is late then.
    async fn pace(&mut self) {
        let pause = self.frames.take(1 + self.receiver.last_size / SHARE, Instant::now());
        if pause > SHORT {
            sleep(pause).await;
        }
    }

    async fn last_lines(&mut self) {
        tokio::join!(self.stdout.end(), self.stderr.end());
    }

    async fn last_words(&mut self) {
        while let Ok(Some(frame)) = self.receiver.recv().await {
            self.pass_on(frame).await;
        }
    }

    async fn pass_on(&mut self, frame: FromRoom) {
        if let FromRoom::Heartbeat = frame {
            return;
        }
        self.closed = verdict(&frame).or(self.closed.take());
        let permit = self.waiting.clone().acquire_owned().await;
        let permit = permit.expect("nobody closes this semaphore");
        let _ = self.inbox.send(ProcessEvent::Said(self.room.clone(), frame, permit));
    }
}

/// How the room ends, if this says so.
pub(crate) fn verdict(frame: &FromRoom) -> Option<Exit> {
    match frame {
        FromRoom::Finished => Some(Exit::Finished),
        FromRoom::Closed => Some(Exit::Closed),
        FromRoom::Failed(refusal) => Some(Exit::NeverReady(refusal.to_string())),
        FromRoom::Crashed { what } => Some(Exit::Crashed(what.clone())),
        _ => None,
    }
}

/// Waits for a verdict from outside; without anybody left to give one, the room is not needed.
async fn told(killed: &mut watch::Receiver<Option<Exit>>) -> Exit {
    let verdict = killed.wait_for(Option::is_some).await;
    verdict.ok().and_then(|verdict| verdict.clone()).unwrap_or(Exit::Closed)
}

/// A room's process and all that it has started. They end when this is dropped: a lobby that stops
/// waits for no room, and must leave none behind either.
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn describe(status: ExitStatus, last_line: &str) -> String {
    match (status.signal(), status.code()) {
        // It has given up, and has said why: there is no memory, or no more stack.
        (Some(signal), _) if signal == Signal::ABORT.as_raw() => {
            short(format!("aborted: {last_line}"))
        }
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(0)) => "ended without closing".to_owned(),
        (None, code) => format!("ended with status {}", code.unwrap_or_default()),
    }
}
