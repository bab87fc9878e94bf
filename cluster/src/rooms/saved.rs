//! What a reload keeps of the rooms: each with its seats and its process.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::ensure;
use futures_util::TryFutureExt as _;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::{ENDS, RoomProcess, Supervisors};
use crate::rooms::seats::Seats;
use crate::rooms::{AnyRoom, Entry, Rooms, State, Status};
use crate::types::RoomId;

/// How long a reload waits until what was sent to rooms is written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
pub(crate) struct SavedRooms {
    pub rooms: Vec<SavedRoom>,
    seats: Seats,
    next_room: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SavedRoom {
    pub kind: String,
    pub room: AnyRoom,
    code: Option<String>,
    status: Status,
    pub process: RoomProcess,
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

    /// Waits until all rooms have been sent what is queued for them. Fails if one does not read.
    pub(crate) fn flush(&self) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let senders = self.rooms.values().map(|entry| entry.process.sender.clone());
        let flushed = try_join_all(senders.map(async |sender| {
            ensure!(sender.flush(FLUSH_TIMEOUT).await, "a room does not read its channel");
            Ok(())
        }));
        flushed.map_ok(drop)
    }

    /// The rooms, whose processes are paused, and the ends of these.
    pub(crate) fn save(&mut self) -> anyhow::Result<(Value, Vec<OwnedFd>)> {
        let paused = std::mem::take(&mut self.paused).into_iter();
        let rooms = paused.filter_map(|(id, (process, ends))| {
            let Entry { room, status, .. } = self.rooms.get(&id)?;
            let (kind, code) = (room.kind.to_owned(), room.code.clone());
            let (room, status) = (room.clone(), status.clone());
            Some((SavedRoom { kind, room, code, status, process }, ends))
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
        for SavedRoom { room, code, mut status, process, .. } in saved.rooms {
            let process = supervisors.supervise(process, ends.by_ref().take(ENDS).collect())?;
            let id = room.id.clone();
            if status.opened && matches!(status.state, State::Running | State::Draining) {
                self.routes.open(id.clone(), process.sender.clone());
            }
            status.adopted = true;
            self.rooms.insert(id, Entry { room: AnyRoom { code, ..room }, process, status });
        }
        Ok(())
    }
}
