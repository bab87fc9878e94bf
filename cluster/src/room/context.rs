//! The room's handle: all that a hook can do besides changing its own state. It only queues; what it
//! queued goes out when the hook returns.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashSet,
    ops::Deref,
    rc::Rc,
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use crate::{
    Bytes,
    process::channel::{FromRoom, RoomAbout},
    room::{
        hooks::Room,
        output::{Output, encode},
    },
    runtime::scheduler::Scheduler,
    socketio::events::Encoded,
    types::{LeaveReason, Player, PlayerId, RoomId, short, to_raw},
};

/// The handle that every hook of a room gets.
pub struct RoomContext<R: Room> {
    room: RoomId,
    about: RoomAbout,
    opened: Instant,
    players: RefCell<Rc<[Player]>>,
    /// Those of them whose connection is lost.
    away: RefCell<HashSet<PlayerId>>,
    expected: RefCell<Rc<[Player]>>,
    locked: Cell<bool>,
    tick: Cell<Option<Duration>>,
    tick_delay: Cell<Duration>,
    empty_timeout: Cell<Option<Duration>>,
    random: RefCell<StdRng>,
    pub(crate) scheduler: Scheduler<R, RoomContext<R>>,
    pub(crate) out: RefCell<Vec<Output>>,
}

impl<R: Room> RoomContext<R> {
    pub(crate) fn new(room: RoomId, about: RoomAbout, empty_timeout: Duration) -> Self {
        let scheduler = Scheduler::new();
        RoomContext {
            room,
            opened: scheduler.now(),
            players: RefCell::new(Rc::new([])),
            away: RefCell::default(),
            expected: RefCell::new(Rc::new([])),
            locked: Cell::new(false),
            tick: Cell::new(None),
            tick_delay: Cell::default(),
            empty_timeout: Cell::new(Some(empty_timeout)),
            random: RefCell::new(StdRng::seed_from_u64(about.seed)),
            about,
            scheduler,
            out: RefCell::default(),
        }
    }

    /// This room's id, as the lobby and the log know it.
    pub fn id(&self) -> &RoomId {
        &self.room
    }

    /// The code that lets others in, if this room is private.
    pub fn code(&self) -> Option<&str> {
        self.about.code.as_deref()
    }

    /// The player for whom the lobby created this room; `None` if it did so on its own. It stays so when
    /// he leaves: a room whose host may change keeps its own.
    pub fn host(&self) -> Option<&PlayerId> {
        self.about.host.as_ref()
    }

    /// For how long the room has been open.
    pub fn elapsed(&self) -> Duration {
        self.scheduler.now() - self.opened
    }

    /// Who is in the room, in the order in which they joined; with those whose connection is lost but
    /// whose seat is kept.
    pub fn players(&self) -> Rc<[Player]> {
        self.players.borrow().clone()
    }

