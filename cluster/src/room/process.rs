//! A room's process, from start to end. Its stdin is a socket to the lobby. It waits there, warm,
//! until the lobby opens a room in it; then `event_loop.rs` runs.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use futures_util::TryFutureExt as _;
use futures_util::future::LocalBoxFuture;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_current_process_group, setrlimit};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::config::{Limits, Settings, Size};
use crate::http::{ConnectionLimiter, Server};
use crate::logging::subscriber;
use crate::process::signals::{MEANINGLESS, STOP};
use crate::process::{
    FromRoom, Receiver, RoomSpec, Sender, ToRoom, Usage, VERSION, channel, signals,
};
use crate::room::core::Core;
use crate::room::event_loop::{CLOSE_TIMEOUT, FLUSH_TIMEOUT, RoomLoop};
use crate::room::{Room, RoomContext, Tickets};
use crate::runtime::{Lease, catch_async, clock, take_tick_delay};
use crate::socketio::namespace;
use crate::types::{Exit, RoomId, path_of};

/// Descriptors that are not for connections: the channel, the log, files that hooks open.
const OTHER_FILES: u64 = 64;

/// On a host of a lobby.
static LEASE: OnceLock<Lease> = OnceLock::new();

// Not inlined: together with the lobby's, its frame would take 60 KiB of stack.
#[inline(never)]
pub(crate) fn main(kinds: Kinds) -> anyhow::Result<ExitCode> {
    let socket = take_stdin().context("only a lobby can start a room")?;
    die_with_lobby(&socket)?;
    let lobby = socket.try_clone()?;
    // One thread: a room's state need not be Send, and rooms are parallel to each other.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    // Dropping it, also in a panic, would wait for computations; they end with the process.
    let runtime = std::mem::ManuallyDrop::new(runtime);
    runtime.block_on(async { signals::ignore(&[&STOP[..], &MEANINGLESS].concat()) })?;
    subscriber::init_room()?;
    let life = async move {
        let (to_lobby, mut from_lobby) = channel::open(UnixStream::from_std(socket)?);
        from_lobby.sockets = Some(Vec::new());
        let result = live(&kinds, &to_lobby, from_lobby).await;
        to_lobby.flush(FLUSH_TIMEOUT).await;
        result
    };
    // A task is on the heap: on the stack, its 30 KiB would stay in use.
    let result = runtime.block_on(async { spawn_local(life).await });
    // When the lobby dies, its end of stdout may close before the socket, and a hook that prints
    // then panics. If stdout is closed, wait for the socket to close, too, so that the whole
    // process group is killed.
    let seconds = if hung_up(rustix::stdio::stdout(), &Timespec::default()) { 5 } else { 0 };
    end_without_lobby(&lobby, &Timespec { tv_sec: seconds, tv_nsec: 0 });
    result.unwrap_or_else(|panicked| resume_unwind(panicked.into_panic()))?;
    Ok(ExitCode::SUCCESS)
}

