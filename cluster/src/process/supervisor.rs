//! Supervises one room process for the lobby: starts it, forwards its frames, kills it when it
//! hangs, and reaps it with everything that it started.
//!
//! A process can end in three ways, which may race: it exits, it stops sending heartbeats, or the
//! lobby kills it. One task per process watches for all of them, so that exactly one
//! [`ProcessEvent::Exited`] follows, after all frames.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::config::Settings;
use crate::logging::Output;
use crate::process::channel::{FromRoom, Receiver, Sender, ToRoom, VERSION};
use crate::process::pool::Starter;
use crate::process::usage::Usage;
use crate::process::{channel, init, starvation};
use crate::runtime::{Quota, TokenBucket, timeout};
use crate::types::{Exit, RoomId, truncate};

/// Frames of one room that the lobby has not handled yet. A room that sends more waits.
const MAX_QUEUED: usize = 256;
/// How long the rest of the channel is read after the process has exited. A process that the room
/// started may hold the socket open.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the exit waits for the room's last output, so that the log shows it before the exit.
const OUTPUT_BEFORE_EXIT: Duration = Duration::from_millis(100);
/// How long output is read after the exit. A process that the room started may hold the pipe open.
const OUTPUT_AFTER_EXIT: Duration = Duration::from_secs(1);
/// Frames read from one room: 2,000 a second, 10,000 at once. A thousand players who all join or
/// leave cause fewer. A room that exceeds this is throttled; other rooms do not wait for it.
const FRAMES: Quota = Quota::new(2_000, 5);
/// Each 4 KiB of a frame counts as one more frame.
const FRAME_UNIT: usize = 4 * 1024;
/// A shorter pause is not worth a timer.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// The lobby's send buffer in bytes, doubled by Linux. A queued connection takes 768 of them, so a
/// room that does not read holds at most some 60 connections; with the default it would be 280.
const SEND_BUFFER: usize = 24 * 1024;

/// What a process reports to the lobby's event loop.
pub(crate) enum ProcessEvent {
    /// A frame. The permit counts it in the room's queue until it is handled.
    Frame(RoomId, FromRoom, OwnedSemaphorePermit),
    /// The process is reaped. This is its last event.
    Exited(RoomId, Exit, Usage),
}

/// A running room process, killed on drop.
pub(crate) struct Process {
    pub sender: Sender,
    /// Its number; `None` in a test.
    pub pid: Option<u32>,
    /// Taken by the first kill.
    pub kill: Cell<Option<oneshot::Sender<Exit>>>,
}

impl Process {
    /// Kills the process. Returns false if it was killed before: the first cause is reported.
    pub fn kill(&self, cause: Exit) -> bool {
        self.kill.take().is_some_and(|kill| kill.send(cause).is_ok())
    }
}

/// Starts room processes of the lobby's own program, even if the file at its path was replaced.
pub(crate) fn starter(
    settings: Settings,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
) -> anyhow::Result<Starter> {
    let program = init::own_program()?;
    Ok(Box::new(move |room| start(&program, room, &settings, inbox.clone())))
}

/// Starts a room process and its supervisor.
///
/// The calling thread must live as long as the lobby. On Linux a room gets SIGCONT when the thread
/// that started it ends. The signal is sent only once, and it must wake a stopped room when the
/// lobby dies (`die_with_lobby` in `room/process.rs`): the thread must not end before.
fn start(
    program: &Path,
    room: RoomId,
    settings: &Settings,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
) -> anyhow::Result<Process> {
    let (ours, theirs) = StdUnixStream::pair().context("no socket pair")?;
    ours.set_nonblocking(true)?;
    set_socket_send_buffer_size(&ours, SEND_BUFFER)?;
    let mut child = Command::new(program)
        // `ps` shows the program as it was started, not /proc/self/exe.
        .arg0(std::env::args_os().next().unwrap_or_default())
        .arg("room")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the lobby's terminal does not reach this group, and it is killed as a whole.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let stderr = child.stderr.take().context("no stderr")?;
    let (sender, receiver) = channel::open(UnixStream::from_std(ours)?);
    let (version, room_settings) = (VERSION, Box::new(settings.clone()));
    sender.send(&ToRoom::Setup { version, room: room.clone(), settings: room_settings })?;
    let (kill, killed) = oneshot::channel();
    let pid = child.id();
    tracing::debug!(%room, pid, "spawned");
    let supervisor = Supervisor {
        stdout: Output::copy(room.clone(), stdout, Level::INFO),
        stderr: Output::copy(room.clone(), stderr, Level::WARN),
        throttle: TokenBucket::new(FRAMES, Instant::now()),
        room,
        process: RoomProcess::new(child),
        receiver,
        inbox,
        queue: Arc::new(Semaphore::new(MAX_QUEUED)),
        warm: false,
        announced: None,
    };
    tokio::spawn(supervisor.run(killed, settings.ready_timeout, settings.heartbeat_timeout));
    Ok(Process { sender, pid, kill: Cell::new(Some(kill)) })
}

struct Supervisor {
    room: RoomId,
    process: RoomProcess,
    receiver: Receiver,
    stdout: Output,
    stderr: Output,
    throttle: TokenBucket,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
    queue: Arc<Semaphore>,
    /// The process has sent its first frame.
    warm: bool,
    /// The exit that the room announced.
    announced: Option<Exit>,
}

