//! Records each fault, each lost connection, and whether its player is back. The report judges them
//! when the log is complete.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cluster::testing::Disconnect;

#[derive(Default)]
pub struct Record(Mutex<Events>);

#[derive(Default)]
pub struct Events {
    /// How many lobbies there were before this one, as in `log.rs`.
    pub era: usize,
    /// By room: the fault that hit it, and when.
    pub rooms: HashMap<String, (&'static str, Instant)>,
    /// How the keys of rooms on a host that was hit begin, the fault, and when.
    pub hosts: Vec<(String, &'static str, Instant)>,
    /// Rooms run on hosts, and players reach them there: they outlive their lobby.
    pub outlive: bool,
    /// When the lobby was ended, by which fault, and when it was ready again.
    pub restarts: Vec<(&'static str, Instant, Option<Instant>)>,
    /// All faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    pub losses: Vec<Loss>,
    /// Where each player is, by number.
    pub places: Vec<Place>,
    /// Round trips of players' requests.
    pub trips: Vec<Duration>,
    /// Refusals, by event and code.
    pub refusals: BTreeMap<String, u64>,
    /// Outcomes of misbehaving clients.
    pub clients: BTreeMap<String, u64>,
    /// What must never happen.
    pub violations: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    OnTheWay,
    Lobby,
    Room(String),
    Gone,
}

/// A player lost their place without having asked for it.
pub struct Loss {
    pub player: usize,
    /// The room in which they were or to which they were sent; `None`: the lobby.
    pub room: Option<String>,
    pub how: Disconnect,
    pub at: Instant,
    /// When they received `welcome`, and its reason.
    pub back: Option<(Instant, Option<String>)>,
}

/// Why a player lost their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// This fault, injected then.
    Fault(&'static str, Instant),
    /// By a decision of the room, or because it ended.
    Wanted,
    /// Unknown.
    Mistake,
}

/// How long after a restart of the lobby a lost connection may still be due to it.
const AFTER_RESTART: Duration = Duration::from_secs(2);

/// How long after a fault of a host a lost connection may still be due to it: it stands still for
/// eight seconds.
const AFTER_HOST: Duration = Duration::from_secs(15);

/// A room's key: each lobby counts its rooms from 1.
pub fn key(era: usize, room: &str) -> String {
    format!("{era}/{room}")
}

impl Record {
    pub fn lock(&self) -> MutexGuard<'_, Events> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

impl Events {
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub fn violation(&mut self, what: impl Into<String>) {
        *self.violations.entry(what.into()).or_default() += 1;
    }

    /// `asked`: whether it was asked to stop. `orphans`: rooms that have not ended with it.
    pub fn lobby_ended(&mut self, status: ExitStatus, asked: bool, orphans: usize) {
        if asked && !status.success() {
            self.violation(format!("the lobby was asked to stop, and ended with {status}"));
        }
        if orphans > 0 {
            self.violation(format!("{orphans} rooms have outlived their lobby"));
        }
    }

    pub fn refused(&mut self, event: &str, code: &str) {
        *self.refusals.entry(format!("{event}: {code}")).or_default() += 1;
    }

    /// Records a loss and returns its index.
    pub fn lost(&mut self, player: usize, room: Option<String>, how: Disconnect) -> usize {
        self.losses.push(Loss { player, room, how, at: Instant::now(), back: None });
        self.losses.len() - 1
    }

    pub fn is_back(&mut self, loss: usize, reason: Option<String>) {
        self.losses[loss].back = Some((Instant::now(), reason));
    }

    /// Players who are not back yet.
    pub fn away(&self) -> usize {
        self.losses.iter().filter(|loss| loss.back.is_none()).count()
    }

    pub fn count(&self, place: impl Fn(&Place) -> bool) -> usize {
        self.places.iter().filter(|at| place(at)).count()
    }

    /// `has_ended`: whether a room has ended, by the log.
    pub fn cause(&self, loss: &Loss, has_ended: impl Fn(&str) -> bool) -> Cause {
        let room = loss.room.as_deref();
        let hit = room.and_then(|room| self.rooms.get(room)).filter(|(_, at)| *at <= loss.at);
        match (&loss.how, hit) {
            (Disconnect::Vanished, _) => return Cause::Fault(VANISHES, loss.at),
            (Disconnect::Lost(_), Some((kind, at))) => return Cause::Fault(kind, *at),
            (Disconnect::Lost(_), None) | (Disconnect::Sent | Disconnect::Quit, _) => {}
        }
        let of_host = |(rooms, _, at): &&(String, &str, Instant)| {
            let is_its = room.is_some_and(|room| room.starts_with(&**rooms));
            is_its && *at <= loss.at && loss.at < *at + AFTER_HOST
        };
        if let Some((_, kind, at)) = self.hosts.iter().rev().find(of_host) {
            return Cause::Fault(kind, *at);
        }
        let restart = self.restarts.iter().rev().find(|(kind, down, up)| {
            let over = up.is_some_and(|up| up + AFTER_RESTART < loss.at);
            let cuts = room.is_none() || (*kind != RELOADS && !self.outlive);
            *down <= loss.at && !over && cuts
        });
        match restart {
            Some((kind, down, _)) => Cause::Fault(kind, *down),
            None if loss.how == Disconnect::Sent || room.is_some_and(has_ended) => Cause::Wanted,
            None => Cause::Mistake,
        }
    }
}

/// The fault that hits only one player.
pub const VANISHES: &str = "player vanishes";
/// The fault that hits only players in the lobby.
pub const RELOADS: &str = "lobby reloads (SIGHUP)";
