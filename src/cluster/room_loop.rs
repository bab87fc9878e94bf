//! A room's process: it gets a socket to the lobby as its stdin, becomes warm, is opened, and then
//! one loop calls the hooks, one at a time, until the room ends.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream as StdUnixStream,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use futures_util::{
    StreamExt as _,
    stream::{FuturesUnordered, SelectAll},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tokio::{
    net::{TcpListener, UnixStream},
    sync::mpsc,
    time::Instant,
};
use tracing::debug;

use super::{
    agenda::{Call, Task, sleep_until},
    channel::{self, FromRoom, Receiver, Sender, ToRoom, VERSION},
    connection::{self, Answerer, Conn, ConnId, FromClient, Message},
    ctx::Ctx,
    events,
    guests::{Guests, only_welcome},
    logs, memory, net,
    origins::Origins,
    packet::RawEvent,
    panics::{Panic, caught, crash, survived},
    room_core::{Core, Effect},
    room_hooks::Room,
    settings::{RoomPanic, RoomSettings},
    supervisor,
    tickets::Tickets,
    web::only_ours,
    words::{PlayerId, Refusal, Reply, RoomId, from_raw},
};

/// A room that has much to do lets its sockets and its signs of life have the thread after so long. Without
/// this, a hundred hooks of 30 ms each would look as if it had hung.
const TURN: Duration = Duration::from_millis(10);
/// How long a room that ends waits for its last words to be written and its players to hang up.
const GOODBYE: Duration = Duration::from_secs(1);
/// Open files of a room that are not for connections: the channel, the log, what hooks open.
const OTHER_FILES: u64 = 64;