impl Supervisor {
    async fn run(mut self, killed: oneshot::Receiver<Exit>, ready: Duration, heartbeat: Duration) {
        let group = ProcessGroup(self.process.id());
        let cause = tokio::select! {
            cause = self.listen(ready, heartbeat) => cause,
            cause = killed => Some(cause.unwrap_or(Exit::Closed)),
        };
        if cause.is_some() {
            let _ = self.process.child.start_kill();
        }
        let status = self.process.wait().await;
        // Kills what the room started. While one of them lives, no other group gets this number.
        drop(group);
        // The room may have written frames and output before it died. Both come before its exit.
        let _ = timeout(DRAIN_TIMEOUT, self.drain()).await;
        let _ = timeout(OUTPUT_BEFORE_EXIT, self.output_ends()).await;
        // A room that announced its exit keeps that one, even if it had to be killed afterwards.
        let exit = self.announced.take().or(cause).unwrap_or_else(|| {
            let last_line = self.stderr.last_line();
            let what = status
                .map_or_else(|error| error.to_string(), |status| describe(status, &last_line));
            if self.warm { Exit::Crashed(what) } else { Exit::NeverReady(what) }
        });
        let _ = self.inbox.send(ProcessEvent::Exited(self.room.clone(), exit, self.process.usage));
        let _ = timeout(OUTPUT_AFTER_EXIT, self.output_ends()).await;
    }

    /// Forwards frames until the process exits (`None`) or must be killed (the cause). Any frame
    /// counts as a heartbeat.
    async fn listen(&mut self, ready: Duration, heartbeat: Duration) -> Option<Exit> {
        let pid = self.process.child.id();
        loop {
            let limit = if self.warm { heartbeat } else { ready };
            let frame = tokio::select! {
                frame = starvation::timeout(pid, limit, self.receiver.recv()) => frame,
                _ = self.process.wait() => return None,
            };
            match frame {
                Some(Ok(Some(frame))) => self.forward(frame).await,
                // The socket is closed: the process is exiting, or has closed it on purpose.
                Some(Ok(None)) => {
                    let exited = starvation::timeout(pid, heartbeat, self.process.wait()).await;
                    let closed = || Exit::Crashed("closed its channel".to_owned());
                    return exited.is_none().then(closed);
                }
                Some(Err(error)) => return Some(Exit::Crashed(format!("{error:#}"))),
                None if self.warm => return Some(Exit::Hung),
                None => return Some(Exit::NeverReady(format!("not warm within {ready:?}"))),
            }
            self.warm = true;
            // The limit starts after this pause: a throttled room is not late.
            let size = self.receiver.last_size;
            let pause = self.throttle.take(1 + size / FRAME_UNIT, Instant::now());
            if pause > MIN_PAUSE {
                sleep(pause).await;
            }
        }
    }

    async fn output_ends(&mut self) {
        tokio::join!(self.stdout.end(), self.stderr.end());
    }

    async fn drain(&mut self) {
        while let Ok(Some(frame)) = self.receiver.recv().await {
            self.forward(frame).await;
        }
    }

    async fn forward(&mut self, frame: FromRoom) {
        if let FromRoom::Heartbeat = frame {
            return;
        }
        self.announced = announced_exit(&frame).or(self.announced.take());
        let permit = self.queue.clone().acquire_owned().await;
        let permit = permit.expect("this semaphore is never closed");
        let _ = self.inbox.send(ProcessEvent::Frame(self.room.clone(), frame, permit));
    }
}

/// A child process, whose usage is read when it has ended and before it is reaped.
struct RoomProcess {
    child: Child,
    usage: Usage,
    /// Readable when the process has ended.
    #[cfg(target_os = "linux")]
    ended: Option<AsyncFd<OwnedFd>>,
}

impl RoomProcess {
    fn new(child: Child) -> RoomProcess {
        #[cfg(target_os = "linux")]
        #[expect(
            deprecated,
            reason = "the newer function is unsafe; an `OwnedFd` upholds its terms"
        )]
        let ended = pid_of(&child)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .and_then(|pidfd| AsyncFd::with_interest(pidfd, Interest::READABLE).ok());
        RoomProcess {
            child,
            usage: Usage::default(),
            #[cfg(target_os = "linux")]
            ended,
        }
    }

    fn id(&self) -> Option<Pid> {
        pid_of(&self.child)
    }

    /// Waits until the process has ended, and reaps it.
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        #[cfg(target_os = "linux")]
        if let Some(ended) = &self.ended {
            let _ = ended.readable().await;
            self.usage = self.child.id().and_then(Usage::of).unwrap_or(self.usage);
        }
        self.child.wait().await
    }
}

/// `None` once it is reaped.
fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.try_into().ok()?)
}

/// The exit that a room announces with this frame.
fn announced_exit(frame: &FromRoom) -> Option<Exit> {
    match frame {
        FromRoom::Ending(exit) => Some(exit.clone()),
        FromRoom::Failed(refusal) => Some(Exit::NeverReady(refusal.to_string())),
        _ => None,
    }
}

/// A room's process and all processes that it started. They are killed on drop, because a lobby
/// that stops drops its supervisors.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn describe(status: ExitStatus, last_line: &str) -> String {
    match (status.signal(), status.code()) {
        // Out of memory or stack: the runtime has printed which.
        (Some(signal), _) if signal == Signal::ABORT.as_raw() => {
            truncate(format!("aborted: {last_line}"))
        }
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(0)) => "ended without closing".to_owned(),
        (None, code) => format!("ended with status {}", code.unwrap_or_default()),
    }
}