/// Moves the socket from stdin to a descriptor that child processes do not inherit.
fn take_stdin() -> anyhow::Result<StdUnixStream> {
    let stdin = rustix::stdio::stdin();
    rustix::net::getpeername(stdin).context("stdin is not a socket")?;
    let socket = StdUnixStream::from(stdin.try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Starts a thread that kills this process and its children when the lobby is gone, even while a
/// hook blocks. It reads the clock, too.
///
/// A death signal from the kernel would not reach the children, and an end of file on the channel
/// is not read while a hook blocks the runtime. So a thread waits for the socket to be closed. It
/// also notices if the lobby died before it started.
fn die_with_lobby(socket: &StdUnixStream) -> anyhow::Result<()> {
    // Only wakes this process if it is stopped, so that the thread can run.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    let (socket, tick) = (socket.try_clone()?, Timespec::try_from(clock::READ_INTERVAL)?);
    let watch = move || {
        end_without_lobby(&socket, &tick);
        if LEASE.get().is_some_and(Lease::is_over) {
            let _ = kill_current_process_group(Signal::KILL);
        }
    };
    clock::start("lobby-watch", watch)?;
    Ok(())
}

/// Kills this process and its children if the lobby's end of the socket closes within the timeout.
fn end_without_lobby(socket: &StdUnixStream, timeout: &Timespec) {
    if hung_up(socket.as_fd(), timeout) {
        let _ = kill_current_process_group(Signal::KILL);
    }
}

/// Whether the other end of a socket or pipe is closed, or is within the timeout.
fn hung_up(end: BorrowedFd, timeout: &Timespec) -> bool {
    let mut ends = [PollFd::from_borrowed_fd(end, PollFlags::empty())];
    let polled = poll(&mut ends, Some(timeout));
    polled.is_ok() && ends[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Waits for the lobby to open a room, and runs it.
async fn live(kinds: &Kinds, to_lobby: &Sender, mut from_lobby: Receiver) -> anyhow::Result<()> {
    let Some(ToRoom::Setup { version, room, settings, lease }) = from_lobby.recv().await? else {
        bail!("the lobby's first frame is not `setup`");
    };
    ensure!(version == VERSION, "the lobby speaks version {version}, this room {VERSION}");
    if let Some(path) = lease {
        let _ = LEASE.set(Lease::open(&path).context("no lease")?);
    }
    to_lobby.send(&FromRoom::Warm)?;
    // Written before `on_open` may block the thread.
    to_lobby.flush(FLUSH_TIMEOUT).await;

    // Heartbeats come from the thread that runs the hooks, so a hook that hangs stops them.
    let heartbeats = async {
        loop {
            let usage = Usage { tick_delay_ms: take_tick_delay(), ..Usage::default() };
            to_lobby.send(&FromRoom::Heartbeat(usage))?;
            sleep(settings.heartbeat).await;
        }
    };
    let life = async {
        let (options, spec) = match from_lobby.recv().await? {
            Some(ToRoom::Open { options, spec }) => (options, spec),
            // The lobby has stopped, and never needed this room.
            Some(ToRoom::Describe) | None => return Ok(()),
            Some(_) => bail!("the lobby's second frame is not `open`"),
        };
        limit_memory(spec.memory);
        let run = kinds.get(&*spec.kind);
        let run = run.with_context(|| format!("there is no kind of room '{}'", spec.kind))?;
        let settings = &settings;
        run(Opened { room, options, spec, settings, to_lobby, from_lobby }).await
    };
    tokio::select! {
        result = life => result,
        failed = heartbeats => failed,
    }
}

/// The kinds of rooms by name.
pub(crate) type Kinds = HashMap<&'static str, Run>;
/// Runs a room of one kind, from `on_open` to `on_dispose`.
pub(crate) type Run = for<'a> fn(Opened<'a>) -> LocalBoxFuture<'a, anyhow::Result<()>>;

/// A room that the lobby has opened in this process.
pub(crate) struct Opened<'a> {
    room: RoomId,
    options: Box<RawValue>,
    spec: RoomSpec,
    settings: &'a Settings,
    to_lobby: &'a Sender,
    from_lobby: Receiver,
}

pub(crate) async fn run<R: Room>(opened: Opened<'_>) -> anyhow::Result<()> {
    let Opened { room, options, spec, settings, to_lobby, from_lobby } = opened;
    let context = RoomContext::<R>::new(room.clone(), spec, settings.empty_timeout);
    let options = serde_json::from_str(options.get())?;
    let opening = async { context.scheduler.timed(R::on_open(options, &context)).await };
    let game = match catch_async("on_open", opening).await {
        Ok(Ok(game)) => game,
        Ok(Err(refusal)) => return to_lobby.send(&FromRoom::Failed(refusal)),
        Err(panic) => return to_lobby.send(&FromRoom::Ending(Exit::Crashed(panic.what))),
    };
    let tickets = Arc::new(Tickets::default());
    let (ttl, on_panic) = (settings.ticket_ttl, Some(settings.on_room_panic));
    let core = Core::new(game, context, tickets.clone(), ttl, on_panic);

    // Browsers need a ticket to connect.
    let admit = move |auth: &Value| {
        let ticket = auth.get("ticket").and_then(Value::as_str).unwrap_or_default();
        tickets.redeem(ticket, clock::now()).map(|player| (player.clone(), Some(player)))
    };
    let limits = &settings.limits;
    let limiter = ConnectionLimiter::new(limits, max_connections(limits))?;
    let (inbox, from_clients) = mpsc::unbounded_channel();
    let path = path_of(settings.base_path(), &room);
    let sockets = namespace::serve(&path, &limiter, limits, false, inbox, admit);
    // The next request of a connection may be for the lobby, which cannot take it back.
    let server = Server::new(Router::new().layer(sockets), settings, false);
    let serve = |socket| {
        let served = server.clone().serve_handed_off(socket, limiter.clone());
        tokio::spawn(served.inspect_err(|error| debug!(%error, "connection not served")));
    };

    let room = RoomLoop { core, conns: HashMap::new(), to_lobby, woken: Instant::now() };
    room.run(from_clients, from_lobby, serve).await?;
    // Browsers hang up when they have read where to go next.
    let _ = clock::timeout(CLOSE_TIMEOUT, limiter.all_closed()).await;
    Ok(())
}

/// The connection limit, or what this process's descriptors allow: each connection takes one.
fn max_connections(limits: &Limits) -> u32 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
    limits.max_connections.get().min(most.max(1))
}

/// Limits the memory of this process, and of each one that it starts. A larger allocation fails and
/// aborts the process. If the machine runs out of memory, the kernel kills rooms before the lobby.
fn limit_memory(memory: Size) {
    if cfg!(target_os = "linux") {
        let old = getrlimit(Resource::Data);
        let lower = |limit: Option<u64>| Some(limit.map_or(memory.0, |old| old.min(memory.0)));
        let new = Rlimit { current: lower(old.current), maximum: lower(old.maximum) };
        if let Err(error) = setrlimit(Resource::Data, new) {
            warn!(%error, "cannot limit this room's memory");
        }
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "500") {
            debug!(%error, "cannot raise the OOM score of this room");
        }
    }
}