/// The whole life of a room process.
pub(crate) fn main<R: Room>() -> anyhow::Result<ExitCode> {
    let socket = take_stdin().context("a room is started by a lobby, never by hand")?;
    die_with_lobby(&socket)?;
    let lobby = socket.try_clone()?;
    logs::init_room()?;
    // One thread: a room's state need not be Send, and rooms are parallel to each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Dropping it, also in a panic, would wait for computations; they end with the process.
    let runtime = std::mem::ManuallyDrop::new(runtime);
    let life = || {
        runtime.block_on(async {
            let (to_lobby, from_lobby) = channel::open(UnixStream::from_std(socket)?);
            let result = live::<R>(&to_lobby, from_lobby.taking_sockets()).await;
            to_lobby.flush(GOODBYE).await;
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
    // A thread of its own works also while the runtime is blocked, and if the lobby died before this.
    let socket = socket.try_clone()?;
    std::thread::Builder::new()
        .name("lobby-watch".into())
        .spawn(move || while !end_without_lobby(&socket, None) {})?;
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

async fn live<R: Room>(to_lobby: &Sender, mut from_lobby: Receiver) -> anyhow::Result<()> {
    let build = supervisor::own_build_id()?;
    let Some(ToRoom::Setup { version, room, mut settings }) = from_lobby.recv().await? else {
        bail!("the lobby did not say who this room is");
    };
    fit_descriptors(&mut settings);
    ensure!(version == VERSION, "the lobby speaks version {version}, this room {VERSION}");
    memory::confine(settings.memory);
    let listener = settings.ports.map(|ports| net::bind_any(settings.host, ports)).transpose()?;
    let port = listener.as_ref().map(TcpListener::local_addr).transpose()?.map(|at| at.port());
    to_lobby.send(&FromRoom::Warm { version: VERSION, build, port })?;
    // Said before `on_open` may take the thread.
    to_lobby.flush(GOODBYE).await;

    // Signs of life come from the thread that runs the hooks: one that hangs sends none.
    let beats = async {
        let mut beat = tokio::time::interval(settings.heartbeat);
        loop {
            beat.tick().await;
            to_lobby.send(&FromRoom::Beat)?;
        }
    };
    let life = async {
        let (options, about) = match from_lobby.recv().await? {
            Some(ToRoom::Open { options, about }) => (options, about),
            Some(_) => bail!("the lobby did not say what this room is for"),
            // It has stopped, and this room was never needed.
            None => return Ok(()),
        };
        let handle = Ctx::<R>::new(room.clone(), about, settings.empty_timeout);
        let tickets = Arc::new(Tickets::default());
        let options = from_raw(&options)?;
        let game = match caught(async { R::on_open(options, &handle).await }).await {
            Ok(Ok(game)) => game,
            Ok(Err(refusal)) => return to_lobby.send(&FromRoom::Failed(refusal)),
            Err(panic) => {
                return to_lobby.send(&FromRoom::Crashed { what: crash("on_open", &panic) });
            }
        };
        let guests = Guests::new(&settings.limits, settings.limits.max_connections.get())?;
        let (ttl, on_panic) = (settings.ticket_ttl, Some(settings.panic));
        let core = Core::new(game, handle, tickets.clone(), ttl, on_panic);
        let (inbox, items) = mpsc::unbounded_channel();
        let app = app(&room, &settings, &guests, inbox, tickets);
        let server = net::Server { app, header_timeout: settings.limits.header_timeout };
        let entrance = Entrance { server: server.clone(), guests: guests.clone() };
        let serve = move |stream, place| server.clone().serve_tcp(stream, place);
        let accepting =
            listener.map(|listener| tokio::spawn(net::accept(listener, guests.clone(), serve)));
        let mut room = RoomLoop { core, conns: HashMap::new(), to_lobby, settings: &settings };
        room.play(items, from_lobby, &entrance).await?;
        room.dispose().await?;
        if let Some(accepting) = accepting {
            accepting.abort();
        }
        // Browsers hang up when they have read where to go next.
        let _ = tokio::time::timeout(GOODBYE, guests.all_gone()).await;
        Ok(())
    };
    tokio::select! {
        result = life => result,
        stopped = beats => stopped,
    }
}

/// Allows as many connections as this process may have files open; each of them is one.
fn fit_descriptors(settings: &mut RoomSettings) {
    use rustix::process::{Resource, getrlimit};
    if let Some(have) = getrlimit(Resource::Nofile).current {
        let most = u32::try_from(have.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX);
        let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
        settings.limits.max_connections = settings.limits.max_connections.min(most);
    }
}

/// Where a room's browsers connect to.
pub(crate) fn path_of(room: &RoomId) -> String {
    format!("/rooms/{room}/socket.io")
}

/// Socket.IO for those who have a ticket.
fn app(
    room: &RoomId,
    settings: &RoomSettings,
    guests: &Guests,
    inbox: mpsc::UnboundedSender<FromClient<PlayerId>>,
    tickets: Arc<Tickets>,
) -> Router {
    let admit = move |auth: &Value| {
        let ticket = auth.get("ticket").and_then(Value::as_str).unwrap_or_default();
        tickets.redeem(ticket).map(|player| (player.clone(), Some(player)))
    };
    let sockets = connection::serve(&path_of(room), &settings.limits, guests, inbox, admit);
    let app = Router::new().layer(sockets);
    // The page came from the lobby's port.
    let any_port = settings.ports.is_some();
    let origins = Origins::new(settings.public_url.as_ref(), &settings.allow_origin, any_port);
    // The next request may be for the lobby, whose connection it was.
    net::one_request(only_welcome(only_ours(app, origins)))
}

/// Where the sockets that the lobby gives come in.
struct Entrance {
    server: net::Server,
    guests: Guests,
}

impl Entrance {
    fn admit(&self, socket: OwnedFd) {
        let serving = self.server.clone().serve_given(socket, self.guests.clone());
        tokio::spawn(async {
            if let Err(error) = serving.await {
                debug!(%error, "the lobby gave a socket that is not served");
            }
        });
    }
}

/// An answer that was not ready at once.
type Later = Pin<Box<dyn Future<Output = (Answerer, Result<Result<Value, Refusal>, Panic>)>>>;

struct RoomLoop<'a, R: Room> {
    core: Core<R>,
    conns: HashMap<ConnId, Conn>,
    to_lobby: &'a Sender,
    settings: &'a RoomSettings,
}

impl<R: Room> RoomLoop<'_, R> {
    /// What happens next, the hook for it, what the hook queued: in this order, again and again.
    async fn play(
        &mut self,
        mut inbox: mpsc::UnboundedReceiver<FromClient<PlayerId>>,
        mut from_lobby: Receiver,
        entrance: &Entrance,
    ) -> anyhow::Result<()> {
        let mut tasks: SelectAll<Task<R, Ctx<R>>> = SelectAll::new();
        let mut answers: FuturesUnordered<Later> = FuturesUnordered::new();
        let mut turn = Instant::now();
        while !self.core.is_ending() {
            if turn.elapsed() > TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
            self.carry_out()?;
            tasks.extend(self.core.handle().agenda.take_tasks());
            let happened = tokio::select! {
                frame = from_lobby.recv() => Happened::Frame(frame?),
                Some(item) = inbox.recv() => Happened::Client(item),
                Some(call) = tasks.next(), if !tasks.is_empty() => Happened::Call(call),
                Some((to, answer)) = answers.next(), if !answers.is_empty() => match answer {
                    Ok(answer) => {
                        to.send(answer);
                        continue;
                    }
                    Err(panic) => {
                        to.send(Err(Refusal::Internal));
                        Happened::Panic(panic)
                    }
                },
                () = sleep_until(self.core.deadline()) => Happened::Nothing,
            };
            let now = Instant::now();
            self.core.set_now(now);
            match happened {
                Happened::Frame(Some(ToRoom::Socket)) => {
                    from_lobby.sockets().for_each(|new| entrance.admit(new));
                }
                Happened::Frame(Some(frame)) => self.obey(frame)?,
                Happened::Frame(None) => bail!("the lobby is gone"),
                Happened::Client(FromClient::Come(conn, player)) => {
                    let id = conn.id;
                    self.conns.insert(id, conn);
                    self.core.come(id, &player);
                }
                Happened::Client(FromClient::Says(conn, message)) => {
                    answers.extend(self.says(conn, message));
                }
                Happened::Client(FromClient::Gone { conn, asked }) => {
                    self.conns.remove(&conn);
                    self.core.gone(conn, asked);
                }
                Happened::Call(call) => self.core.call(call),
                Happened::Panic(panic) => self.core.panicked(panic),
                Happened::Nothing => {}
            }
            self.core.advance(now);
        }
        self.carry_out()
    }

    fn says(&mut self, conn: ConnId, message: Message) -> Option<Later> {
        let RawEvent { name, data, binary, .. } = message.event;
        let answer = match (binary, data) {
            (Some(bytes), _) => self.core.says_binary(conn, bytes),
            (None, Ok(data)) => self.core.says(conn, &name, data.as_deref()),
            (None, Err(refusal)) => Err(refusal),
        };
        let to = message.answer;
        match answer {
            Ok(Reply::Now(value)) => to.send(Ok(value)),
            Ok(Reply::Later(value)) => return Some(Box::pin(async { (to, caught(value).await) })),
            Err(refusal) => to.send(Err(refusal)),
        }
        None
    }

    fn obey(&mut self, frame: ToRoom) -> anyhow::Result<()> {
        match frame {
            ToRoom::Hold { join, seats } => self.core.hold(join, seats),
            ToRoom::Release { seat, reason } => self.core.release(seat, reason),
            ToRoom::Move { seat, to } => self.core.move_on(seat, to),
            ToRoom::Refused { seat, refusal } => self.core.refused(seat, &refusal),
            ToRoom::Message(message) => self.core.lobby_message(&message)?,
            ToRoom::Drain { left_ms, reason } => {
                self.core.drain(Duration::from_millis(left_ms), reason);
            }
            ToRoom::Setup { .. } | ToRoom::Open { .. } | ToRoom::Socket => {
                bail!("the lobby says what has no place here")
            }
        }
        Ok(())
    }

    /// Carries out effects until there are no more: a browser that cannot be reached is gone, which
    /// may call hooks again.
    fn carry_out(&mut self) -> anyhow::Result<()> {
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                return Ok(());
            }
            for effect in effects {
                if let Some(unreachable) = self.carry_out_one(effect)? {
                    self.conns.remove(&unreachable);
                    self.core.gone(unreachable, false);
                }
            }
        }
    }

    fn carry_out_one(&self, effect: Effect) -> anyhow::Result<Option<ConnId>> {
        let conn = |id: ConnId| self.conns.get(&id);
        match effect {
            Effect::Emit { to, event, volatile } => {
                let Some(conn) = conn(to) else {
                    return Ok(None);
                };
                if volatile {
                    conn.emit_volatile(&event);
                } else if conn.emit(&event).is_err() {
                    return Ok(Some(to));
                }
            }
            Effect::HangUp(id) => drop(conn(id).map(Conn::hang_up)),
            Effect::Dismiss(id, refusal) => drop(conn(id).map(|conn| conn.dismiss(&refusal))),
            Effect::SendOn(id, route) => {
                if let Some(conn) = conn(id) {
                    conn.reroute(&route, self.settings.public_url.as_ref());
                }
            }
            Effect::Frame(frame) => self.to_lobby.send(&frame)?,
        }
        Ok(None)
    }

    /// The end: everyone goes to the lobby, and then the last hook, unless one has panicked.
    async fn dispose(mut self) -> anyhow::Result<()> {
        let crashed = self.core.crashed().map(str::to_owned);
        if let Some(what) = crashed.clone() {
            self.to_lobby.send(&FromRoom::Crashed { what })?;
        }
        let outcome = self.core.finish();
        for effect in self.core.take_effects() {
            let _ = self.carry_out_one(effect)?;
        }
        if crashed.is_none() {
            let disposed = caught(async { self.core.into_game().on_dispose().await }).await;
            let ended = match (disposed, self.settings.panic) {
                (Err(panic), RoomPanic::EndsRoom) => {
                    FromRoom::Crashed { what: crash("on_dispose", &panic) }
                }
                (Err(panic), RoomPanic::EndsHook) => {
                    survived("on_dispose", &panic);
                    FromRoom::Closed { outcome }
                }
                (Ok(()), RoomPanic::EndsRoom | RoomPanic::EndsHook) => FromRoom::Closed { outcome },
            };
            self.to_lobby.send(&ended)?;
        }
        self.to_lobby.flush(GOODBYE).await;
        Ok(())
    }
}

/// What the loop has waited for.
enum Happened<R: Room> {
    Frame(Option<ToRoom>),
    Client(FromClient<PlayerId>),
    Call(Call<R, Ctx<R>>),
    Panic(Panic),
    Nothing,
}

/// Refuses message types that cannot work, before anything starts.
pub(crate) fn check<R: Room>() -> anyhow::Result<()> {
    events::check_names::<R::Request>()
}
