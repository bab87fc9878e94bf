//! A room's process: it gets its socket to the lobby as stdin, becomes warm, is opened, and runs
//! the event loop.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream as StdUnixStream,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, value::RawValue};
use tokio::{net::UnixStream, sync::mpsc, time::MissedTickBehavior};

use crate::{
    config::settings::Settings,
    http::{
        connection_limits::{ConnectionLimiter, enforce_limits},
        origin::Origins,
        pages::check_origin,
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
    runtime::{
        clock,
        panics::{caught, crash},
    },
    socketio::{connection::FromClient, event_limits::EventLimiter, events, namespace},
    types::{PlayerId, RoomId, from_raw, path_of},
};

/// File descriptors that are not for connections: the channel, the log, files of hooks.
const OTHER_FILES: u64 = 64;

/// Runs a room process from start to end.
pub(crate) fn main(kinds: &[Kind]) -> anyhow::Result<ExitCode> {
    let socket = take_stdin().context("rooms are started by a lobby, not by hand")?;
    die_with_lobby(&socket)?;
    let lobby = socket.try_clone()?;
    subscriber::init_room()?;
    // One thread: a room's state need not be Send, and rooms run in parallel to each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Never dropped: that would wait for computations, which end with the process.
    let runtime = std::mem::ManuallyDrop::new(runtime);
    let life = || {
        runtime.block_on(async {
            let (to_lobby, from_lobby) = channel::open(UnixStream::from_std(socket)?);
            let result = live(kinds, &to_lobby, from_lobby.accepting_sockets()).await;
            to_lobby.flush(CLOSE_TIMEOUT).await;
            result
        })
    };
    let result = catch_unwind(AssertUnwindSafe(life));
    // When the lobby dies, the loop may notice before the watching thread. A hook that prints
    // panics even before the socket shows it.
    let seconds = if nobody_reads(rustix::stdio::stdout()) { 5 } else { 0 };
    end_without_lobby(&lobby, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 }));
    match result {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(panic) => resume_unwind(panic),
    }
}

/// Whether the other end of this pipe is closed.
fn nobody_reads(pipe: BorrowedFd) -> bool {
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

/// Ends this process and its process group when the lobby is gone, whatever a hook is doing.
fn die_with_lobby(socket: &StdUnixStream) -> anyhow::Result<()> {
    // Wakes a stopped process. A kill signal would leave the child processes alive.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?;
    clock::start();
    // A thread, since a hook may block the runtime; it also notices a lobby that died before this.
    let socket = socket.try_clone()?;
    std::thread::Builder::new().name("lobby-watch".into()).spawn(move || {
        while !end_without_lobby(&socket, Timespec::try_from(clock::TICK).ok().as_ref()) {
            clock::now();
        }
    })?;
    Ok(())
}

/// Waits for so long, or for ever, and ends this process and its process group if the lobby is
/// gone.
fn end_without_lobby(socket: &StdUnixStream, patience: Option<&Timespec>) -> bool {
    let mut ends = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::empty())];
    let polled = poll(&mut ends, patience);
    let gone = polled.is_ok() && ends[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
    if gone {
        let group = rustix::process::getpgrp();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    gone
}

/// Becomes warm, and runs the room that the lobby opens.
async fn live(kinds: &[Kind], to_lobby: &Sender, mut from_lobby: Receiver) -> anyhow::Result<()> {
    let Some(ToRoom::Setup { version, room, mut settings }) = from_lobby.recv().await? else {
        bail!("no setup from the lobby");
    };
    fit_descriptors(&mut settings);
    ensure!(version == VERSION, "the lobby speaks version {version}, this room {VERSION}");
    memory::limit(settings.room_memory);
    to_lobby.send(&FromRoom::Warm)?;
    // Written now, since `on_open` may block the thread.
    to_lobby.flush(CLOSE_TIMEOUT).await;

    // Heartbeats come from the thread that runs the hooks: a hook that hangs stops them.
    let beats = async {
        let mut beat = tokio::time::interval(settings.heartbeat);
        // After a pause one is enough.
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            beat.tick().await;
            to_lobby.send(&FromRoom::Heartbeat)?;
        }
    };
    let life = async {
        let (options, about) = match from_lobby.recv().await? {
            Some(ToRoom::Open { options, about }) => (options, about),
            Some(_) => bail!("unexpected frame from the lobby before the room was opened"),
            // The lobby has stopped, and this warm room was never needed.
            None => return Ok(()),
        };
        let kind = kinds.iter().find(|kind| kind.name == about.kind);
        let kind = kind.with_context(|| format!("unknown kind of room '{}'", about.kind))?;
        let settings = &settings;
        (kind.play)(Opened { room, options, about, settings, to_lobby, from_lobby }).await
    };
    tokio::select! {
        result = life => result,
        stopped = beats => stopped,
    }
}

