//! Supervises one room process for the lobby: starts it, forwards its frames, kills it when it
//! hangs, and reaps it with everything that it started.
//!
//! A process can end in three ways, which may race: it exits, it stops sending heartbeats, or the
//! lobby kills it. One task per process watches for all of them, so that exactly one
//! [`ProcessEvent::Exited`] follows, after all frames.

use std::cell::Cell;
use std::env;
use std::mem::take;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::TryFutureExt as _;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Signal, WaitStatus};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep};

use crate::config::Settings;
use crate::logging::{LastLines, Output};
use crate::process::channel::{End, FromRoom, Receiver, Sender, ToRoom, VERSION};
use crate::process::pool::Starter;
use crate::process::room_process::{Child, Description, ENDS, RoomProcess};
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
/// How often the lobby is told what a room's process uses.
const USAGE_PERIOD: Duration = Duration::from_secs(5);
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
    /// The supervisor has paused, and hands over the process and copies of its ends. The number is
    /// that of [`Supervisors::pause`].
    Paused(u64, RoomProcess, Vec<OwnedFd>),
    /// A room of the lobby before this one, which runs on a host.
    Adopted(RoomId, Box<(Process, Description)>),
    /// The host of these rooms is about to stop: they are to close within this time.
    Drain(Vec<RoomId>, Duration),
}

/// A running room process, killed on drop.
pub(crate) struct Process {
    pub sender: Sender,
    /// What it has printed last.
    pub output: LastLines,
    /// Taken by the first kill.
    pub kill: Cell<Option<oneshot::Sender<Exit>>>,
}

impl Process {
    /// The origin at which browsers reach it; empty: that of the lobby.
    pub fn url(&self) -> String {
        let End::Remote(room) = &self.sender.end else { return String::new() };
        room.origin.as_ref().map(|origin| origin.as_str().to_owned()).unwrap_or_default()
    }

    /// Kills a room as hung if a frame could not be sent to it: it does not read. That is logged
    /// once, although more frames may fail until the process has exited.
    pub fn kill_unless(&self, sent: anyhow::Result<()>) {
        if let Err(error) = sent
            && self.kill(Exit::Hung)
        {
            tracing::warn!(error = format!("{error:#}"), "a room does not read its channel");
        }
    }

    /// Kills the process. Returns false if it was killed before: the first cause is reported.
    pub fn kill(&self, cause: Exit) -> bool {
        self.kill.take().is_some_and(|kill| kill.send(cause).is_ok())
    }
}

/// Starts room processes of the lobby's own program, even if the file at its path was replaced.
pub(crate) struct Supervisors {
    settings: Settings,
    /// The file of the lease that rooms live on; `None` in a lobby.
    lease: Option<PathBuf>,
    inbox: UnboundedSender<ProcessEvent>,
    /// While it is odd, all supervisors are paused. Each has a receiver.
    pub pause: watch::Sender<u64>,
}

impl Supervisors {
    pub fn new(
        settings: Settings,
        lease: Option<PathBuf>,
        inbox: UnboundedSender<ProcessEvent>,
    ) -> Rc<Self> {
        Rc::new(Supervisors { settings, lease, inbox, pause: watch::Sender::new(0) })
    }

    /// A function that starts room processes.
    pub fn starter(self: &Rc<Self>) -> Starter {
        let supervisors = self.clone();
        Box::new(move |number| {
            let room = RoomId(number.to_string());
            Ok((room.clone(), supervisors.start(room)?))
        })
    }

