//! A room's process, from its start to its end: it gets a socket to the lobby as its stdin, becomes warm, and is
//! opened; then `event_loop.rs` plays.

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

/// Open files of a room that are not for connections: the channel, the log, what hooks open.
const OTHER_FILES: u64 = 64;

/// The whole life of a room process.
pub(crate) fn main(kinds: &[Kind]) -> anyhow::Result<ExitCode> {
    let socket = take_stdin().context("a room is started by a lobby, never by hand")?;
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
            let result = live(kinds, &to_lobby, from_lobby.accepting_sockets()).await;
            to_lobby.flush(CLOSE_TIMEOUT).await;
            result
        })
    };
    let result = catch_unwind(AssertUnwindSafe(life));
    // The loop may notice sooner than the thread that watches; a hook that prints something even sooner
    // than the socket shows it, by a panic.
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

/// Moves the socket away from stdin, to a descriptor that nothing this process starts inherits.
fn take_stdin() -> anyhow::Result<StdUnixStream> {
    let stdin = rustix::stdio::stdin();
    rustix::net::getpeername(stdin).context("stdin is no socket")?;
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let socket = StdUnixStream::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Ends this process, and all that it started, when the lobby is gone, whatever a hook is doing.
fn die_with_lobby(socket: &StdUnixStream) -> anyhow::Result<()> {
    // Wakes a process that is stopped. It must not kill: what this one has started would live on.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))?;
    clock::start();
    // A thread of its own works also while the runtime is blocked, and if the lobby died before this.
    let socket = socket.try_clone()?;
    std::thread::Builder::new().name("lobby-watch".into()).spawn(move || {
        while !end_without_lobby(&socket, Timespec::try_from(clock::TICK).ok().as_ref()) {
            clock::now();
        }
    })?;
    Ok(())
}

/// Waits for so long, or for ever, and ends this process and all that it started if the lobby is gone.
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

/// Becomes warm, and plays what the lobby opens.
async fn live(kinds: &[Kind], to_lobby: &Sender, mut from_lobby: Receiver) -> anyhow::Result<()> {
    let Some(ToRoom::Setup { version, room, mut settings }) = from_lobby.recv().await? else {
        bail!("the lobby did not say who this room is");
    };
    fit_descriptors(&mut settings);
    ensure!(version == VERSION, "the lobby speaks version {version}, this room {VERSION}");
    memory::limit(settings.room_memory);
    to_lobby.send(&FromRoom::Warm)?;
    // Said before `on_open` may take the thread.
    to_lobby.flush(CLOSE_TIMEOUT).await;

    // Signs of life come from the thread that runs the hooks: one that hangs sends none.
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
            Some(_) => bail!("the lobby did not say what this room is for"),
            // It has stopped, and this room was never needed.
            None => return Ok(()),
        };
        let kind = kinds.iter().find(|kind| kind.name == about.kind);
        let kind = kind.with_context(|| format!("no kind of room is called '{}'", about.kind))?;
        let settings = &settings;
        (kind.play)(Opened { room, options, about, settings, to_lobby, from_lobby }).await
    };
    tokio::select! {
        result = life => result,
        stopped = beats => stopped,
    }
}

/// What a room process does that is special to one kind of room.
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
    room.play(items, from_lobby, &handoff).await?;
    room.dispose().await?;
    // Browsers hang up when they have read where to go next.
    let _ = clock::timeout(CLOSE_TIMEOUT, limiter.all_closed()).await;
    Ok(())
}

/// Allows as many connections as this process may have files open; each of them is one.
fn fit_descriptors(settings: &mut Settings) {
    use rustix::process::{Resource, getrlimit};
    if let Some(have) = getrlimit(Resource::Nofile).current {
        let most = u32::try_from(have.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
        let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        settings.limits.max_connections = settings.limits.max_connections.min(most);
    }
}

/// Socket.IO for those who have a ticket.
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
