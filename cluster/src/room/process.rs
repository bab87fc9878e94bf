//! A room's process, from start to end. Its stdin is a socket to the lobby. It waits there, warm, until
//! the lobby opens a room in it; then `event_loop.rs` runs.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream as StdUnixStream,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Resource, getrlimit},
};
use serde_json::{Value, value::RawValue};
use tokio::{net::UnixStream, sync::mpsc, time::MissedTickBehavior};

use crate::{
    config::settings::RoomSettings,
    http::{
        connection_limits::{ConnectionLimiter, enforce_limits},
        origin::Origins,
        pages::only_ours,
        server,
    },
    logging::subscriber,
    process::{
        channel::{self, FromRoom, Receiver, RoomAbout, Sender, ToRoom, VERSION},
        memory,
    },
    room::{
        context::RoomContext,
        core::Core,
        event_loop::{CLOSE_TIMEOUT, HandoffReceiver, RoomLoop},
        hooks::Room,
        tickets::Tickets,
    },
    runtime::{clock, panics::catch_async},
    socketio::{connection::FromClient, event_limits::EventLimiter, events, namespace},
    types::{PlayerId, RoomId, from_raw, path_of},
};

/// Descriptors that are not for connections: the channel, the log, files that hooks open.
const OTHER_FILES: u64 = 64;

/// Runs a room process.
pub(crate) fn main(kinds: &[Kind]) -> anyhow::Result<ExitCode> {
    let socket = take_stdin().context("only a lobby can start a room")?;
    die_with_lobby(&socket)?;
    let lobby = socket.try_clone()?;
    subscriber::init_room()?;
    // One thread: a room's state need not be Send, and rooms are parallel to each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Dropping it, also in a panic, would wait for computations; they end with the process.
    let runtime = std::mem::ManuallyDrop::new(runtime);
    let life = || {
        runtime.block_on(async {
            let (to_lobby, from_lobby) = channel::open(UnixStream::from_std(socket)?);
            let result = live(kinds, &to_lobby, from_lobby.taking_sockets()).await;
            to_lobby.flush(CLOSE_TIMEOUT).await;
            result
        })
    };
    let result = catch_unwind(AssertUnwindSafe(life));
    // The lobby's death may show here before the watching thread sees it. A hook that prints may even
    // panic before the socket is closed, so a closed stdout is reason to wait for that.
    let seconds = if is_closed(rustix::stdio::stdout()) { 5 } else { 0 };
    end_without_lobby(&lobby, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 }));
    match result {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(panic) => resume_unwind(panic),
    }
}

/// Whether the other end of a pipe is closed.
fn is_closed(pipe: BorrowedFd) -> bool {
    let mut ends = [PollFd::from_borrowed_fd(pipe, PollFlags::empty())];
    let polled = poll(&mut ends, Some(&Timespec::default()));
    polled.is_ok() && ends[0].revents().contains(PollFlags::ERR)
}

/// Moves the socket from stdin to a descriptor that child processes do not inherit.
fn take_stdin() -> anyhow::Result<StdUnixStream> {
    let stdin = rustix::stdio::stdin();
    rustix::net::getpeername(stdin).context("stdin is not a socket")?;
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let socket = StdUnixStream::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Kills this process and its children when the lobby is gone, even while a hook blocks.
///
/// A death signal from the kernel would not reach the children, and an end of file on the channel is
/// not read while a hook blocks the runtime. So a thread waits for the socket to be closed. It also
/// notices if the lobby died before it started.
fn die_with_lobby(socket: &StdUnixStream) -> anyhow::Result<()> {
    // Only wakes this process if it is stopped, so that the thread can run.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?;
    clock::start();
    let socket = socket.try_clone()?;
    std::thread::Builder::new().name("lobby-watch".into()).spawn(move || {
        while !end_without_lobby(&socket, Timespec::try_from(clock::TICK).ok().as_ref()) {
            clock::now();
        }
    })?;
    Ok(())
}

/// Waits for the lobby's end of the socket to close, and then kills this process and its children.
/// False: the timeout is over.
fn end_without_lobby(socket: &StdUnixStream, timeout: Option<&Timespec>) -> bool {
    let mut ends = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::empty())];
    let polled = poll(&mut ends, timeout);
    let gone = polled.is_ok() && ends[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
    if gone {
        let group = rustix::process::getpgrp();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    gone
}

/// Waits for the lobby to open a room, and runs it.
async fn live(kinds: &[Kind], to_lobby: &Sender, mut from_lobby: Receiver) -> anyhow::Result<()> {
    let Some(ToRoom::Setup { version, room, mut settings }) = from_lobby.recv().await? else {
        bail!("the lobby's first frame is not `setup`");
    };
    ensure!(version == VERSION, "the lobby speaks version {version}, this room {VERSION}");
    limit_connections(&mut settings);
    memory::confine(settings.memory);
    to_lobby.send(&FromRoom::Warm)?;
    // Written before `on_open` may block the thread.
    to_lobby.flush(CLOSE_TIMEOUT).await;

    // Heartbeats come from the thread that runs the hooks, so a hook that hangs stops them.
    let heartbeats = async {
        let mut interval = tokio::time::interval(settings.heartbeat);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            to_lobby.send(&FromRoom::Heartbeat)?;
        }
    };
    let life = async {
        let (options, about) = match from_lobby.recv().await? {
            Some(ToRoom::Open { options, about }) => (options, about),
            Some(_) => bail!("the lobby's second frame is not `open`"),
            // The lobby stopped and never needed this room.
            None => return Ok(()),
        };
        let kind = kinds.iter().find(|kind| kind.name == about.kind);
        let kind = kind.with_context(|| format!("there is no kind of room '{}'", about.kind))?;
        let settings = &settings;
        (kind.run)(Opened { room, options, about, settings, to_lobby, from_lobby }).await
    };
    tokio::select! {
        result = life => result,
        failed = heartbeats => failed,
    }
}

