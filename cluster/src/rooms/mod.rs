//! The registry of rooms: opens (`creation.rs`), finds, messages and closes rooms, and counts their seats (`seats.rs`);
//! what rooms say reaches it in `process_events.rs`. The only place that starts or ends processes, and the only one that
//! gives seats away.

mod circuit_breaker;
pub(crate) mod code_attempts;
mod creation;
mod process_events;
mod seats;

use std::{any::Any, collections::HashMap, net::IpAddr, rc::Rc, time::Duration};

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::mpsc;
use tracing::{error, warn};

pub use crate::rooms::creation::Host;
use crate::rooms::{
    circuit_breaker::Breaker,
    seats::{Reservation, Seat},
};
pub(crate) use crate::rooms::{
    process_events::RoomNotice,
    seats::{Placement, Requester},
};

use crate::{
    config::settings::Settings,
    process::{
        channel::{RoomSpec, ToRoom},
        pool::Pool,
        supervisor::{Process, ProcessEvent},
    },
    routing::gateway::GatewayRoutes,
    runtime::clock,
    types::{Exit, Player, PlayerId, Refusal, RoomId, short, to_raw},
};

/// What the lobby knows of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomInfo<Options> {
    /// Its number, as text.
    #[serde(rename = "room")]
    pub id: RoomId,
    /// Its kind, as `main.rs` names it.
    pub kind: &'static str,
    /// What it was created with.
    pub options: Options,
    /// For whom it was created; `None`: the lobby did so on its own.
    pub host: Option<PlayerId>,
    /// What lets players into a private room, which is in no list; `None`: the room is public.
    #[serde(skip)]
    pub code: Option<String>,
    /// Seats taken: players in the room, away for a moment, or on their way.
    pub players: usize,
    /// Seats in all.
    pub capacity: usize,
    /// Takes no more players.
    pub locked: bool,
}

/// A room of whatever kind.
pub(crate) type AnyRoom = RoomInfo<Rc<dyn Any>>;

impl AnyRoom {
    /// With the options of its kind; `None`: these are of another one.
    pub(crate) fn typed<Options: Clone + 'static>(self) -> Option<RoomInfo<Options>> {
        let options = self.options.downcast_ref::<Options>()?.clone();
        Some(self.with(options))
    }
}

impl<Options> RoomInfo<Options> {
    fn with<Other>(self, options: Other) -> RoomInfo<Other> {
        let RoomInfo { id, kind, host, code, players, capacity, locked, .. } = self;
        RoomInfo { id, kind, options, host, code, players, capacity, locked }
    }
}

pub struct Rooms {
    settings: Settings,
    /// Open for the rooms that are ready.
    routes: GatewayRoutes,
    rooms: HashMap<RoomId, Entry>,
    pool: Pool,
    breaker: Breaker,
    /// Where each player was given a seat last.
    seated: HashMap<PlayerId, RoomId>,
    /// Seats that the rooms have not confirmed yet.
    joins: HashMap<u64, Reservation>,
    next_seat: u64,
    next_join: u64,
    stopping: bool,
    /// Something that the list of rooms shows is different.
    changed: bool,
}

struct Entry {
    number: u64,
    kind: &'static str,
    process: Process,
    state: State,
    /// It has said that it is ready, or why it cannot be.
    opened: bool,
    /// If it ends before that, it is for a good reason.
    expected_exit: bool,
    /// As the kind of room has them, and as the list of rooms shows them.
    options: Rc<dyn Any>,
    shown: Value,
    about: RoomSpec,
    host_address: Option<IpAddr>,
    /// By the lobby.
    locked: bool,
    /// By itself.
    locked_itself: bool,
    seats: HashMap<PlayerId, Seat>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Ready,
    /// Takes nobody any more.
    Ending,
    /// Killed: what it still says does not count.
    Killed,
}

impl Rooms {
    pub(crate) fn new(
        settings: Settings,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
        routes: GatewayRoutes,
    ) -> anyhow::Result<Self> {
        Ok(Rooms {
            pool: Pool::new(settings.clone(), inbox)?,
            breaker: Breaker::new(settings.failed_starts, settings.failed_starts_pause),
            settings,
            routes,
            rooms: HashMap::new(),
            seated: HashMap::new(),
            joins: HashMap::new(),
            next_seat: 1,
            next_join: 1,
            stopping: false,
            changed: false,
        })
    }

    /// The rooms, oldest first.
    pub fn list(&self) -> Vec<AnyRoom> {
        self.oldest_first().map(|(id, entry)| entry.info(id)).collect()
    }

    /// Those that everybody may know of, as browsers are told of them.
    pub(crate) fn public(&self) -> Vec<RoomInfo<Value>> {
        let public = self.oldest_first().filter(|(_, entry)| entry.about.code.is_none());
        public.map(|(id, entry)| entry.info(id).with(entry.shown.clone())).collect()
    }

    fn oldest_first(&self) -> impl Iterator<Item = (&RoomId, &Entry)> {
        let mut rooms: Vec<_> = self.rooms.iter().collect();
        rooms.sort_by_key(|(_, entry)| entry.number);
        rooms.into_iter()
    }

