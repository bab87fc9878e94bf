//! The registry of rooms: creates (`creation.rs`), finds, messages and closes them, gives their
//! seats (`seats.rs`), and handles what their processes report (`process_events.rs`). Nothing else
//! decides which rooms open and close; `process/` itself kills processes that hang or break the
//! protocol.

mod circuit_breaker;
mod code_attempts;
pub(crate) mod counts;
mod crash_report;
mod creation;
mod process_events;
pub(crate) mod saved;
mod seats;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{debug, error};

pub(crate) use self::circuit_breaker::Breaker;
pub(crate) use self::code_attempts::CodeAttempts;
pub(crate) use self::process_events::{RoomHook, RoomNotice};
pub(crate) use self::seats::SeatPlace;
use crate::config::Settings;
use crate::process::{Pool, Process, RoomProcess, Starter, ToRoom, Usage};
use crate::rooms::counts::RoomFigures;
use crate::rooms::seats::{REDIRECTS, Seats};
use crate::routing::GatewayRoutes;
use crate::runtime::{KeyedRateLimiter, clock, later};
use crate::types::{Exit, PlayerId, Refusal, RoomId, encode_message, truncate};

/// What the lobby knows about a room of any kind, whose options and listing are JSON.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AnyRoom {
    #[serde(rename = "room")]
    pub id: RoomId,
    pub kind: String,
    pub options: Value,
    pub listing: Value,
    pub host: Option<PlayerId>,
    /// The list of rooms has none with a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub players: usize,
    pub capacity: usize,
    pub locked: bool,
    #[serde(skip)]
    pub usage: Usage,
}

pub struct Rooms {
    settings: Settings,
    /// The gateway's routes to the rooms that are ready.
    pub(crate) routes: Arc<GatewayRoutes>,
    rooms: HashMap<RoomId, Entry>,
    pub(crate) pool: Pool,
    /// The processes whose supervisors have paused, in a reload.
    pub(crate) paused: HashMap<RoomId, (RoomProcess, Vec<OwnedFd>)>,
    breaker: Breaker,
    seats: Seats,
    redirects: KeyedRateLimiter<PlayerId>,
    /// Rooms started and ended so far; of those that there are, nothing.
    totals: RoomFigures,
    /// Collected while an event is handled.
    notices: Vec<RoomNotice>,
    /// The ids of what may have changed in the lists that pages watch. They are taken ten times a
    /// second.
    pub(crate) touched_rooms: BTreeSet<String>,
    pub(crate) touched_players: BTreeSet<String>,
    /// When the rooms of a lobby that is about to stop are closed.
    pub(crate) closes_at: Option<Instant>,
}

/// A room with its process; in a reload, with what the process's supervisor hands over.
#[derive(Serialize, Deserialize)]
pub(crate) struct Entry<P = Process> {
    /// Without the numbers that change; see [`Entry::info`].
    pub room: AnyRoom,
    process: P,
    status: Status,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Status {
    state: State,
    /// In seconds since 1970.
    created: u64,
    /// Those who had a seat when the room announced its end. They leave before it has ended.
    players_at_end: Option<Vec<String>>,
    /// It was opened by an earlier lobby, or before a reload.
    adopted: bool,
    /// `on_open` has returned.
    opened: bool,
    /// The lobby closed or killed it: an exit before `on_open` returns is no failed start.
    expected_exit: bool,
    host_address: Option<IpAddr>,
    locked_by_lobby: bool,
    locked_by_room: bool,
    /// The players with a seat here, by the seat's number.
    players: HashMap<u64, PlayerId>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Running,
    /// Accepts only players who have a seat.
    Draining,
    /// Accepts nobody.
    Ending,
    /// Its frames are ignored.
    Killed,
}

impl Rooms {
    pub(crate) fn new(settings: Settings, starter: Starter, routes: Arc<GatewayRoutes>) -> Self {
        // Each host has a breaker of its own.
        let failures =
            if settings.hosts.are_used() { usize::MAX } else { settings.start_failure_limit };
        Rooms {
            pool: Pool::new(settings.pool, starter),
            paused: HashMap::new(),
            breaker: Breaker::new(failures, settings.start_failure_cooldown),
            settings,
            routes,
            rooms: HashMap::new(),
            seats: Seats::default(),
            redirects: KeyedRateLimiter::new(REDIRECTS),
            totals: RoomFigures::default(),
            notices: Vec::new(),
            touched_rooms: BTreeSet::new(),
            touched_players: BTreeSet::new(),
            closes_at: None,
        }
    }

