//! Creates rooms, within the limits for their number, and makes the codes of private ones.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use serde_json::Value;
use tracing::{error, info};

use crate::process::{RoomSpec, ToRoom, Usage};
use crate::rooms::{AnyRoom, Entry, Rooms, Status};
use crate::runtime::clock;
use crate::types::{PlayerId, Refusal, RoomId, refuse, to_raw};

/// Codes consist of consonants, so that they spell no words.
const LETTERS: &[u8] = b"BCDFGHJKLMPQRSTVWXZ";
/// Ten letters have 42 bits; `code_attempts.rs` limits guesses.
const CODE_LENGTH: usize = 10;
const _: () = assert!((LETTERS.len() as u64).pow(CODE_LENGTH as u32) > 1 << 40);

impl Rooms {
    /// Creates a room; `address` is its host's. Joins and messages may follow at once, and wait
    /// until it is ready.
    pub fn create(
        &mut self,
        spec: RoomSpec,
        address: Option<IpAddr>,
        options: Value,
        listing: Value,
    ) -> Result<RoomId, Refusal> {
        self.check_limits(&spec, address)?;
        let failed = |error: anyhow::Error| {
            error!(error = format!("{error:#}"), "cannot create a room");
            Refusal::NO_ROOM
        };
        let raw = to_raw(&options).map_err(failed)?;
        let taken = self.pool.take().inspect_err(|_| self.start_failed(spec.host.clone()));
        let (id, process) = taken.map_err(failed)?;
        let room = AnyRoom {
            id: id.clone(),
            kind: spec.kind.clone(),
            options,
            listing,
            host: spec.host.clone(),
            code: spec.code.clone(),
            players: 0,
            capacity: spec.capacity,
            locked: false,
            usage: Usage::default(),
        };
        *self.totals.started.entry(spec.kind.clone()).or_default() += 1;
        process.sender.send(&ToRoom::Open { options: raw, spec }).map_err(failed)?;
        let (kind, capacity, private) = (&room.kind, room.capacity, room.code.is_some());
        info!(room = %id, kind, capacity, private, "room created");
        let created = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let status = Status { created, host_address: address, ..Status::default() };
        self.rooms.entry(id.clone()).insert_entry(Entry { room, process, status }).get().note();
        self.touch(&id);
        Ok(id)
    }

    /// Refuses if the lobby may start no room, or none for this host.
    fn check_limits(&mut self, spec: &RoomSpec, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.check_stopping()?;
        self.check_starts()?;
        let host = spec.host.as_ref();
        let of_host = self.rooms.values().filter(|entry| entry.room.host.as_ref() == host).count();
        let of_address =
            self.rooms.values().filter(|entry| entry.status.host_address == address).count();
        // Rooms that failed to start count for a while: one player alone must not open the breaker.
        let failed = host.map_or(0, |host| self.breaker.failures_of(host, clock::now()));
        if (host.is_some() && of_host + failed >= self.settings.max_rooms_per_player)
            || (address.is_some() && of_address >= self.settings.max_rooms_per_address)
        {
            return Err(Refusal::TOO_MANY_ROOMS);
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(refuse("no_room", "All rooms are in use. Try again later."));
        }
        Ok(())
    }

    /// Refuses while the circuit breaker is open.
    pub(super) fn check_starts(&mut self) -> Result<(), Refusal> {
        let now = clock::now();
        if self.breaker.closes(now) {
            info!("rooms are started again");
        }
        self.breaker.left(now).map_or(Ok(()), |left| {
            let seconds = left.as_secs_f64().ceil();
            Err(refuse("no_room", format!("No room can be opened. Try again in {seconds} s.")))
        })
    }

    pub(super) fn start_failed(&mut self, host: Option<PlayerId>) {
        if self.breaker.record_failure(host, clock::now()) {
            let cooldown = self.settings.start_failure_cooldown;
            error!(?cooldown, "too many rooms failed to start; starting none for a while");
        }
    }

    /// The private room with this code, in upper or lower case, with or without its hyphen.
    pub fn find_code(&self, code: &str) -> Option<RoomId> {
        let mut code = code.replace([' ', '-'], "").to_ascii_uppercase();
        if code.is_char_boundary(CODE_LENGTH / 2) {
            code.insert(CODE_LENGTH / 2, '-');
        }
        let found = self.rooms.values().find(|entry| entry.room.code.as_ref() == Some(&code));
        found.map(|entry| entry.room.id.clone())
    }

    /// A code for a private room, which no other room has. Two groups are easier to read out.
    pub fn new_code(&self) -> String {
        loop {
            let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
            let mut code: String = (0..CODE_LENGTH).map(letter).collect();
            code.insert(CODE_LENGTH / 2, '-');
            if self.find_code(&code).is_none() {
                return code;
            }
        }
    }
}