    /// Starts a room process and its supervisor.
    ///
    /// The calling thread must live as long as the lobby. On Linux a room gets SIGCONT when the
    /// thread that started it ends. The signal is sent only once, and it must wake a stopped room
    /// when the lobby dies (`die_with_lobby` in `room/process.rs`): the thread must not end before.
    pub fn start(&self, room: RoomId) -> anyhow::Result<Process> {
        let (ours, theirs) = StdUnixStream::pair().context("no socket pair")?;
        ours.set_nonblocking(true)?;
        set_socket_send_buffer_size(&ours, SEND_BUFFER)?;
        // Reports on crashes have the backtrace of a panic.
        let wants_backtrace =
            self.settings.crash_dir.is_some() && env::var_os("RUST_BACKTRACE").is_none();
        let program = init::own_program()?;
        let mut child = Command::new(&program)
            // `ps` shows the program as it was started, not /proc/self/exe.
            .arg0(env::args_os().next().unwrap_or_default())
            .arg("room")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the lobby's terminal does not reach this group, and it is killed as a
            // whole.
            .process_group(0)
            .envs(wants_backtrace.then_some(("RUST_BACKTRACE", "1")))
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let pid = child.id();
        tracing::debug!(%room, pid, "spawned");
        let ends = vec![ours.into(), stdout.into(), stderr.into()];
        let (warm, announced, unread) = (false, None, vec![]);
        let process = RoomProcess { room: room.clone(), pid, warm, announced, unread };
        let process = self.supervise(process, ends)?;
        let settings = Box::new(self.settings.clone());
        let lease = self.lease.clone();
        process.sender.send(&ToRoom::Setup { version: VERSION, room, settings, lease })?;
        Ok(process)
    }

    /// Starts the supervisor of a process that runs.
    pub fn supervise(
        &self,
        mut process: RoomProcess,
        ends: Vec<OwnedFd>,
    ) -> anyhow::Result<Process> {
        let child = Child::new(process.pid)?;
        let [channel, stdout, stderr] =
            <[OwnedFd; ENDS]>::try_from(ends).ok().context("not the ends of a process")?;
        let (sender, mut receiver) = channel::open(UnixStream::from_std(channel.into())?);
        receiver.buffer = take(&mut process.unread);
        let (kill, killed) = oneshot::channel();
        let output = LastLines::default();
        let supervisor = Supervisor {
            output: Output::copy(&process.room, [stdout, stderr], output.clone())?,
            measured_at: Instant::now(),
            tick_delay_ms: 0,
            throttle: TokenBucket::new(FRAMES, Instant::now()),
            process,
            child,
            receiver,
            inbox: self.inbox.clone(),
            queue: Arc::new(Semaphore::new(MAX_QUEUED)),
            ready: self.settings.ready_timeout,
            heartbeat: self.settings.heartbeat_timeout,
        };
        tokio::spawn(supervisor.run(killed, self.pause.subscribe()));
        Ok(Process { sender, output, kill: Cell::new(Some(kill)) })
    }
}

struct Supervisor {
    process: RoomProcess,
    child: Child,
    receiver: Receiver,
    output: Output,
    /// When the lobby was told last what the process uses.
    measured_at: Instant,
    /// How late a tick was at most since then.
    tick_delay_ms: u32,
    throttle: TokenBucket,
    inbox: UnboundedSender<ProcessEvent>,
    queue: Arc<Semaphore>,
    /// How long the first frame may take.
    ready: Duration,
    /// How long any other may take.
    heartbeat: Duration,
}

impl Supervisor {
    async fn run(mut self, killed: oneshot::Receiver<Exit>, mut pause: watch::Receiver<u64>) {
        let cause = tokio::select! {
            cause = self.listen(&mut pause) => {
                cause.unwrap_or_else(|error| Some(Exit::Crashed(format!("{error:#}"))))
            }
            cause = killed => Some(cause.unwrap_or(Exit::Closed)),
        };
        if cause.is_some() {
            self.child.kill();
        }
        let reaped = self.child.reap().await;
        // The room may have written frames and output before it died. Both come before its exit.
        let drained = async {
            while let Ok(Some(frame)) = self.receiver.recv().await {
                self.forward(frame).await;
            }
        };
        let _ = timeout(DRAIN_TIMEOUT, drained).await;
        let _ = timeout(OUTPUT_BEFORE_EXIT, self.output.end()).await;
        drop(pause);
        let usage = reaped.as_ref().map(|(_, usage)| *usage).unwrap_or_default();
        // A room that announced its exit keeps that one, even if it had to be killed afterwards.
        let exit = self.process.announced.take().or(cause).unwrap_or_else(|| {
            let last_line = self.output.last_error.borrow();
            let what = reaped
                .map_or_else(|error| error.to_string(), |(status, _)| describe(status, &last_line));
            if self.process.warm { Exit::Crashed(what) } else { Exit::NeverReady(what) }
        });
        let _ = self.inbox.send(ProcessEvent::Exited(self.process.room.clone(), exit, usage));
        let _ = timeout(OUTPUT_AFTER_EXIT, self.output.end()).await;
    }