/// A registered kind of room, without its type.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub name: &'static str,
    /// Refuses message types that cannot work; called before anything starts.
    pub check: fn() -> anyhow::Result<()>,
    run: for<'a> fn(Opened<'a>) -> LocalBoxFuture<'a, anyhow::Result<()>>,
}

impl Kind {
    pub fn of<R: Room>(name: &'static str) -> Self {
        let check = || events::check_names::<R::Request>(&[]);
        Kind { name, check, run: |opened| run::<R>(opened).boxed_local() }
    }
}

/// A room that the lobby has opened in this process.
struct Opened<'a> {
    room: RoomId,
    options: Box<RawValue>,
    about: RoomAbout,
    settings: &'a RoomSettings,
    to_lobby: &'a Sender,
    from_lobby: Receiver,
}

/// Runs a room from `on_open` to `on_dispose`.
async fn run<R: Room>(opened: Opened<'_>) -> anyhow::Result<()> {
    let Opened { room, options, about, settings, to_lobby, from_lobby } = opened;
    let context = RoomContext::<R>::new(room.clone(), about, settings.empty_timeout);
    let options = from_raw(&options)?;
    let opening = async { context.scheduler.timed(R::on_open(options, &context)).await };
    let game = match catch_async("on_open", opening).await {
        Ok(Ok(game)) => game,
        Ok(Err(refusal)) => return to_lobby.send(&FromRoom::Failed(refusal)),
        Err(panic) => return to_lobby.send(&FromRoom::Crashed { what: panic.what }),
    };
    let limiter = ConnectionLimiter::new(&settings.limits, settings.limits.max_connections.get())?;
    let tickets = Arc::new(Tickets::default());
    let core = Core::new(game, context, tickets.clone(), settings.ticket_ttl, Some(settings.panic));
    let (inbox, from_clients) = mpsc::unbounded_channel();
    let app = app(&room, settings, &limiter, inbox, tickets);
    let server = server::Server::new(app, &settings.limits);
    let handoff = HandoffReceiver { server, limiter: limiter.clone() };
    let mut room = RoomLoop { core, conns: HashMap::new(), to_lobby };
    room.run(from_clients, from_lobby, &handoff).await?;
    room.dispose().await?;
    // Browsers hang up when they have read where to go next.
    let _ = clock::timeout(CLOSE_TIMEOUT, limiter.all_gone()).await;
    Ok(())
}

/// Lowers the connection limit to what this process's descriptors allow; each connection takes one.
fn limit_connections(settings: &mut RoomSettings) {
    if let Some(descriptors) = getrlimit(Resource::Nofile).current {
        let most = u32::try_from(descriptors.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
        let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        settings.limits.max_connections = settings.limits.max_connections.min(most);
    }
}

/// Serves Socket.IO to browsers that have a ticket.
fn app(
    room: &RoomId,
    settings: &RoomSettings,
    limiter: &ConnectionLimiter,
    inbox: mpsc::UnboundedSender<FromClient<PlayerId>>,
    tickets: Arc<Tickets>,
) -> Router {
    let admit = move |auth: &Value| {
        let ticket = auth.get("ticket").and_then(Value::as_str).unwrap_or_default();
        tickets.redeem(ticket, clock::now()).map(|player| (player.clone(), Some(player)))
    };
    let event_limiter = EventLimiter::of_room(&settings.limits);
    let sockets =
        namespace::serve(&path_of(room), &settings.limits, limiter, event_limiter, inbox, admit);
    let app = Router::new().layer(sockets);
    let origins = Origins::new(settings.public_url.as_ref(), &settings.allow_origin);
    // The next request of the connection may be for the lobby, which cannot take it back.
    server::one_request(enforce_limits(only_ours(app, origins)))
}