    /// Whether the player is in the room, and his connection is not lost.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        let id = player.as_ref();
        self.players().iter().any(|player| player.id == *id) && !self.away.borrow().contains(id)
    }

    /// Who has a seat and is on the way. One who does not come in time (the setting `--ticket-ttl`) is
    /// not expected any more; no hook tells, since he was never here.
    pub fn expected(&self) -> Rc<[Player]> {
        self.expected.borrow().clone()
    }

    /// Seats in the room.
    pub fn capacity(&self) -> usize {
        self.about.capacity
    }

    /// Whether as many players are in the room as there are seats.
    pub fn is_full(&self) -> bool {
        self.players.borrow().len() >= self.about.capacity
    }

    /// Whether the room takes no more players.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// Takes no more players, or takes them again. Those who have a seat keep it, also those who are still
    /// on the way ([`RoomContext::expected`]). What the lobby has locked stays locked.
    pub fn lock(&self, locked: bool) {
        if self.locked.replace(locked) != locked {
            self.push(Output::Frame(FromRoom::Locked(locked)));
        }
    }

    /// Calls `on_tick` so many times a second, from now on; 0 stops it.
    pub fn tick_rate(&self, hz: u32) {
        self.tick.set((hz > 0).then(|| Duration::from_secs(1) / hz));
    }

    /// How late the last tick was. More than a period: the room has too much to do.
    pub fn tick_delay(&self) -> Duration {
        self.tick_delay.get()
    }

    /// Closes the room when it has been empty for so long, counted from when the last player left, or from
    /// the room's opening; `None`: never. Without this the setting `--empty-timeout` counts.
    pub fn empty_timeout(&self, timeout: Option<Duration>) {
        self.empty_timeout.set(timeout);
    }

    /// The room's random numbers; a test that gives the same seed gets the same ones.
    pub fn random(&self) -> RefMut<'_, StdRng> {
        self.random.borrow_mut()
    }

    /// Sends an event to one player. One who is away gets a snapshot when he returns.
    pub fn send(&self, to: impl AsRef<PlayerId>, event: R::Event) {
        if let Some(event) = encode(&event) {
            self.push(Output::Send { to: to.as_ref().clone(), event });
        }
    }

    /// Sends an event to everyone in the room.
    pub fn broadcast(&self, event: R::Event) {
        self.broadcast_to(event, None, false);
    }

    /// Sends an event to everyone but one player.
    pub fn broadcast_except(&self, except: impl AsRef<PlayerId>, event: R::Event) {
        self.broadcast_to(event, Some(except.as_ref().clone()), false);
    }

    /// Sends an event that the next one replaces, such as positions: a slow browser skips some, and it
    /// may overtake other events.
    pub fn broadcast_volatile(&self, event: R::Event) {
        self.broadcast_to(event, None, true);
    }

    /// Sends bytes to one player: his page's event `binary`.
    pub fn send_binary(&self, to: impl AsRef<PlayerId>, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Send { to: to.as_ref().clone(), event });
    }

    /// Sends bytes to everyone in the room.
    pub fn broadcast_binary(&self, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Broadcast { event, except: None, volatile: false });
    }

    /// Sends bytes that the next ones replace.
    pub fn broadcast_binary_volatile(&self, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Broadcast { event, except: None, volatile: true });
    }

    /// Sends everyone his `snapshot`.
    pub fn sync(&self) {
        self.push(Output::Sync);
    }

    /// Sends a player back to the lobby; his page gets the reason, a code of your own such as `won`.
    pub fn send_to_lobby(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        let player = player.as_ref().clone();
        self.push(Output::SendToLobby { player, why: LeaveReason::Sent(short(reason)) });
    }

    /// Sends a player on to another room. He leaves this one when a seat is his there; if it has none
    /// for him he stays, and his page is told `refused`.
    pub fn send_to_room(&self, player: impl AsRef<PlayerId>, room: &RoomId) {
        self.push(Output::SendToRoom { player: player.as_ref().clone(), room: room.clone() });
    }

    /// Puts a player out; his page shows the reason. He may come again.
    pub fn kick(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        let player = player.as_ref().clone();
        self.push(Output::SendToLobby { player, why: LeaveReason::Kicked(short(reason)) });
    }

    /// Puts a player out, and does not let him into this room again: he is refused with `banned`, and
    /// the reason as the text.
    pub fn ban(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        self.push(Output::Ban { player: player.as_ref().clone(), reason: short(reason) });
    }

    /// A message for the lobby's `on_room_message`.
    pub fn tell_lobby(&self, message: R::ToLobby) {
        match to_raw(&message) {
            Ok(raw) => self.push(Output::Frame(FromRoom::Message(raw))),
            Err(error) => tracing::error!(%error, "a message to the lobby was not sent"),
        }
    }

    /// Ends the room: everyone goes to the lobby. What was said with `tell_lobby` before arrives there
    /// before `on_room_exit` is called with [`Exit::Finished`](crate::Exit::Finished).
    pub fn close(&self) {
        self.push(Output::Close);
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn now(&self) -> Instant {
        self.scheduler.now()
    }

    pub(crate) fn set_players(&self, players: Rc<[Player]>) {
        *self.players.borrow_mut() = players;
    }

    pub(crate) fn set_expected(&self, players: Rc<[Player]>) {
        *self.expected.borrow_mut() = players;
    }

    pub(crate) fn set_away(&self, player: &PlayerId, away: bool) {
        let mut all = self.away.borrow_mut();
        if away {
            all.insert(player.clone())
        } else {
            all.remove(player)
        };
    }

    pub(crate) fn set_tick_delay(&self, delay: Duration) {
        self.tick_delay.set(delay);
    }

    pub(crate) fn current_empty_timeout(&self) -> Option<Duration> {
        self.empty_timeout.get()
    }

    pub(crate) fn tick_period(&self) -> Option<Duration> {
        self.tick.get()
    }

    fn broadcast_to(&self, event: R::Event, except: Option<PlayerId>, volatile: bool) {
        if let Some(event) = encode(&event) {
            self.push(Output::Broadcast { event, except, volatile });
        }
    }

    fn push(&self, output: Output) {
        self.out.borrow_mut().push(output);
    }
}

impl<R: Room> Deref for RoomContext<R> {
    type Target = Scheduler<R, Self>;

    /// Timers, spawned futures and computations.
    fn deref(&self) -> &Self::Target {
        &self.scheduler
    }
}
