//! What a hook can do besides changing its own state (`sending.rs`: what it sends). Output is
//! queued, and goes out when the hook returns.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::Instant;

use crate::process::{FromRoom, RoomSpec};
use crate::room::seat_map::SeatMap;
use crate::room::{Output, Room};
use crate::runtime::{Scheduler, Throttle};
use crate::types::{LeaveReason, Player, PlayerId, Refusal, RoomId, encode_message, truncate};

/// The time between two syncs, until a hook sets it.
const SYNC_PERIOD: Duration = Duration::from_millis(50);
/// The time between two listings that the lobby is told.
const LISTING_PERIOD: Duration = Duration::from_millis(100);

/// What hooks of a room can do besides changing their own state. Every hook gets it. What they send
/// is queued, and goes out in this order when the hook returns.
///
/// - The room: [`id`](Self::id), [`kind`](Self::kind), [`code`](Self::code), [`host`](Self::host),
///   [`capacity`](Self::capacity), [`elapsed`](Self::elapsed), [`random`](Self::random)
/// - Its players: [`players`](Self::players), [`is_here`](Self::is_here),
///   [`is_full`](Self::is_full), [`expected`](Self::expected),
///   [`join_options`](Self::join_options), [`announce_players`](Self::announce_players)
/// - Its state on all pages: [`sync`](Self::sync), [`set_sync_rate`](Self::set_sync_rate); in the
///   list of rooms: [`set_listing`](Self::set_listing)
/// - Events: [`send`](Self::send), [`send_to`](Self::send_to), [`broadcast`](Self::broadcast),
///   [`broadcast_except`](Self::broadcast_except); volatile:
///   [`send_volatile`](Self::send_volatile), [`broadcast_volatile`](Self::broadcast_volatile);
///   bytes: [`send_binary`](Self::send_binary), [`broadcast_binary`](Self::broadcast_binary),
///   [`broadcast_binary_volatile`](Self::broadcast_binary_volatile)
/// - Who stays: [`send_to_lobby`](Self::send_to_lobby), [`send_to_room`](Self::send_to_room),
///   [`kick`](Self::kick), [`ban`](Self::ban), [`lock`](Self::lock), [`is_locked`](Self::is_locked)
/// - The lobby: [`tell_lobby`](Self::tell_lobby)
/// - Time: [`set_tick_rate`](Self::set_tick_rate), [`tick_every`](Self::tick_every),
///   [`tick_delay`](Self::tick_delay); timers, futures and computations of the [`Scheduler`]
/// - The end: [`close`](Self::close), [`set_empty_timeout`](Self::set_empty_timeout)
pub struct RoomContext<R: Room> {
    id: RoomId,
    spec: RoomSpec,
    opened: Instant,
    /// In the order of joining; the core keeps it up to date. It changes a copy while a hook keeps
    /// the list that it got.
    pub(super) players: RefCell<Rc<Vec<Player<R::Profile>>>>,
    /// The seats of those who are in the room or on the way; the core keeps them up to date.
    pub(super) seats: RefCell<SeatMap<R::Profile>>,
    /// What the lobby passed on with seats; the core keeps it up to date.
    pub(super) join_options: RefCell<BTreeMap<PlayerId, R::JoinOptions>>,
    /// Players who are not admitted again, with the reason. Kept until the room ends.
    pub(super) banned: RefCell<BTreeMap<PlayerId, String>>,
    locked: Cell<bool>,
    /// Whether pages are told about the other players.
    pub(super) announces: Cell<bool>,
    pub(super) tick_period: Cell<Option<Duration>>,
    pub(super) tick_delay: Cell<Duration>,
    pub(super) empty_timeout: Cell<Option<Duration>>,
    /// The state is to be sent if it has changed.
    pub(super) sync: Throttle,
    /// The new listing, for the lobby.
    pub(super) listing: RefCell<Value>,
    pub(super) listing_changed: Throttle,
    random: RefCell<StdRng>,
    pub(crate) scheduler: Scheduler<R, RoomContext<R>>,
    /// What hooks queued; the core takes it when a hook returns.
    pub(super) outbox: RefCell<Vec<Output>>,
    /// Set when the room is to end: what its players are told.
    pub(super) ending: RefCell<Option<LeaveReason>>,
}

impl<R: Room> RoomContext<R> {
    pub(crate) fn new(id: RoomId, spec: RoomSpec, empty_timeout: Duration) -> Self {
        let scheduler = Scheduler::new();
        RoomContext {
            id,
            opened: scheduler.now.get(),
            players: RefCell::default(),
            seats: RefCell::default(),
            join_options: RefCell::default(),
            banned: RefCell::default(),
            locked: Cell::new(false),
            announces: Cell::new(true),
            tick_period: Cell::new(None),
            tick_delay: Cell::default(),
            empty_timeout: Cell::new(Some(empty_timeout)),
            sync: Throttle::new(SYNC_PERIOD),
            listing: RefCell::default(),
            listing_changed: Throttle::new(LISTING_PERIOD),
            random: RefCell::new(StdRng::seed_from_u64(spec.seed)),
            spec,
            scheduler,
            outbox: RefCell::default(),
            ending: RefCell::default(),
        }
    }

