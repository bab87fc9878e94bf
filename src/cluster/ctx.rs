//! The room's handle: all that a hook can do besides changing its own state. It only queues; what it
//! queued goes out when the hook returns.

use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::value::RawValue;

use super::{
    agenda::{Agenda, Panicked, Timer},
    channel::FromRoom,
    events::{self, Encoded},
    room_hooks::Room,
    words::{Player, PlayerId, RoomId, to_raw},
};

/// The handle that every hook of a room gets.
pub struct Ctx<R: Room> {
    room: RoomId,
    capacity: usize,
    players: RefCell<Rc<[Player]>>,
    locked: Cell<bool>,
    tick: Cell<Option<Duration>>,
    random: RefCell<StdRng>,
    pub(crate) agenda: Agenda<R, Ctx<R>>,
    pub(crate) out: RefCell<Vec<Output>>,
}

/// What a hook queued.
pub(crate) enum Output {
    Send { to: PlayerId, event: Rc<Encoded> },
    Broadcast { event: Rc<Encoded>, except: Option<PlayerId>, volatile: bool },
    Sync,
    SendToLobby { player: PlayerId, reason: String },
    Frame(FromRoom),
    Close { outcome: Box<RawValue> },
}

impl<R: Room> Ctx<R> {
    pub(crate) fn new(room: RoomId, capacity: usize, seed: u64) -> Self {
        Ctx {
            room,
            capacity,
            players: RefCell::new(Rc::new([])),
            locked: Cell::new(false),
            tick: Cell::new(None),
            random: RefCell::new(StdRng::seed_from_u64(seed)),
            agenda: Agenda::new(),
            out: RefCell::default(),
        }
    }

    /// This room's id, as the lobby and the log know it.
    pub fn id(&self) -> &RoomId {
        &self.room
    }

    /// Who is in the room, in the order in which they joined; with those whose connection is lost but
    /// whose seat is kept.
    pub fn players(&self) -> Rc<[Player]> {
        self.players.borrow().clone()
    }

    /// Seats in the room.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether as many players are in the room as there are seats.
    pub fn is_full(&self) -> bool {
        self.players.borrow().len() >= self.capacity
    }

    /// Takes no more players, or takes them again. Those who have a seat keep it.
    pub fn lock(&self, locked: bool) {
        if self.locked.replace(locked) != locked {
            self.push(Output::Frame(FromRoom::Locked(locked)));
        }
    }

    /// Calls `on_tick` so many times a second; 0 stops it.
    pub fn tick_rate(&self, hz: u32) {
        self.tick.set((hz > 0).then(|| Duration::from_secs(1) / hz));
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

    /// Sends everyone his `snapshot`.
    pub fn sync(&self) {
        self.push(Output::Sync);
    }

    /// Calls back once, after `delay`.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&mut R, &Ctx<R>) + 'static) -> Timer {
        self.agenda.after(delay, call)
    }

    /// Calls back again and again, first after `period`.
    pub fn every(&self, period: Duration, call: impl FnMut(&mut R, &Ctx<R>) + 'static) -> Timer {
        self.agenda.every(period, call)
    }

    /// Cancels a timer; one that has run already is no error.
    pub fn cancel(&self, timer: Timer) {
        self.agenda.cancel(timer);
    }

    /// Waits for a future, and calls back with its result. Other hooks run meanwhile.
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        done: impl FnOnce(&mut R, &Ctx<R>, T) + 'static,
    ) {
        self.agenda.spawn(future, done);
    }

    /// Does heavy work on another thread, and calls back with its result.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut R, &Ctx<R>, Result<T, Panicked>) + 'static,
    ) {
        self.agenda.compute(work, done);
    }

    /// Sends a player back to the lobby; his page gets the reason, a code of your own such as `won`.
    pub fn send_to_lobby(&self, player: impl AsRef<PlayerId>, reason: impl Into<String>) {
        let player = player.as_ref().clone();
        self.push(Output::SendToLobby { player, reason: reason.into() });
    }

    /// A message for the lobby's `on_room_message`.
    pub fn tell_lobby(&self, message: R::ToLobby) {
        match to_raw(&message) {
            Ok(raw) => self.push(Output::Frame(FromRoom::Message(raw))),
            Err(error) => tracing::error!(%error, "a message to the lobby was not sent"),
        }
    }

    /// Ends the room: everyone goes to the lobby, which gets the outcome in `on_room_exit`.
    pub fn close(&self, outcome: R::Outcome) {
        match to_raw(&outcome) {
            Ok(outcome) => self.push(Output::Close { outcome }),
            Err(error) => panic!("the outcome cannot be written as JSON: {error}"),
        }
    }

    pub(crate) fn set_players(&self, players: Rc<[Player]>) {
        *self.players.borrow_mut() = players;
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

pub(crate) fn encode(event: &impl serde::Serialize) -> Option<Rc<Encoded>> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok().map(Rc::new)
}
