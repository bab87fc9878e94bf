//! What the metrics tell of rooms.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::rooms::{Entry, Rooms, State};
use crate::types::RoomId;

/// The rooms in numbers, by kind. Those of ended rooms are totals since the lobby started.
#[derive(Clone, Default)]
pub(crate) struct RoomFigures {
    /// By kind and state.
    pub rooms: BTreeMap<(String, &'static str), u64>,
    pub seats: BTreeMap<String, u64>,
    pub seats_taken: BTreeMap<String, u64>,
    pub memory: BTreeMap<String, u64>,
    /// Processor time.
    pub cpu: BTreeMap<String, Duration>,
    pub started: BTreeMap<String, u64>,
    /// By kind and how.
    pub ended: BTreeMap<(String, &'static str), u64>,
}

impl Rooms {
    /// The totals, and the rooms that there are.
    pub(crate) fn figures(&self) -> RoomFigures {
        let mut figures = self.totals.clone();
        for entry in self.rooms.values() {
            let kind = || entry.room.kind.clone();
            *figures.rooms.entry((kind(), entry.state_name())).or_default() += 1;
            *figures.seats.entry(kind()).or_default() += entry.room.capacity as u64;
            *figures.seats_taken.entry(kind()).or_default() += entry.status.players.len() as u64;
            let memory = figures.memory.entry(kind()).or_default();
            *memory = memory.saturating_add(entry.room.usage.memory);
            let cpu = figures.cpu.entry(kind()).or_default();
            *cpu = cpu.saturating_add(entry.room.usage.cpu);
        }
        figures
    }

    /// All rooms, for the admin page.
    pub(crate) fn overview(&self) -> Vec<Value> {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let show = |id: &RoomId| {
            let entry = self.rooms.get(id)?;
            let Entry { room, status, .. } = entry;
            Some(json!({
                "room": id,
                "kind": room.kind,
                "state": entry.state_name(),
                "seats": room.capacity,
                "private": room.code.is_some(),
                "locked": entry.is_locked(),
                "age_s": now.saturating_sub(status.created),
                "cpu_s": room.usage.cpu.as_secs_f64(),
                "memory": room.usage.memory,
                "tick_delay_ms": room.usage.tick_delay_ms,
            }))
        };
        self.ids().iter().filter_map(show).collect()
    }

    /// What a room has printed last.
    pub(crate) fn last_lines(&self, room: &RoomId) -> Option<String> {
        Some(self.rooms.get(room)?.process.output.lines())
    }

    /// How many wait for the outcome of a join.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn requesters(&self) -> usize {
        let requesters = self.seats.joins.values().flat_map(|join| &join.requesters);
        requesters.filter(|requester| !requester.answer.is_closed()).count()
    }
}

impl Entry {
    fn state_name(&self) -> &'static str {
        match self.status.state {
            State::Running if !self.status.opened => "opening",
            State::Running => "running",
            State::Draining => "draining",
            State::Ending | State::Killed => "ending",
        }
    }
}
