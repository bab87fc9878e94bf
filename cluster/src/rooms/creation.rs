//! Rooms are opened: by whom, how many, and with what code.

use std::{collections::HashMap, net::IpAddr, rc::Rc};

use serde::Serialize;

use tracing::{error, info};

use crate::{
    process::channel::{RoomSpec, ToRoom},
    rooms::{Entry, Rooms, State},
    runtime::clock,
    types::{PlayerId, Refusal, RoomId, to_raw},
};

/// For whom a room is created.
pub struct Host {
    pub player: PlayerId,
    /// Where he connects from, if it is not from this machine.
    pub address: Option<IpAddr>,
}

/// Letters of codes: consonants, so that they spell nothing.
const LETTERS: &[u8] = b"BCDFGHJKLMPQRSTVWXZ";
/// Letters in a code: 47 million codes, short enough to be told. `code_attempts.rs` keeps out programs that
/// try them all.
const CODE_LENGTH: usize = 6;

impl Rooms {
    /// Creates a room. It can be joined and told things at once; all that waits until it is ready.
    pub fn create(
        &mut self,
        kind: &'static str,
        host: Option<Host>,
        private: bool,
        capacity: usize,
        options: impl Serialize + 'static,
    ) -> Result<RoomId, Refusal> {
        if self.stopping {
            return Err(Refusal::STOPPING);
        }
        self.check_starts()?;
        if let Some(host) = &host {
            self.may_open(host)?;
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(Refusal::no_room(format!("all {} are in use", self.settings.max_rooms)));
        }
        let no_room = |error: anyhow::Error| {
            error!(error = format!("{error:#}"), "cannot create a room");
            Refusal::no_room("see the server's log")
        };
        // The list of rooms is made of values: what cannot be one shows here.
        let shown = serde_json::to_value(&options).map_err(Into::into).map_err(no_room)?;
        let raw = to_raw(&shown).map_err(no_room)?;
        let (id, process) = match self.pool.take() {
            Ok(process) => process,
            Err(error) => {
                self.died_at_start(host.map(|host| host.player));
                return Err(no_room(error));
            }
        };
        let code = private.then(|| self.new_code());
        let (host, address) = host.map(|host| (host.player, host.address)).unzip();
        let about = RoomSpec { kind: kind.to_owned(), capacity, seed: rand::random(), host, code };
        let open = ToRoom::Open { options: raw, spec: about.clone() };
        process.sender.send(&open).map_err(no_room)?;
        let number = id.0.parse().unwrap_or(u64::MAX);
        info!(room = %id, kind, capacity, private, "room created");
        let entry = Entry {
            number,
            kind,
            process,
            state: State::Opening,
            opened: false,
            expected_exit: false,
            shown,
            options: Rc::new(options),
            about,
            host_address: address.flatten(),
            locked: false,
            locked_itself: false,
            seats: HashMap::new(),
        };
        self.rooms.insert(id.clone(), entry);
        self.changed = true;
        Ok(id)
    }

    /// Whether he has not opened as many rooms as he may, nor all of his address together.
    fn may_open(&self, host: &Host) -> Result<(), Refusal> {
        let count = |is_his: &dyn Fn(&Entry) -> bool| {
            self.rooms.values().filter(|entry| is_his(entry)).count()
        };
        let his = count(&|entry| entry.about.host.as_ref() == Some(&host.player));
        // What he has opened and what died of it counts for a while, or one alone could trip the breaker.
        let his = his + self.breaker.deaths_of(&host.player, clock::now());
        let theirs = count(&|entry| entry.host_address == host.address);
        match his < self.settings.max_rooms_per_player
            && (host.address.is_none() || theirs < self.settings.max_rooms_per_address)
        {
            true => Ok(()),
            false => Err(Refusal::TOO_MANY_ROOMS),
        }
    }

    /// Refuses while too many rooms have died at their start.
    pub(super) fn check_starts(&mut self) -> Result<(), Refusal> {
        let now = clock::now();
        if self.breaker.recovers(now) {
            info!("rooms are started again");
        }
        let Some(left) = self.breaker.left(now) else {
            return Ok(());
        };
        let seconds = left.as_secs_f64().ceil();
        let text = format!("too many have died at their start; try again in {seconds} s");
        Err(Refusal::no_room(text))
    }

    pub(super) fn died_at_start(&mut self, host: Option<PlayerId>) {
        if self.breaker.died(host, clock::now()) {
            let (deaths, pause) = (self.settings.failed_starts, self.settings.failed_starts_pause);
            error!(deaths, ?pause, "too many rooms die at their start; starting none for a while");
        }
    }

    /// The room with this code, in capitals or not.
    pub fn find_code(&self, code: &str) -> Option<RoomId> {
        let code = code.trim().to_ascii_uppercase();
        let mut rooms = self.rooms.iter();
        let found = rooms.find(|(_, entry)| entry.about.code.as_deref() == Some(&code));
        found.map(|(id, _)| id.clone())
    }

    fn new_code(&self) -> String {
        loop {
            let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
            let code: String = (0..CODE_LENGTH).map(letter).collect();
            if self.find_code(&code).is_none() {
                return code;
            }
        }
    }
}