    /// This room's id, as the lobby and the log know it.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// The name of its kind in [`kinds!`](crate::kinds).
    pub fn kind(&self) -> &str {
        &self.spec.kind
    }

    /// The code to join this room, if it is private.
    pub fn code(&self) -> Option<&str> {
        self.spec.code.as_deref()
    }

    /// The player for whom the lobby created this room; `None` if it was created for nobody.
    ///
    /// It does not change when that player leaves. If your room's host can change, keep it in your
    /// own state.
    pub fn host(&self) -> Option<&PlayerId> {
        self.spec.host.as_ref()
    }

    /// How long the room has been open. It does not change while a hook runs.
    pub fn elapsed(&self) -> Duration {
        self.scheduler.now.get() - self.opened
    }

    /// The players in the room, in the order of joining. Includes those who lost their connection
    /// and whose seat is kept.
    pub fn players(&self) -> Rc<Vec<Player<R::Profile>>> {
        self.players.borrow().clone()
    }

    /// Whether the player is in the room and connected.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        self.conn_of(player.as_ref()).is_some()
    }

    /// Whether pages are told about the room's other players: who is there when they join, and who
    /// joins, leaves or changes. Default: yes. Call it in `on_open`: pages that have already joined
    /// keep the list they have. A room for hundreds that shows no list of players is much cheaper
    /// without.
    ///
    /// ```
    /// # use cluster::{Refusal, Room, RoomContext};
    /// # struct Hall;
    /// # impl Room for Hall {
    /// # cluster::room_types! {}
    /// async fn on_open(_: (), room: &RoomContext<Self>) -> Result<Self, Refusal> {
    ///     room.announce_players(false); // a thousand listeners
    ///     Ok(Hall)
    /// }
    /// # }
    /// ```
    pub fn announce_players(&self, announce: bool) {
        self.announces.set(announce);
    }

    /// Players who have a seat and are on the way. One who does not arrive within `--ticket-ttl`
    /// (15 s) loses the seat without a hook, since they never joined.
    pub fn expected(&self) -> Rc<[Player<R::Profile>]> {
        let seats = self.seats.borrow();
        let expected = seats.values().filter(|seat| !seat.joined);
        expected.map(|seat| seat.player.clone()).collect()
    }

    /// What the lobby passed on with a player's seat: from `on_admit` until `on_leave`, both
    /// included. The default for a player who came without
    /// ([`join`](crate::LobbyContext::join), or the page's `play`), or has no seat.
    ///
    /// ```
    /// # cluster::messages! { #[derive(Default)] pub struct Seat { spectator: bool } }
    /// # use cluster::{Player, Refusal, Room, RoomContext, refuse};
    /// # struct Game;
    /// # impl Room for Game {
    /// # cluster::room_types! { type JoinOptions = Seat; }
    /// # async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Game) }
    /// fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
    ///     let watches = |player: &Player| room.join_options(player).spectator;
    ///     let (here, coming) = (room.players(), room.expected());
    ///     let watching = here.iter().chain(&*coming).filter(|player| watches(player)).count();
    ///     if watches(player) && watching >= 10 {
    ///         return Err(refuse("too_many_spectators", "Ten people watch already."));
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    pub fn join_options(&self, player: impl AsRef<PlayerId>) -> R::JoinOptions {
        self.join_options.borrow().get(player.as_ref()).cloned().unwrap_or_default()
    }

    /// Seats in the room, taken or not.
    pub fn capacity(&self) -> usize {
        self.spec.capacity
    }

    /// Whether as many players are in the room as it has seats.
    pub fn is_full(&self) -> bool {
        self.players.borrow().len() >= self.spec.capacity
    }

    /// Whether this room has locked itself with [`lock`](Self::lock), or is being drained. A lock
    /// set by the lobby is not seen here.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// Stops or resumes admitting players. Those who have a seat keep it, also if they are still on
    /// the way ([`expected`](Self::expected)). A lock set by the lobby stays.
    pub fn lock(&self, locked: bool) {
        if self.locked.replace(locked) != locked {
            self.push(Output::Frame(FromRoom::Locked(locked)));
        }
    }

    /// Calls `on_tick` this many times a second from now on; 0 stops it. Default: no ticks.
    ///
    /// ```
    /// # use cluster::{Refusal, Room, RoomContext};
    /// # struct Arena;
    /// # impl Room for Arena {
    /// # cluster::room_types! {}
    /// async fn on_open(_: (), room: &RoomContext<Self>) -> Result<Self, Refusal> {
    ///     room.set_tick_rate(30); // or `room.tick_every(Duration::from_secs(5))`
    ///     Ok(Arena)
    /// }
    /// # }
    /// ```
    pub fn set_tick_rate(&self, hz: u32) {
        self.tick_period.set((hz > 0).then(|| Duration::from_secs(1) / hz));
    }

    /// Calls `on_tick` at this interval from now on, of at least a millisecond: for a game that
    /// ticks less than once a second.
    pub fn tick_every(&self, period: Duration) {
        self.tick_period.set(Some(period.max(Duration::from_millis(1))));
    }

    /// How late the last tick was. More than a period means that the room is overloaded.
    pub fn tick_delay(&self) -> Duration {
        self.tick_delay.get()
    }

    /// Closes the room after it has been empty for this long, counted from the last leave or the
    /// opening; `None` never does. Default: the setting `--empty-timeout` (30 s).
    pub fn set_empty_timeout(&self, timeout: Option<Duration>) {
        self.empty_timeout.set(timeout);
    }

    /// The room's random numbers. In a test they depend only on the seed. Other methods may be
    /// called while this is borrowed, but not `random` itself.
    ///
    /// ```
    /// # use cluster::{Room, RoomContext};
    /// use rand::RngExt as _;
    ///
    /// # fn hook<R: Room>(room: &RoomContext<R>) {
    /// let die = room.random().random_range(1..=6);
    /// # }
    /// ```
    pub fn random(&self) -> RefMut<'_, StdRng> {
        self.random.borrow_mut()
    }

    /// Returns a player to the lobby. Their page shows the message, such as `You won.`, of at most
    /// 1 KiB. `on_leave` follows with [`LeaveReason::Sent`].
    pub fn send_to_lobby(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        self.push(Output::Leave(player.as_ref().clone(), LeaveReason::Sent(truncate(reason))));
    }

    /// Sends a player to another room. They leave this one when they have a seat there. If they are
    /// refused one they stay, and their page gets `refused`: also with `reroute_loop`, since this
    /// counts as a [`reroute`](crate::LobbyContext::reroute), of which a player has ten at once and
    /// one a second.
    pub fn send_to_room(&self, player: impl AsRef<PlayerId>, room: &RoomId) {
        // A room's id is short, but a hook may pass on one from a browser that does not
        // fit into a frame.
        let room = RoomId(truncate(room.0.as_str()));
        if let Some(seat) = self.seats.borrow().get(player.as_ref()) {
            self.push(Output::Frame(FromRoom::Transfer { seat: seat.number, room }));
        }
    }

    /// Returns a player to the lobby; their page shows the reason, of at most 1 KiB. They may join
    /// again. `on_leave` follows with [`LeaveReason::Kicked`].
    pub fn kick(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        self.push(Output::Leave(player.as_ref().clone(), LeaveReason::Kicked(truncate(reason))));
    }

    /// Kicks a player and refuses them from then on with `banned`, for as long as the room exists.
    /// The reason is the text that their page shows.
    pub fn ban(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        let reason = truncate(reason);
        self.banned.borrow_mut().insert(player.as_ref().clone(), reason.clone());
        self.push(Output::Leave(player.as_ref().clone(), LeaveReason::Kicked(reason)));
    }

    /// Sends a message to the lobby, which gets it in `on_room_message`. Refuses with `internal`
    /// one larger than 60 KiB as JSON, which is logged and not sent.
    ///
    /// ```
    /// # cluster::messages! { pub enum ToLobby { Won { name: String } } }
    /// # use cluster::{Player, Room, RoomContext};
    /// # fn hook<R: Room<ToLobby = ToLobby>>(room: &RoomContext<R>, winner: &Player) {
    /// let _ = room.tell_lobby(ToLobby::Won { name: winner.name.clone() }); // a small one
    /// room.close(); // the message arrives first
    /// # }
    /// ```
    pub fn tell_lobby(&self, message: R::ToLobby) -> Result<(), Refusal> {
        self.push(Output::Frame(FromRoom::Message(encode_message(&message)?)));
        Ok(())
    }

    /// Ends the room and returns everyone to the lobby, after the current hook. Messages already
    /// sent with `tell_lobby` arrive first; then `on_room_exit` is called with
    /// [`Exit::Finished`](crate::Exit::Finished).
    pub fn close(&self) {
        self.end(LeaveReason::Finished);
    }

    /// Ends the room, unless it is ending already.
    pub(super) fn end(&self, reason: LeaveReason) {
        self.ending.borrow_mut().get_or_insert(reason);
    }

    fn push(&self, output: Output) {
        self.outbox.borrow_mut().push(output);
    }
}

impl<R: Room> Deref for RoomContext<R> {
    type Target = Scheduler<R, Self>;

    /// Timers, spawned futures and computations.
    fn deref(&self) -> &Self::Target {
        &self.scheduler
    }
}
