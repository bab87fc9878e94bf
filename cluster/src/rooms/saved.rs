//! What a reload keeps of the rooms: each with its seats and its process. And what the lobby adopts
//! of rooms that run on hosts: they describe themselves.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{
    Description, ENDS, End, Process, RoomProcess, Supervisors, TakenSeat, ToRoom,
};
use crate::rooms::seats::{Seat, SeatPlace, Seats};
use crate::rooms::{AnyRoom, Entry, Rooms, State, Status};
use crate::runtime::{clock, later};
use crate::types::{AnyPlayer, Exit, LeaveReason, RoomId, to_raw};

/// How long a reload waits until what was sent to rooms is written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// No lobby gives so many seats.
const MAX_NUMBER: u64 = 1 << 53;

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

    /// Whether its process was started by an earlier lobby, which may be another build.
    pub(crate) fn is_adopted(&self, room: &RoomId) -> bool {
        self.rooms.get(room).is_some_and(|entry| entry.status.adopted)
    }

    /// Whether all rooms are paused, and nobody supervises any other process. One that is killed
    /// may have paused before.
    pub(crate) fn are_paused(&self, supervisors: usize) -> bool {
        let is_paused = |(id, entry): (&RoomId, &Entry)| {
            self.paused.contains_key(id) && entry.status.state != State::Killed
        };
        self.rooms.len() == supervisors && self.rooms.iter().all(is_paused)
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

    /// Goes on with a room of an earlier lobby. Returns those who have a seat there and no
    /// connection. One that `check` refuses, or whose description does not fit together, is killed.
    pub(crate) fn adopt(
        &mut self,
        id: &RoomId,
        process: Process,
        description: Description,
        check: impl FnOnce(&AnyRoom) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<AnyPlayer>> {
        let Description { note, seats, listing, locked } = description;
        let read = || {
            let note = note.context("without a note")?;
            let entry: Entry<()> = serde_json::from_str(note.get())?;
            ensure!(entry.room.id == *id, "with the note of room {}", entry.room.id);
            let in_range = seats.iter().all(|seat| seat.seat < MAX_NUMBER);
            ensure!(in_range, "with seats that no lobby has given");
            check(&entry.room).map(|()| entry)
        };
        let read = read().inspect_err(|_| {
            process.kill(Exit::Closed);
        });
        let Entry { mut room, mut status, .. } = read?;
        if !listing.is_null() {
            room.listing = listing;
        }
        (status.adopted, status.opened, status.locked_by_room) = (true, true, locked);
        self.routes.open(id.clone(), process.sender.clone());
        self.rooms.insert(id.clone(), Entry { room, process, status });
        let away = seats.iter().filter(|seat| seat.left_ms.is_some());
        let mut away: Vec<_> = away.map(|seat| seat.player.clone()).collect();
        seats.into_iter().for_each(|seat| self.adopt_seat(id, seat));
        away.retain(|player| self.seats.latest.get(&player.id) == Some(id));
        self.touch(id);
        Ok(away)
    }

    /// Takes over a seat that a room of an earlier lobby has given. Of two seats of a player, the
    /// one that they have come to stays, or the later one.
    fn adopt_seat(&mut self, room: &RoomId, taken: TakenSeat) {
        let TakenSeat { seat: number, player, joined, left_ms } = taken;
        let until = left_ms.map(|left| later(clock::now(), Duration::from_millis(left)));
        let place = match until {
            _ if !joined => SeatPlace::Expected,
            Some(until) => SeatPlace::Away { until },
            None => SeatPlace::Connected,
        };
        self.seats.last_number = self.seats.last_number.max(number);
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.status.players.insert(number, player.id.clone());
        let id = player.id.clone();
        let rank = |seat: &Seat| (seat.place != SeatPlace::Expected, seat.number);
        let (ticket, join, from, rerouted) = (String::new(), 0, None, true);
        let seat = Seat { number, player, place, ticket, join, from, rerouted };
        let other = self.seats.latest.get(&id).and_then(|other| self.seat(&id, other));
        let stays = other.is_none_or(|other| rank(other) < rank(&seat));
        self.touched_players.insert(id.0.clone());
        self.seats.all.entry(id.clone()).or_default().insert(room.clone(), seat);
        let given_up = match stays {
            true => self.seats.latest.insert(id.clone(), room.clone()),
            false => Some(room.clone()),
        };
        let release = |seat| ToRoom::Release { seat, reason: LeaveReason::Moved };
        given_up.inspect(|given_up| self.send_about(given_up, &id, release));
    }
}

impl Entry {
    /// Tells a room on a host what the lobby after this one must know of it.
    pub(super) fn note(&self) {
        if matches!(self.process.sender.end, End::Remote(_)) {
            let status = Status { players: HashMap::new(), ..self.status.clone() };
            let note = to_raw(&Entry { room: self.room.clone(), process: (), status });
            note.into_iter().for_each(|note| self.send(&ToRoom::Note(note)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::{Settings, Size};
    use crate::process::{RoomSpec, Sender};

    /// Two rooms that run.
    fn rooms() -> Rooms {
        let starter = |number: u64| {
            let sender = Sender::new(mpsc::unbounded_channel().0, End::Host);
            let process = Process { sender, output: Default::default(), kill: Default::default() };
            Ok((RoomId(number.to_string()), process))
        };
        let settings = Settings::parse_from(["lobby"]);
        let mut rooms = Rooms::new(settings, Box::new(starter), Arc::default());
        for seed in 0..2 {
            let (kind, memory) = ("game".to_owned(), Size(0));
            let spec = RoomSpec { kind, capacity: 1, memory, seed, host: None, code: None };
            rooms.create(spec, None, json!({}), json!({})).expect("a room");
        }
        rooms
    }

    fn pause(rooms: &mut Rooms, number: u64) {
        let room = RoomId(number.to_string());
        let process =
            RoomProcess { room: room.clone(), pid: 1, warm: true, announced: None, unread: vec![] };
        rooms.paused.insert(room, (process, vec![]));
    }

    #[test]
    fn a_reload_keeps_every_room_although_a_process_that_is_killed_has_paused() {
        // The third is warm. It is killed, but the lobby has not been told so far.
        let mut all = rooms();
        pause(&mut all, 2);
        pause(&mut all, 3);
        assert!(!all.are_paused(2), "room 1 has not paused");
        pause(&mut all, 1);
        assert!(!all.are_paused(3), "the third is not reaped");
        assert!(all.are_paused(2));
        // It is not reaped, and room 1 is.
        all.kill(&RoomId("1".to_owned()), Exit::Hung).expect("a room");
        assert!(!all.are_paused(2), "room 1 is killed");
    }
}
