//! A room under test: the core of a room's process, driven by a test. `players.rs` has how
//! players come and go; `driver.rs` runs the core for each input and records its output.

#[cfg(test)]
pub(crate) mod core;
mod driver;
mod players;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Bytes;
use crate::config::Size;
use crate::process::RoomSpec;
use crate::room::core::Core;
use crate::room::{Room, RoomContext, Tickets};
use crate::runtime::RoomPanic;
use crate::socketio::events::BINARY;
use crate::socketio::{ConnId, RawEvent};
use crate::types::{Exit, Player, PlayerId, Refusal, RoomId, refuse, to_raw};

/// The defaults of `--ticket-ttl` and `--empty-timeout`.
const TICKET_TTL: Duration = Duration::from_secs(15);
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);
/// The default of `--room-memory`, which has no effect here.
const MEMORY: Size = Size(1 << 30);

/// An event that was sent to a player: one of the room's own, or of the cluster, such as `joined`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its name, such as `said` for `Event::Said`.
    pub event: String,
    /// Its data.
    pub data: Value,
    /// Whether it was sent as volatile: it may be lost.
    pub volatile: bool,
    /// The bytes of a binary event, whose `data` is null.
    pub bytes: Option<Bytes>,
}

/// A room under test. Nothing happens by itself, only by the test's calls.
///
/// It is the same core as in a room's process. Hooks are called, events are sent and the room ends
/// as with a lobby and a process, in the same order; a test of the structure compares the two. What
/// differs, and why:
///
/// - **Time** passes only in [`advance`](Self::advance), so an answer cannot wait for a timer. A
///   hook that never returns blocks the test; a real room would be killed as hung. Ticks are never
///   late.
/// - **Spawned work** runs only in [`settle`](Self::settle), and while an answer is awaited.
/// - **A panic** in a hook fails the test, unless [`on_panic`](Self::on_panic) sets another policy.
///   A panic in `on_open` always fails it.
/// - **A message** for [`tell`](Self::tell) that cannot be serialized and parsed again, or is
///   larger than 60 KiB, fails the test. Outside of tests it is refused, or the room crashes.
/// - **Rate limits and queues** are absent: no request is refused with `too_fast`, and volatile
///   events are never lost.
/// - **The lobby** is absent, with its locks, its bans and other rooms
///   ([`transfers`](Self::transfers)). The room's id and kind are `test`.
///
/// The [module](crate::testing) has an example.
pub struct TestRoom<R: Room> {
    life: Life<R>,
    tickets: Arc<Tickets>,
    now: Instant,
    conns: HashMap<ConnId, PlayerId>,
    /// The number of each player's latest seat.
    seats: HashMap<PlayerId, u64>,
    /// Why the latest reservation was refused.
    reserve_refused: Option<Refusal>,
    sent: HashMap<PlayerId, Vec<Sent>>,
    to_lobby: Vec<Box<RawValue>>,
    transfers: Vec<(PlayerId, RoomId)>,
    listing: Value,
    /// The lobby has drained the room: it admits nobody new.
    draining: bool,
    next: u64,
    /// Runs spawned futures and computations; see [`TestRoom::settle`]. The last field: dropping it
    /// waits for computations, which are cancelled by then.
    runtime: Runtime,
}

enum Life<R: Room> {
    Open(Box<Core<R>>),
    /// While `on_dispose` runs.
    Ending,
    Over(Box<RoomContext<R>>, Exit),
}

impl<R: Room> TestRoom<R> {
    /// Opens a room with this many seats. The same seed gives the same random numbers. `Err`:
    /// `on_open` refused, or the options cannot be serialized as JSON of at most 60 KiB.
    pub fn open(options: R::Options, seats: usize, seed: u64) -> Result<Self, Refusal> {
        Self::open_for(None, options, seats, seed)
    }