    /// All rooms, oldest first.
    pub fn ids(&self) -> Vec<RoomId> {
        let mut rooms: Vec<_> = self.rooms.keys().cloned().collect();
        rooms.sort_by_cached_key(|id| id.number());
        rooms
    }

    pub fn find(&self, room: &RoomId) -> Option<AnyRoom> {
        self.rooms.get(room).map(Entry::info)
    }

    pub(crate) fn is_public(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.room.code.is_none())
    }

    /// The room in which the player has a seat, unless it is ending.
    pub fn active_room_of(&self, player: &PlayerId) -> Option<AnyRoom> {
        let entry = self.rooms.get(self.seats.latest.get(player)?)?;
        (!entry.is_ending()).then(|| entry.info())
    }

    /// The same for `play`: a room that a hook closes does not count, since `play` leads out of it.
    pub fn room_to_play_in(&self, player: &PlayerId) -> Option<AnyRoom> {
        let room = self.active_room_of(player)?;
        let is_closed_by_hook = self.closes_at.is_none() && self.is_draining(&room.id);
        (!is_closed_by_hook).then_some(room)
    }

    /// The public rooms of this kind that have this many free seats.
    pub fn joinable(&self, kind: &str, players: usize) -> impl Iterator<Item = AnyRoom> {
        self.open_entries(kind, players).map(Entry::info)
    }

    /// Of those with a free seat, the one with the most players.
    pub fn fullest(&self, kind: &str) -> Option<AnyRoom> {
        self.open_entries(kind, 1).max_by_key(|entry| entry.status.players.len()).map(Entry::info)
    }

    fn open_entries(&self, kind: &str, players: usize) -> impl Iterator<Item = &Entry> {
        let public = self.rooms.values().filter(|entry| entry.room.code.is_none());
        public.filter(move |entry| entry.room.kind == kind && entry.check(players).is_ok())
    }

    /// Sends a message to a room of this kind, which gets it when it is ready.
    pub fn tell(&self, kind: &str, room: &RoomId, message: &impl Serialize) -> Result<(), Refusal> {
        let entry = self.rooms.get(room).filter(|entry| entry.room.kind == kind);
        let entry = entry.ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.send(&ToRoom::Message(encode_message(message)?));
        Ok(())
    }

    /// Sends a message to all rooms of this kind.
    pub fn tell_all(&self, kind: &str, message: &impl Serialize) -> Result<(), Refusal> {
        let raw = encode_message(message)?;
        let rooms = self.rooms.values().filter(|entry| entry.room.kind == kind);
        rooms.for_each(|entry| entry.send(&ToRoom::Message(raw.clone())));
        Ok(())
    }

    /// A player has another profile: tells the rooms in which they have a seat.
    pub(crate) fn set_profile(&mut self, player: &PlayerId, profile: &Value) {
        for (room, seat) in self.seats.all.get_mut(player).into_iter().flatten() {
            seat.player.profile = profile.clone();
            let frame = ToRoom::Profile { seat: seat.number, profile: profile.clone() };
            self.rooms.get(room).inspect(|entry| entry.send(&frame));
        }
    }

    /// Locks or unlocks a room for further players.
    pub fn lock(&mut self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.touch(room);
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.status.locked_by_lobby = locked;
        entry.note();
        Ok(())
    }