/// The part of a room process that depends on the kind of room.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub name: &'static str,
    /// Refuses message types that cannot work, before anything starts.
    pub check: fn() -> anyhow::Result<()>,
    play: for<'a> fn(Opened<'a>) -> Playing<'a>,
}

type Playing<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

impl Kind {
    pub fn of<R: Room>(name: &'static str) -> Self {
        let check = || events::check_names::<R::Request>(&[]);
        Kind { name, check, play: |opened| Box::pin(play::<R>(opened)) }
    }
}

/// A room that the lobby has opened in this process.
struct Opened<'a> {
    room: RoomId,
    options: Box<RawValue>,
    about: RoomAbout,
    settings: &'a Settings,
    to_lobby: &'a Sender,
    from_lobby: Receiver,
}

/// The room's life, from `on_open` to `on_dispose`.
async fn play<R: Room>(opened: Opened<'_>) -> anyhow::Result<()> {
    let Opened { room, options, about, settings, to_lobby, from_lobby } = opened;
    let context = RoomContext::<R>::new(room.clone(), about, settings.empty_timeout);
    let options = from_raw(&options)?;
    let game = match caught(async { context.scheduler.timed(R::on_open(options, &context)).await })
        .await
    {
        Ok(Ok(game)) => game,
        Ok(Err(refusal)) => return to_lobby.send(&FromRoom::Failed(refusal)),
        Err(panic) => return to_lobby.send(&FromRoom::Crashed { what: crash("on_open", &panic) }),
    };
    let limiter = ConnectionLimiter::new(&settings.limits, settings.limits.max_connections.get())?;
    let tickets = Arc::new(Tickets::default());
    let (ttl, on_panic) = (settings.ticket_ttl, Some(settings.on_room_panic));
    let core = Core::new(game, context, tickets.clone(), ttl, on_panic);
    let (inbox, items) = mpsc::unbounded_channel();
    let app = app(&room, settings, &limiter, inbox, tickets);
    let server = server::Server::new(app, &settings.limits, false);
    let handoff = HandoffReceiver { server, limiter: limiter.clone() };
    let mut room = RoomLoop { core, conns: HashMap::new(), to_lobby };
    room.run(items, from_lobby, &handoff).await?;
    room.dispose().await?;
    // Browsers disconnect when they have read their reroute.
    let _ = clock::timeout(CLOSE_TIMEOUT, limiter.all_closed()).await;
    Ok(())
}

/// Lowers `--max-connections` to what the limit of open files allows.
fn fit_descriptors(settings: &mut Settings) {
    use rustix::process::{Resource, getrlimit};
    if let Some(have) = getrlimit(Resource::Nofile).current {
        let most = u32::try_from(have.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
        let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        settings.limits.max_connections = settings.limits.max_connections.min(most);
    }
}

/// Socket.IO for clients with a ticket.
fn app(
    room: &RoomId,
    settings: &Settings,
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
    enforce_limits(check_origin(app, origins))
}
