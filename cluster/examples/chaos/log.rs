//! Reads the lobby's log while it is written: the process of each room, how rooms ended, and
//! panics. Also keeps it in a file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::Pid;
use serde_json::Value;

use crate::record::key;

#[derive(Clone)]
pub struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
pub struct Seen {
    /// By era and id, as in [`crate::record::key`], including those of earlier lobbies.
    pub rooms: BTreeMap<String, Room>,
    /// Panics, and how often.
    pub panics: BTreeMap<String, u64>,
    /// How often the lobby has reloaded, or has said why it could not.
    pub reloads: u64,
    /// Other errors in the log.
    pub errors: BTreeMap<String, u64>,
    /// The first line of a panic, by room; empty for the lobby.
    half_told: HashMap<String, String>,
    /// How many lobbies there were before this one: each counts its rooms from 1.
    era: usize,
    file: Option<File>,
}

pub struct Room {
    pub pid: Pid,
    pub ready: bool,
    /// Why it ended, as logged.
    pub ended: Option<String>,
}

impl Log {
    pub fn new(file: &Path) -> std::io::Result<Log> {
        let seen = Seen { file: Some(File::create(file)?), ..Seen::default() };
        Ok(Log(Arc::new(Mutex::new(seen))))
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

impl Seen {
    /// The processes of rooms without a logged end.
    pub fn rooms_left(&self) -> Vec<Pid> {
        let rooms = self.rooms.values().filter(|room| room.ended.is_none());
        rooms.map(|room| room.pid).collect()
    }

    /// The lobby has ended, and its rooms with it.
    pub fn forget_lobby(&mut self) {
        self.era += 1;
        for room in self.rooms.values_mut() {
            room.ended.get_or_insert_with(|| "the lobby has ended".to_owned());
        }
    }

    pub fn line(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{line}");
        }
        // The lobby's stderr is not JSON.
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return self.may_panic("", line.trim());
        };
        let message = line["message"].as_str().unwrap_or_default();
        self.reloads +=
            u64::from(["reloaded", "not reloaded; nothing has changed"].contains(&message));
        let Some(id) = line["room"].as_str() else {
            return self.may_fail(&line, message);
        };
        let what = line["what"].as_str().or(line["why"].as_str()).or(line["how"].as_str());
        let room = key(self.era, id);
        match (message, self.rooms.get_mut(&room)) {
            ("spawned", _) => {
                let pid = line["pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
                let Some(pid) = pid else { return };
                self.rooms.insert(room, Room { pid, ready: false, ended: None });
            }
            ("room ready", Some(room)) => room.ready = true,
            (
                "room ended"
                | "room crashed"
                | "room hung and was killed"
                | "room never became ready"
                | "a warm room ended",
                Some(room),
            ) => {
                let how = what.map_or(message.to_owned(), |what| format!("{message}: {what}"));
                room.ended = Some(how);
            }
            _ => {
                self.may_panic(id, message);
                self.may_fail(&line, message);
            }
        }
    }

    /// `thread 'main' panicked at src/room.rs:7:9:`, and in the next line why.
    fn may_panic(&mut self, id: &str, line: &str) {
        if let Some(place) = self.half_told.remove(id) {
            let who = if id.is_empty() { "lobby" } else { "room" };
            *self.panics.entry(format!("{who}, {place} {line}")).or_default() += 1;
        } else if let Some((_, place)) = line.split_once(" panicked at ") {
            self.half_told.insert(id.to_owned(), place.to_owned());
        }
    }

    fn may_fail(&mut self, line: &Value, message: &str) {
        // The panic is already counted with its location.
        if line["level"] == "ERROR" && line["hook"].is_null() {
            *self.errors.entry(message.to_owned()).or_default() += 1;
        }
    }
}