    /// Forwards frames until the process exits (`None`) or must be killed (the cause, or what is
    /// wrong with its channel). Any frame counts as a heartbeat.
    async fn listen(&mut self, pause: &mut watch::Receiver<u64>) -> anyhow::Result<Option<Exit>> {
        let (pid, ready) = (self.process.pid, self.ready);
        loop {
            let limit = if self.process.warm { self.heartbeat } else { ready };
            let frame = tokio::select! {
                frame = starvation::timeout(pid, limit, self.receiver.recv()) => frame,
                _ = self.child.ended() => return Ok(None),
                // Nobody pauses those of a host, once its lobby has gone.
                Ok(number) = pause.wait_for(|number| number % 2 == 1).map_ok(|number| *number) => {
                    self.hand_over(pause, number).await?;
                    continue;
                }
            };
            match frame.transpose()? {
                Some(Some(frame)) => self.forward(frame).await,
                // The socket is closed: the process is exiting, or has closed it on purpose.
                Some(None) => {
                    let ended = starvation::timeout(pid, self.heartbeat, self.child.ended()).await;
                    ensure!(ended.is_some(), "closed its channel");
                    return Ok(None);
                }
                None if self.process.warm => return Ok(Some(Exit::Hung)),
                None => return Ok(Some(Exit::NeverReady(format!("not warm within {ready:?}")))),
            }
            // The limit starts after this pause: a throttled room is not late.
            let size = self.receiver.last_size;
            let pause = self.throttle.take(1 + size / FRAME_UNIT, Instant::now());
            if pause > MIN_PAUSE {
                sleep(pause).await;
            }
        }
    }

    /// Hands over what the next program needs to go on. Returns if this one goes on.
    async fn hand_over(
        &mut self,
        pause: &mut watch::Receiver<u64>,
        number: u64,
    ) -> anyhow::Result<()> {
        let [stdout, stderr] = self.output.stop().await.context("no stdout or stderr")?;
        let ends = [self.receiver.stream.as_ref().as_fd(), stdout.as_fd(), stderr.as_fd()];
        let ends = ends.iter().filter_map(|end| end.try_clone_to_owned().ok()).collect();
        let unread = self.receiver.buffer.clone();
        let process = RoomProcess { unread, ..self.process.clone() };
        let _ = self.inbox.send(ProcessEvent::Paused(number, process, ends));
        let _ = pause.wait_for(|now| *now != number).await;
        let last_lines = self.output.last_lines.clone();
        self.output = Output::copy(&self.process.room, [stdout, stderr], last_lines)?;
        Ok(())
    }

    async fn forward(&mut self, mut frame: FromRoom) {
        self.process.warm = true;
        match &mut frame {
            FromRoom::Heartbeat(usage) => {
                self.tick_delay_ms = self.tick_delay_ms.max(usage.tick_delay_ms);
                if self.measured_at.elapsed() < USAGE_PERIOD {
                    return;
                }
                self.measured_at = Instant::now();
                let tick_delay_ms = take(&mut self.tick_delay_ms);
                *usage = Usage { tick_delay_ms, ..Usage::of(self.process.pid).unwrap_or_default() };
            }
            FromRoom::Ending(exit) => self.process.announced = Some(exit.clone()),
            FromRoom::Failed(refusal) => {
                self.process.announced = Some(Exit::NeverReady(refusal.to_string()));
            }
            _ => {}
        }
        let permit = self.queue.clone().acquire_owned().await;
        let permit = permit.expect("this semaphore is never closed");
        let _ = self.inbox.send(ProcessEvent::Frame(self.process.room.clone(), frame, permit));
    }
}

fn describe(status: WaitStatus, last_line: &str) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        // Out of memory or stack: the runtime has printed which.
        (Some(signal), _) if signal == Signal::ABORT.as_raw() => {
            truncate(format!("aborted: {last_line}"))
        }
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(0)) => "ended without closing".to_owned(),
        (None, code) => format!("ended with status {}", code.unwrap_or_default()),
    }
}
