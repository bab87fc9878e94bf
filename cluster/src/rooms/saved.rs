//! What a reload keeps of the rooms: each with its seats and its process.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::ensure;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{ENDS, RoomProcess, Supervisors};
use crate::rooms::seats::Seats;
use crate::rooms::{Entry, Rooms, State};
use crate::types::RoomId;

/// How long a reload waits until what was sent to rooms is written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
pub(crate) struct SavedRooms {
    pub rooms: Vec<Entry<RoomProcess>>,
    seats: Seats,
    next_room: u64,
}

impl Rooms {
    pub(crate) fn is_draining(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.status.state == State::Draining)
    }

    /// Whether its process was started by the previous program, which may be another build.
    pub(crate) fn is_adopted(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.status.adopted)
    }

    /// Whether this many processes are paused, and all rooms are among them.
    pub(crate) fn are_paused(&self, processes: usize) -> bool {
        self.paused.len() == processes && self.rooms.len() == processes
    }

    /// Waits until all rooms have been sent what is queued for them. Returns `false` if one does
    /// not read.
    pub(crate) fn flush(&self) -> impl Future<Output = bool> + use<> {
        let senders = self.rooms.values().map(|entry| entry.process.sender.clone());
        let flushed = join_all(senders.map(async |sender| sender.flush(FLUSH_TIMEOUT).await));
        flushed.map(|flushed| !flushed.contains(&false))
    }

    /// The rooms, whose processes are paused, and the ends of these.
    pub(crate) fn save(&mut self) -> anyhow::Result<(Value, Vec<OwnedFd>)> {
        let paused = std::mem::take(&mut self.paused).into_iter();
        let rooms = paused.filter_map(|(id, (process, ends))| {
            let Entry { room, status, .. } = self.rooms.get(&id)?;
            Some((Entry { room: room.clone(), process, status: status.clone() }, ends))
        });
        let (rooms, ends): (Vec<_>, Vec<_>) = rooms.unzip();
        let is_whole = ends.iter().all(|ends| ends.len() == ENDS);
        ensure!(is_whole, "too few open files are allowed");
        let saved = json!({
            "rooms": rooms,
            "seats": self.seats,
            "next_room": self.pool.next_room,
        });
        Ok((saved, ends.into_iter().flatten().collect()))
    }

    /// Takes over the rooms of the previous program, and the ends of their processes.
    pub(crate) fn restore(
        &mut self,
        saved: SavedRooms,
        ends: Vec<OwnedFd>,
        supervisors: &Supervisors,
    ) -> anyhow::Result<()> {
        (self.seats, self.pool.next_room) = (saved.seats, saved.next_room);
        let mut ends = ends.into_iter();
        for Entry { room, process, mut status } in saved.rooms {
            let process = supervisors.supervise(process, ends.by_ref().take(ENDS).collect())?;
            if status.opened && matches!(status.state, State::Running | State::Draining) {
                self.routes.open(room.id.clone(), process.sender.clone());
            }
            status.adopted = true;
            self.rooms.insert(room.id.clone(), Entry { room, process, status });
        }
        Ok(())
    }
}