    /// Drains a room: only players who have a seat may come back to it, and it closes within this
    /// time. Players who are still in it then are told the reason.
    pub fn close(&mut self, room: &RoomId, left: Duration, reason: &str) -> Result<(), Refusal> {
        self.touch(room);
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.status.expected_exit |= entry.status.state != State::Killed;
        if entry.status.state == State::Running {
            entry.status.state = State::Draining;
        }
        entry.note();
        let remaining_ms = left.as_millis().try_into().unwrap_or(u64::MAX);
        entry.send(&ToRoom::Drain { remaining_ms, reason: truncate(reason) });
        Ok(())
    }

    pub(crate) fn kill(&mut self, room: &RoomId, exit: Exit) -> Result<(), Refusal> {
        self.touch(room);
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.status.expected_exit |= entry.status.state != State::Killed;
        entry.status.state = State::Killed;
        entry.process.kill(exit);
        Ok(())
    }

    /// Kills a room whose `on_open` did not return in time. This includes a room that the lobby has
    /// closed: it cannot have read the frame `Drain` yet.
    pub(crate) fn give_up(&mut self, room: &RoomId) {
        if let Some(entry) = self.rooms.get_mut(room).filter(|entry| !entry.status.opened) {
            let why = format!("not ready within {:?}", self.settings.ready_timeout);
            entry.status.state = State::Killed;
            entry.process.kill(Exit::NeverReady(why));
            self.touch(room);
        }
    }

    /// Drains all rooms, and starts no more.
    pub(crate) fn stop(&mut self, left: Duration) {
        self.closes_at = Some(later(clock::now(), left));
        self.pool.close();
        for room in self.ids() {
            let _ = self.close(&room, left, "The server is stopping.");
        }
    }

    /// Why no further player can come to a room.
    pub(crate) fn unready(&self) -> Vec<&'static str> {
        let stopping = self.closes_at.map(|_| "stopping");
        let failing = self.breaker.left(clock::now()).map(|_| "rooms_fail_to_start");
        stopping.into_iter().chain(failing).collect()
    }

    /// Refuses with `stopping` if the lobby is about to stop.
    pub(crate) fn check_stopping(&self) -> Result<(), Refusal> {
        self.closes_at.map_or(Ok(()), |_| Err(Refusal::STOPPING))
    }

    /// The list of public rooms may change.
    fn touch(&mut self, room: &RoomId) {
        if self.is_public(room) {
            self.touched_rooms.insert(room.0.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// How long to wait before `refill`; `None` if the pool is full and the circuit breaker closed.
    pub(crate) fn refill_delay(&self) -> Option<Duration> {
        self.breaker.left(clock::now()).or_else(|| self.pool.refill_delay())
    }

    /// Fills the pool of warm processes, unless the circuit breaker is open.
    pub(crate) fn refill(&mut self) {
        if self.check_starts().is_ok()
            && let Err(error) = self.pool.refill()
        {
            let error = format!("{error:#}");
            // It may take a while until there is a host, or one with a place.
            match self.settings.hosts.are_used() {
                true => debug!(error, "cannot start a warm room"),
                false => error!(error, "cannot start a warm room"),
            }
            self.start_failed(None);
        }
    }
}

impl Entry {
    fn info(&self) -> AnyRoom {
        let locked = self.is_locked();
        AnyRoom { players: self.status.players.len(), locked, ..self.room.clone() }
    }

    /// Whether this many more players may join.
    fn check(&self, players: usize) -> Result<(), Refusal> {
        if self.is_ending() || (self.is_locked() && players > 0) {
            Err(Refusal::ROOM_LOCKED)
        } else if self.status.players.len() + players > self.room.capacity {
            Err(Refusal::ROOM_FULL)
        } else {
            Ok(())
        }
    }

    /// Whether it accepts only players who have a seat, or nobody.
    fn is_locked(&self) -> bool {
        self.status.locked_by_lobby
            || self.status.locked_by_room
            || self.status.state != State::Running
    }

    fn is_ending(&self) -> bool {
        matches!(self.status.state, State::Ending | State::Killed)
    }

    /// Sends a frame. A room that does not read is killed as hung.
    fn send(&self, frame: &ToRoom) {
        self.process.kill_unless(self.process.sender.send(frame));
    }
}
