//! What has happened to whom: each fault, each connection that was lost, and whether its player is
//! back. What it means is judged in the end, when the log is complete.

use std::{
    collections::{BTreeMap, HashMap},
    process::ExitStatus,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

#[derive(Default)]
pub struct Book(Mutex<Pages>);

#[derive(Default)]
pub struct Pages {
    /// As in the log: how many lobbies there were before this one.
    pub era: usize,
    /// By room: what was done to it, and when.
    pub rooms: HashMap<String, (&'static str, Instant)>,
    /// When the lobby was ended, by what, and when it was there again.
    pub restarts: Vec<(&'static str, Instant, Option<Instant>)>,
    /// All faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    pub losses: Vec<Loss>,
    /// Where each player is, by number.
    pub places: Vec<Place>,
    /// Questions and answers of players whose room is in order.
    pub trips: Vec<Duration>,
    /// What was not granted, by event and code.
    pub refusals: BTreeMap<String, u64>,
    /// How the guests' misdeeds have ended.
    pub guests: BTreeMap<String, u64>,
    /// What must never happen.
    pub wrongs: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    OnTheWay,
    Lobby,
    Room(String),
    Gone,
}

/// A player was moved without having asked for it.
pub struct Loss {
    pub player: usize,
    /// The room that they were in or on the way to; `None`: the lobby.
    pub room: Option<String>,
    pub how: How,
    pub at: Instant,
    /// When `welcome` arrived, and its reason.
    pub back: Option<(Instant, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// A hook of the room has sent them to the lobby.
    Sent,
    /// The storm has cut their connection.
    Vanished,
    /// The line has ended, or was not let in, for this reason.
    Lost(String),
}

/// Why somebody was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// This fault, injected then.
    Fault(&'static str, Instant),
    /// As the room wanted, or because it was over.
    Wanted,
    /// None that is known.
    Mistake,
}

/// A lobby that is there again has accepted connections whose players may hear of it a little
/// later.
const AFTER_RESTART: Duration = Duration::from_secs(2);

/// What a room is called here: each lobby counts its rooms from 1.
pub fn key(era: usize, room: &str) -> String {
    format!("{era}/{room}")
}

impl Book {
    pub fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

impl Pages {
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub fn wrong(&mut self, what: impl Into<String>) {
        *self.wrongs.entry(what.into()).or_default() += 1;
    }

    /// `asked`: it was to stop in order. `orphans`: rooms that have not ended with it.
    pub fn lobby_ended(&mut self, status: ExitStatus, asked: bool, orphans: usize) {
        if asked && !status.success() {
            self.wrong(format!("the lobby was asked to stop, and ended with {status}"));
        }
        if orphans > 0 {
            self.wrong(format!("{orphans} rooms have outlived their lobby"));
        }
    }

    pub fn refused(&mut self, event: &str, code: &str) {
        *self.refusals.entry(format!("{event}: {code}")).or_default() += 1;
    }

    /// Where the loss is written down.
    pub fn lost(&mut self, player: usize, room: Option<String>, how: How) -> usize {
        self.losses.push(Loss { player, room, how, at: Instant::now(), back: None });
        self.losses.len() - 1
    }

    pub fn is_back(&mut self, loss: usize, reason: Option<String>) {
        self.losses[loss].back = Some((Instant::now(), reason));
    }

    /// Players who are on their way back.
    pub fn away(&self) -> usize {
        self.losses.iter().filter(|loss| loss.back.is_none()).count()
    }

    pub fn count(&self, place: impl Fn(&Place) -> bool) -> usize {
        self.places.iter().filter(|at| place(at)).count()
    }

    /// `has_ended`: whether a room has, by the log.
    pub fn cause(&self, loss: &Loss, has_ended: impl Fn(&str) -> bool) -> Cause {
        let room = loss.room.as_deref();
        let hit = room.and_then(|room| self.rooms.get(room)).filter(|(_, at)| *at <= loss.at);
        match (&loss.how, hit) {
            (How::Vanished, _) => return Cause::Fault(VANISHES, loss.at),
            (How::Lost(_), Some((kind, at))) => return Cause::Fault(kind, *at),
            (How::Lost(_), None) | (How::Sent, _) => {}
        }
        let restart = self.restarts.iter().rev().find(|(_, down, up)| {
            let over = up.is_some_and(|up| up + AFTER_RESTART < loss.at);
            *down <= loss.at && !over
        });
        match restart {
            Some((kind, down, _)) => Cause::Fault(kind, *down),
            None if loss.how == How::Sent || room.is_some_and(has_ended) => Cause::Wanted,
            None => Cause::Mistake,
        }
    }
}

/// The fault that hits a player alone.
pub const VANISHES: &str = "player vanishes";