    /// Whether there is such a room of this kind, and it is not about to end.
    pub fn lasts(&self, room: &RoomId, kind: &str) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.kind == kind && !entry.is_ending())
    }

    pub fn find(&self, room: &RoomId) -> Option<AnyRoom> {
        Some(self.rooms.get(room)?.info(room))
    }

    /// The public rooms that would take so many more players.
    pub fn joinable(&self, players: usize) -> impl Iterator<Item = AnyRoom> {
        let open = self
            .rooms
            .iter()
            .filter(move |(_, entry)| entry.about.code.is_none() && entry.check(players).is_ok());
        open.map(|(id, entry)| entry.info(id))
    }

    /// Sends a message to a room of this kind; one that is not ready yet gets it when it is.
    pub fn tell(&self, kind: &str, room: &RoomId, message: &impl Serialize) -> Result<(), Refusal> {
        let entry = self.rooms.get(room).filter(|entry| entry.kind == kind);
        let entry = entry.ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.send(&ToRoom::Message(encode(message)?));
        Ok(())
    }

    /// Sends a message to all rooms of this kind.
    pub fn tell_all(&self, kind: &str, message: &impl Serialize) -> Result<(), Refusal> {
        let raw = encode(message)?;
        let rooms = self.rooms.values().filter(|entry| entry.kind == kind);
        rooms.for_each(|entry| entry.send(&ToRoom::Message(raw.clone())));
        Ok(())
    }

    /// Takes no more players in this room, or takes them again.
    pub fn lock(&mut self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?.locked = locked;
        self.changed = true;
        Ok(())
    }

    /// Asks a room to end: it takes nobody any more, and closes after the stop timeout at the latest.
    /// Who is still in it then is told the reason.
    pub fn close(&mut self, room: &RoomId, reason: &str) -> Result<(), Refusal> {
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        if entry.state != State::Killed {
            entry.state = State::Ending;
            entry.expected_exit = true;
        }
        let left_ms = self.settings.stop_timeout.as_millis() as u64;
        entry.send(&ToRoom::Drain { left_ms, reason: short(reason) });
        self.changed = true;
        Ok(())
    }

    /// Kills a room's process.
    pub(crate) fn kill(&mut self, room: &RoomId, exit: Exit) -> Result<(), Refusal> {
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.expected_exit |= entry.state != State::Killed;
        entry.kill(exit);
        Ok(())
    }

    /// Kills a room that has not become ready by now.
    pub(crate) fn give_up(&mut self, room: &RoomId) {
        // Also one that was asked to end meanwhile: it has not heard of it.
        let opening = self.rooms.get_mut(room).filter(|entry| !entry.opened);
        if let Some(entry) = opening {
            let why = format!("not ready within {:?}", self.settings.ready_timeout);
            entry.kill(Exit::NeverReady(why));
        }
    }

    /// Asks all rooms to end, and starts none any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.pool.close();
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            let _ = self.close(&room, "The server is stopping.");
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Whether the list of rooms may have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When warm rooms are to be started.
    pub(crate) fn refill_delay(&self) -> Option<Duration> {
        self.breaker.left(clock::now()).or_else(|| self.pool.refill_delay())
    }

    /// Starts warm rooms, unless too many have died.
    pub(crate) fn refill(&mut self) {
        if self.check_starts().is_ok() && !self.pool.refill() {
            self.died_at_start(None);
        }
    }
}

impl Entry {
    fn info(&self, id: &RoomId) -> AnyRoom {
        RoomInfo {
            id: id.clone(),
            kind: self.kind,
            options: self.options.clone(),
            host: self.about.host.clone(),
            code: self.about.code.clone(),
            players: self.seats.len(),
            capacity: self.about.capacity,
            locked: self.is_locked() || self.is_ending(),
        }
    }

    /// The player of the seat with this number.
    fn player_in(&self, seat: u64) -> Option<&Player> {
        self.seats
            .values()
            .find(|reserved| reserved.number == seat)
            .map(|reserved| &reserved.player)
    }

    /// Whether so many more players may come.
    fn check(&self, players: usize) -> Result<(), Refusal> {
        if self.is_ending() || (self.is_locked() && players > 0) {
            Err(Refusal::ROOM_LOCKED)
        } else if self.seats.len() + players > self.about.capacity {
            Err(Refusal::ROOM_FULL)
        } else {
            Ok(())
        }
    }

    fn is_locked(&self) -> bool {
        self.locked || self.locked_itself
    }

    fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending | State::Killed)
    }

    fn kill(&mut self, exit: Exit) {
        self.state = State::Killed;
        self.process.kill(exit);
    }

    /// A room that does not read what it is told counts as hung.
    fn send(&self, frame: &ToRoom) {
        if let Err(error) = self.process.sender.send(frame) {
            // Once: it is told more until it is gone.
            if self.process.kill(Exit::Hung) {
                warn!(error = format!("{error:#}"), "a room does not take a message");
            }
        }
    }
}

fn encode(message: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    to_raw(message).map_err(|error| {
        error!(%error, "a message to a room was not sent");
        Refusal::INTERNAL
    })
}