    /// The same with a host, who has not joined yet.
    pub fn open_for(
        host: Option<&Player<R::Profile>>,
        options: R::Options,
        seats: usize,
        seed: u64,
    ) -> Result<Self, Refusal> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let host = host.map(|player| player.id.clone());
        let (kind, memory) = ("test".to_owned(), MEMORY);
        let spec = RoomSpec { kind, capacity: seats, memory, seed, host, code: None };
        let room = RoomContext::<R>::new(RoomId("test".to_owned()), spec, EMPTY_TIMEOUT);
        let now = room.scheduler.now.get();
        // As the lobby sends them.
        let raw =
            serde_json::to_value(&options).map_err(Into::into).and_then(|value| to_raw(&value));
        let raw = raw.map_err(|error: anyhow::Error| refuse("no_room", error.to_string()))?;
        let options = serde_json::from_str(raw.get()).expect("options that can be parsed again");
        let game = runtime.block_on(R::on_open(options, &room))?;
        let tickets = Arc::new(Tickets::default());
        let core = Core::new(game, room, tickets.clone(), TICKET_TTL, None);
        let mut test = TestRoom {
            life: Life::Open(Box::new(core)),
            tickets,
            now,
            runtime,
            conns: HashMap::new(),
            seats: HashMap::new(),
            reserve_refused: None,
            sent: HashMap::new(),
            to_lobby: Vec::new(),
            transfers: Vec::new(),
            listing: Value::Null,
            draining: false,
            next: 1,
        };
        // `on_open` may have closed the room already.
        test.run(|_| ());
        Ok(test)
    }

    /// From now on a panic in a hook has the effect of this setting of `--on-room-panic`. By
    /// default it fails the test.
    pub fn on_panic(&mut self, what: RoomPanic) {
        if let Life::Open(core) = &mut self.life {
            core.on_panic = Some(what);
        }
    }

    /// A player's page sends a request; returns the answer or the refusal. A malformed or too large
    /// request is refused before it reaches a hook; one that is far too large closes the
    /// connection. `not_in_room`, `room_gone`: the connection was closed, and the answer is lost.
    pub fn emit(
        &mut self,
        from: &Player<R::Profile>,
        event: &str,
        data: Value,
    ) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let text = json!([event, data]).to_string();
        self.check_size(from, text.len(), text.len())?;
        let event = RawEvent::parse(&text, vec![], true);
        let answer = self.run(|core| core.message(conn, event))?;
        self.await_answer(conn, answer)
    }

    /// A player's page sends bytes; otherwise as [`emit`](Self::emit).
    pub fn emit_binary(
        &mut self,
        from: &Player<R::Profile>,
        data: impl Into<Bytes>,
    ) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let data = data.into();
        let text = json!([BINARY, { "_placeholder": true, "num": 0 }]).to_string();
        self.check_size(from, text.len() + data.len(), data.len())?;
        let event = RawEvent::parse(&text, vec![data], true);
        let answer = self.run(|core| core.message(conn, event))?;
        self.await_answer(conn, answer)
    }

    /// The lobby sends a message.
    ///
    /// # Panics
    /// If it cannot be serialized and parsed again, or is larger than 60 KiB as JSON.
    pub fn tell(&mut self, message: R::FromLobby) {
        if self.is_over() {
            return;
        }
        let raw = to_raw(&message).expect("a message of at most 60 KiB that serializes as JSON");
        self.run(|core| core.lobby_message(&raw)).expect("a message that can be parsed");
    }

    /// The lobby drains the room: it admits nobody new, and closes within `left` with the reason
    /// `closed`.
    pub fn drain(&mut self, left: Duration) {
        if self.is_over() {
            return;
        }
        self.draining = true;
        self.run(|core| core.drain(left, "closed".to_owned()));
    }

    /// Moves the clock. Timers, ticks and timeouts fire when they are due, in order.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Life::Open(core) = &self.life
            && let Some(due) = core.deadline().filter(|due| *due <= end)
        {
            self.now = due.max(self.now);
            self.run(|_| ());
        }
        self.now = end;
        if let Life::Open(core) = &mut self.life {
            core.at(end);
        }
    }

    /// Waits, in real time, until all spawned futures and computations have ended and their
    /// callbacks were called. Until then they run only in [`TestRoom::settle_one`] and while an
    /// answer is awaited, not in [`TestRoom::advance`].
    pub fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Waits for the next callback only, such as one report of a computation. Returns `false` if
    /// none is left.
    pub fn settle_one(&mut self) -> bool {
        let Life::Open(core) = &self.life else { return false };
        let call = self.runtime.block_on(core.room.scheduler.next_call());
        let called = call.map(|call| self.run(|core| core.call(call)));
        called.is_some()
    }

    /// The events sent to the player since the last call, including the cluster's own, such as
    /// `joined` and `player_left`.
    pub fn sent(&mut self, to: &Player<R::Profile>) -> Vec<Sent> {
        self.sent.remove(&to.id).unwrap_or_default()
    }

    /// The data of the latest event of this name that was sent to the player since
    /// [`TestRoom::sent`].
    pub fn last(&self, to: &Player<R::Profile>, event: &str) -> Option<&Value> {
        let sent = self.sent.get(&to.id)?;
        Some(&sent.iter().rev().find(|sent| sent.event == event)?.data)
    }

    /// The room's state as it was sent to the player last, since [`TestRoom::sent`]; `None` if it
    /// was not sent since. A second `sync` within 50 ms waits: [`advance`](Self::advance) first.
    pub fn state(&self, to: &Player<R::Profile>) -> Option<&Value> {
        Some(&self.last(to, "room_state")?["state"])
    }

    /// What the lobby was told last to show in the list of rooms. A second change within 100 ms
    /// waits:
    /// [`advance`](Self::advance) first.
    pub fn listing(&self) -> R::Listing {
        serde_json::from_value(self.listing.clone()).unwrap_or_default()
    }

    /// The messages sent to the lobby with `tell_lobby` since the last call.
    pub fn told_lobby(&mut self) -> Vec<R::ToLobby> {
        let messages = std::mem::take(&mut self.to_lobby).into_iter();
        messages
            .map(|raw| serde_json::from_str(raw.get()).expect("a message that can be parsed"))
            .collect()
    }

    /// The room's state.
    ///
    /// # Panics
    /// If the room has ended: `on_dispose` has consumed it.
    pub fn game(&self) -> &R {
        match &self.life {
            Life::Open(core) => &core.game,
            _ => panic!("the room has ended: `on_dispose` has consumed its state"),
        }
    }

    /// The room's context, also after its end.
    pub fn room(&self) -> &RoomContext<R> {
        match &self.life {
            Life::Open(core) => &core.room,
            Life::Over(room, _) => room,
            Life::Ending => unreachable!("only while `on_dispose` runs"),
        }
    }

    /// How the room ended, as passed to `on_room_exit`; `None` while it runs.
    pub fn exit(&self) -> Option<Exit> {
        match &self.life {
            Life::Over(_, verdict) => Some(verdict.clone()),
            _ => None,
        }
    }
}

/// A player whose id is their name, with the default profile, for options that contain players, or
/// as a host.
pub fn player<Profile: Default>(name: &str) -> Player<Profile> {
    let profile = Profile::default();
    Player { id: PlayerId(name.to_owned()), name: name.to_owned(), profile }
}

#[cfg(test)]
mod tests;
