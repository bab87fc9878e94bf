//! The context of a room's hooks. It queues output, which goes out when the hook returns.

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

/// What a hook of a room can do besides changing its own state. Output is queued and goes out when
/// the hook returns.
pub struct RoomContext<R: Room> {
    room: RoomId,
    about: RoomAbout,
    opened: Instant,
    players: RefCell<Rc<[Player]>>,
    /// Players whose connection is lost.
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

    /// The code of a private room, with which others join.
    pub fn code(&self) -> Option<&str> {
        self.about.code.as_deref()
    }

    /// The player for whom the lobby created this room; `None` if for nobody. Does not change when
    /// the host leaves.
    pub fn host(&self) -> Option<&PlayerId> {
        self.about.host.as_ref()
    }

    /// The time since the room was opened.
    pub fn elapsed(&self) -> Duration {
        self.scheduler.now() - self.opened
    }

    /// The players in the room, in the order in which they joined, including those whose connection
    /// is lost and whose seat is kept.
    pub fn players(&self) -> Rc<[Player]> {
        self.players.borrow().clone()
    }

    /// Whether the player is in the room and connected.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        let id = player.as_ref();
        self.players().iter().any(|player| player.id == *id) && !self.away.borrow().contains(id)
    }

    /// The players who have a seat and are on the way. One who does not come within `--ticket-ttl`
    /// is removed; no hook is called.
    pub fn expected(&self) -> Rc<[Player]> {
        self.expected.borrow().clone()
    }

    /// Seats in the room.
    pub fn capacity(&self) -> usize {
        self.about.capacity
    }

    /// Whether all seats are taken by players in the room.
    pub fn is_full(&self) -> bool {
        self.players.borrow().len() >= self.about.capacity
    }

    /// Whether the room has locked itself.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// Locks the room for new players, or unlocks it. Players with a seat keep it, also those who
    /// are on the way ([`RoomContext::expected`]). A lock by the lobby is separate and stays.
    pub fn lock(&self, locked: bool) {
        if self.locked.replace(locked) != locked {
            self.push(Output::Frame(FromRoom::Locked(locked)));
        }
    }

    /// Calls `on_tick` so many times a second from now on; 0 stops it.
    pub fn tick_rate(&self, hz: u32) {
        self.tick.set((hz > 0).then(|| Duration::from_secs(1) / hz));
    }

    /// How late the last tick was. More than a period means that the room is overloaded.
    pub fn tick_delay(&self) -> Duration {
        self.tick_delay.get()
    }

    /// Closes the room when it has been empty for so long, since the last player left or the room
    /// was opened; `None`: never. Default: `--empty-timeout`.
    pub fn empty_timeout(&self, timeout: Option<Duration>) {
        self.empty_timeout.set(timeout);
    }

    /// The room's random numbers. In tests the seed makes them reproducible.
    pub fn random(&self) -> RefMut<'_, StdRng> {
        self.random.borrow_mut()
    }

    /// Sends an event to one player; does nothing for one who is away and gets a snapshot on
    /// return.
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

    /// Sends an event that the next one replaces, such as positions. A slow browser skips some, and
    /// it may overtake other events.
    pub fn broadcast_volatile(&self, event: R::Event) {
        self.broadcast_to(event, None, true);
    }

    /// Sends bytes to one player: the page's event `binary`.
    pub fn send_binary(&self, to: impl AsRef<PlayerId>, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Send { to: to.as_ref().clone(), event });
    }

    /// Sends bytes to everyone in the room.
    pub fn broadcast_binary(&self, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Broadcast { event, except: None, volatile: false });
    }

    /// Sends bytes that the next ones replace; see [`RoomContext::broadcast_volatile`].
    pub fn broadcast_binary_volatile(&self, data: impl Into<Bytes>) {
        let event = Rc::new(Encoded::Binary(data.into()));
        self.push(Output::Broadcast { event, except: None, volatile: true });
    }

    /// Sends everyone their [`snapshot`](Room::snapshot).
    pub fn sync(&self) {
        self.push(Output::Sync);
    }

    /// Sends a player back to the lobby. The page shows the message, such as `You have won.`; at
    /// most 1 KiB.
    pub fn send_to_lobby(&self, player: impl AsRef<PlayerId>, message: impl Into<String>) {
        let player = player.as_ref().clone();
        self.push(Output::SendToLobby { player, reason: LeaveReason::Sent(short(message)) });
    }

    /// Sends a player to another room. They leave this room when the other has reserved a seat;
    /// without one they stay, and their page is sent `refused`.
    pub fn send_to_room(&self, player: impl AsRef<PlayerId>, room: &RoomId) {
        self.push(Output::SendToRoom { player: player.as_ref().clone(), room: room.clone() });
    }

    /// Sends a player to the lobby, where the page shows the message. They may join again.
    pub fn kick(&self, player: impl AsRef<PlayerId>, message: impl Into<String>) {
        let player = player.as_ref().clone();
        self.push(Output::SendToLobby { player, reason: LeaveReason::Kicked(short(message)) });
    }

    /// Kicks a player and refuses them from now on with `banned` and this message. For this room
    /// alone.
    pub fn ban(&self, player: impl AsRef<PlayerId>, message: impl Into<String>) {
        self.push(Output::Ban { player: player.as_ref().clone(), message: short(message) });
    }

    /// Sends a message to the lobby's `on_room_message`; at most 60 KiB.
    pub fn tell_lobby(&self, message: R::ToLobby) {
        match to_raw(&message) {
            Ok(raw) => self.push(Output::Frame(FromRoom::Message(raw))),
            Err(error) => tracing::error!(%error, "a message to the lobby was not sent"),
        }
    }

    /// Ends the room and sends everyone to the lobby. Messages of `tell_lobby` before this arrive
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
