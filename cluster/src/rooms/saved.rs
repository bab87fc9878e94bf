//! What a reload keeps of the rooms: each with its seats and its process.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::{ENDS, Process, RoomProcess};
use crate::rooms::seats::{PendingJoin, Seat};
use crate::rooms::{AnyRoom, Entry, Rooms, State, Status};
use crate::types::{PlayerId, RoomId};

/// How long a reload waits until what was sent to rooms is written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
pub(crate) struct SavedRooms {
    pub rooms: Vec<SavedRoom>,
    seats: HashMap<PlayerId, HashMap<RoomId, Seat>>,
    seated: HashMap<PlayerId, RoomId>,
    joins: HashMap<u64, PendingJoin>,
    last_number: u64,
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
    /// Ends the warm processes, which are of the old program.
    pub(crate) fn end_warm(&mut self) {
        self.pool.clear();
    }

    /// A reload has failed.
    pub(crate) fn resume(&mut self) {
        self.paused.clear();
    }

    pub(crate) fn is_draining(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.status.state == State::Draining)
    }

    /// Whether its process was started by the program before, which may be another build.
    pub(crate) fn is_adopted(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.status.adopted)
    }

    /// Whether this many processes are paused, and all rooms are among them.
    pub(crate) fn are_paused(&self, processes: usize) -> bool {
        self.paused.len() == processes && self.rooms.len() == processes
    }

    /// Waits until all rooms have been sent what is queued for them.
    pub(crate) fn flush(&self) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let senders = self.rooms.values().map(|entry| entry.process.sender.clone());
        let flushed = senders.map(async |sender| sender.flush(FLUSH_TIMEOUT).await);
        let flushed = join_all(flushed);
        async {
            ensure!(
                flushed.await.iter().all(|flushed| *flushed),
                "a room does not read its channel"
            );
            Ok(())
        }
    }

    /// The rooms, whose processes are paused, and the ends of these.
    pub(crate) fn save(&mut self) -> anyhow::Result<(Value, Vec<OwnedFd>)> {
        let rooms = std::mem::take(&mut self.paused).into_iter().filter_map(|(id, process)| {
            let Entry { room, status, .. } = self.rooms.get(&id)?;
            let (kind, code) = (room.kind.to_owned(), room.code.clone());
            Some(SavedRoom { kind, room: room.clone(), code, status: status.clone(), process })
        });
        let rooms: Vec<_> = rooms.collect();
        let is_whole = |room: &SavedRoom| room.process.ends.len() == ENDS;
        ensure!(rooms.iter().all(is_whole), "too few open files are allowed");
        let saved = json!({
            "rooms": rooms,
            "seats": self.seats,
            "seated": self.seated,
            "joins": self.joins,
            "last_number": self.last_number,
            "next_room": self.pool.next_room,
        });
        Ok((saved, rooms.into_iter().flat_map(|saved| saved.process.ends).collect()))
    }

    /// Takes over the rooms of the program before, which are of these kinds. `supervise` starts the
    /// supervisor of a process.
    pub(crate) fn restore(
        &mut self,
        saved: SavedRooms,
        kinds: &[&'static str],
        supervise: impl Fn(RoomProcess) -> anyhow::Result<Process>,
    ) -> anyhow::Result<()> {
        let SavedRooms { rooms, seats, seated, joins, last_number, next_room } = saved;
        (self.seats, self.seated, self.joins, self.last_number) =
            (seats, seated, joins, last_number);
        self.pool.next_room = next_room;
        for SavedRoom { kind: name, room, code, mut status, process } in rooms {
            let kind = kinds.iter().find(|kind| **kind == name).context("a kind is missing")?;
            let (id, process) = (room.id.clone(), supervise(process)?);
            if status.opened && matches!(status.state, State::Running | State::Draining) {
                self.routes.open(id.clone(), process.sender.clone());
            }
            status.adopted = true;
            self.rooms.insert(id, Entry { room: AnyRoom { kind, code, ..room }, process, status });
        }
        Ok(())
    }
}
