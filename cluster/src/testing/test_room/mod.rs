//! One room without processes, sockets or a real clock: the same core as in a room's process,
//! driven by a test. Hooks are called, events are sent and the room ends as with a lobby and a
//! process, in the same order; `cluster/tests/room/test_room_agrees.rs` compares the two.
//!
//! What differs, and why:
//!
//! - **Time** moves only in [`TestRoom::advance`], so no answer can wait for a timer. A hook that
//!   never returns blocks the test; a real room is killed as hung. Ticks are never late or skipped.
//! - **Spawned work** runs only in [`TestRoom::settle`], or while an answer is waited for.
//! - **A panic** in a hook fails the test, unless [`TestRoom::on_panic`] says what it does. One in
//!   `on_open` always does.
//! - **A message** that cannot be serialized, is over 60 KiB or does not read back fails the test.
//!   A real lobby refuses to send it, or the room crashes.
//! - **Quota limits and queues** are absent: nobody is refused with `too_fast`, and volatile events
//!   are never lost.
//! - **A refusal** of the room's is the value that the hook made. A lobby gets its code and its
//!   text.
//! - **The lobby** is absent, with its locks, its bans and other rooms. [`TestRoom::sent_on`] tells
//!   who would be sent to another room. The room's id is `test`, and it has no code.
//!
//! ```
//! # use cluster::{Answer, Player, Refusal, Room, RoomContext, testing::TestRoom, ok};
//! # cluster::messages! {
//! #     pub enum Say { Text(String) }
//! #     pub enum Said { Text(String) }
//! # }
//! # struct Echo;
//! # impl Room for Echo {
//! #     type Request = Say;
//! #     type Event = Said;
//! #     cluster::unused!(Options, FromLobby, ToLobby);
//! #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Echo) }
//! #     fn on_message(&mut self, room: &RoomContext<Self>, _: &Player, Say::Text(text): Say) -> Answer {
//! #         room.broadcast(Said::Text(text));
//! #         ok()
//! #     }
//! # }
//! use serde_json::json;
//!
//! let (seats, seed) = (2, 7);
//! let mut room = TestRoom::<Echo>::open((), seats, seed).unwrap();
//! let ann = room.join("Ann").unwrap();
//! room.emit(&ann, "text", json!("hello")).unwrap();
//! assert_eq!(room.last(&ann, "text"), Some(&json!("hello")));
//! ```

mod driver;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Bytes;
use crate::process::RoomSpec;
use crate::room::core::Core;
use crate::room::{Room, RoomContext, Tickets};
use crate::runtime::RoomPanic;
use crate::socketio::{BINARY, ConnId, RawEvent};
use crate::types::{
    Exit, LeaveReason, Player, PlayerId, Refusal, RoomId, Route, from_raw, refuse, to_raw, truncate,
};

/// As the settings have it by default.
const TICKET_TTL: Duration = Duration::from_secs(15);
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);

/// One event that a player was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its name.
    pub event: String,
    /// What it holds.
    pub data: Value,
    /// May be lost, or come late.
    pub volatile: bool,
    /// What an event of bytes holds; its `data` is null.
    pub bytes: Option<Bytes>,
}

/// A room under test. Nothing happens but what the test does.
pub struct TestRoom<R: Room> {
    life: Life<R>,
    tickets: Arc<Tickets>,
    now: Instant,
    conns: HashMap<ConnId, PlayerId>,
    /// The number of the seat that each player was given last.
    seats: HashMap<PlayerId, u64>,
    /// Why the seat that was asked for last is not to be had.
    hold_refused: Option<Refusal>,
    sent: HashMap<PlayerId, Vec<Sent>>,
    to_lobby: Vec<Box<RawValue>>,
    sent_on: Vec<(PlayerId, RoomId)>,
    /// The lobby wants the room to end, and lets nobody in any more.
    draining: bool,
    next: u64,
    /// For futures and computations that hooks give away; see [`TestRoom::settle`]. The last field:
    /// dropping it waits for computations, which see by then that nobody wants their results.
    runtime: Runtime,
}

enum Life<R: Room> {
    Open(Box<Core<R>>),
    /// While `on_dispose` is called.
    Ending,
    Over(Box<RoomContext<R>>, Exit),
}

impl<R: Room> TestRoom<R> {
    /// Opens a room with so many seats. The same seed gives the same random numbers. `Err`:
    /// `on_open` has refused, or the options cannot be written as JSON of at most 60 KiB.
    pub fn open(options: R::Options, seats: usize, seed: u64) -> Result<Self, Refusal> {
        Self::open_for(None, options, seats, seed)
    }

    /// The same with a host, who has yet to join.
    pub fn open_for(
        host: Option<&Player>,
        options: R::Options,
        seats: usize,
        seed: u64,
    ) -> Result<Self, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime for what hooks give away");
        let host = host.map(|player| player.id.clone());
        let spec = RoomSpec { kind: "test".to_owned(), capacity: seats, seed, host, code: None };
        let room = RoomContext::<R>::new(RoomId("test".to_owned()), spec, EMPTY_TIMEOUT);
        let now = room.scheduler.now.get();
        // As on their way from the lobby.
        let raw =
            serde_json::to_value(&options).map_err(Into::into).and_then(|value| to_raw(&value));
        let raw = raw.map_err(|error: anyhow::Error| refuse("no_room", error.to_string()))?;
        let options = from_raw(&raw).expect("options that read back");
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
            hold_refused: None,
            sent: HashMap::new(),
            to_lobby: Vec::new(),
            sent_on: Vec::new(),
            draining: false,
            next: 1,
        };
        // `on_open` may have closed the room already.
        test.run(|_| ());
        Ok(test)
    }

    /// From now on a panic in a hook does what the setting `--on-room-panic` says: it ends the
    /// room, or only the hook. Without this it fails the test.
    pub fn on_panic(&mut self, what: RoomPanic) {
        if let Life::Open(core) = &mut self.life {
            core.on_panic = Some(what);
        }
    }

    /// A new player comes, and is in the room. `Err`: it is full or locked, or `on_admit` has
    /// refused.
    pub fn join(&mut self, name: &str) -> Result<Player, Refusal> {
        let player = player(name);
        self.join_as(&player)?;
        Ok(player)
    }

    /// This player comes, or comes back: within the grace, or from another window.
    pub fn join_as(&mut self, player: &Player) -> Result<(), Refusal> {
        let ticket = self.ticket_for(player)?;
        self.tickets.redeem(&ticket, self.now)?;
        let conn = self.number();
        self.conns.insert(conn, player.id.clone());
        self.run(|core| core.connected(conn, &player.id));
        Ok(())
    }

    /// Gives a player a seat who has yet to come: they are `expected` for 15 s, or until `join_as`.
    pub fn reserve(&mut self, player: &Player) -> Result<(), Refusal> {
        self.ticket_for(player).map(drop)
    }

    /// A player's page emits an event and wants an answer: the answer, or the refusal. What is not
    /// of the right form or too large is refused before it reaches a hook, as on the wire; what is
    /// far too large ends the connection. `room_gone`: the connection has ended, and the answer is
    /// lost.
    pub fn emit(&mut self, from: &Player, event: &str, data: Value) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let text = json!([event, data]).to_string();
        self.check_size(from, text.len(), text.len())?;
        let event = RawEvent::parse(&text, None, true);
        let answer = self.run(|core| core.message(conn, event))?;
        self.await_answer(conn, answer)
    }

    /// A player's page sends bytes.
    pub fn emit_binary(&mut self, from: &Player, data: impl Into<Bytes>) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let data = data.into();
        let text = json!([BINARY, { "_placeholder": true, "num": 0 }]).to_string();
        self.check_size(from, text.len() + data.len(), data.len())?;
        let event = RawEvent::parse(&text, Some(data), true);
        let answer = self.run(|core| core.message(conn, event))?;
        self.await_answer(conn, answer)
    }

    /// A player's connection is lost.
    pub fn drop_player(&mut self, player: &Player) {
        self.hang_up(player, false);
    }

    /// A player leaves because they want to; one who is not connected gives up their seat in the
    /// lobby.
    pub fn leave(&mut self, player: &Player) {
        match self.conn_of(player) {
            Ok(_) => self.hang_up(player, true),
            Err(_) => self.about_seat(player, |core, seat| core.release(seat, LeaveReason::Left)),
        }
    }

    /// The lobby puts a player out, with its `kick`.
    pub fn kick(&mut self, player: &Player, reason: &str) {
        self.about_seat(player, |core, seat| {
            core.release(seat, LeaveReason::Kicked(truncate(reason)))
        });
    }

    /// Whom the room has sent to another room, with `send_to_room`, since this was asked last. They
    /// stay until
    /// [`TestRoom::move_on`], or until [`TestRoom::refuse_move`].
    pub fn sent_on(&mut self) -> Vec<(PlayerId, RoomId)> {
        std::mem::take(&mut self.sent_on)
    }

    /// A player has a seat in another room, and goes there.
    pub fn move_on(&mut self, player: &Player, room: &RoomId) {
        let ticket = self.number().to_string();
        let to = Route { room: room.clone(), ticket };
        self.about_seat(player, |core, seat| core.transferred(seat, Some(to)));
    }

    /// A player was refused a seat in another room, and stays.
    pub fn refuse_move(&mut self, player: &Player, refusal: &Refusal) {
        self.about_seat(player, |core, seat| core.refused(seat, refusal));
    }

    /// The lobby says something.
    pub fn tell(&mut self, message: R::FromLobby) {
        if self.is_over() {
            return;
        }
        let raw =
            to_raw(&message).expect("a message from the lobby is JSON, and no larger than 60 KiB");
        self.run(|core| core.lobby_message(&raw)).expect("it reads what it has written");
    }

    /// The lobby wants the room to end within `left`, with the reason `closed`, and lets nobody in
    /// any more.
    pub fn drain(&mut self, left: Duration) {
        if self.is_over() {
            return;
        }
        self.draining = true;
        self.run(|core| core.drain(left, "closed".to_owned()));
    }

    /// Moves the clock: timers, ticks, graces and time limits come when they are due, in order.
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

    /// Waits, in real time, until all that hooks gave away with `spawn` and `compute` is done and
    /// its calls were made. Until then nothing of it happens, whatever [`TestRoom::advance`] does.
    pub fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Waits for the next call only, such as one report of a computation. False: there is none
    /// left.
    pub fn settle_one(&mut self) -> bool {
        let Life::Open(core) = &self.life else { return false };
        let call = self.runtime.block_on(core.room.scheduler.next_call());
        let called = call.map(|call| self.run(|core| core.call(call)));
        called.is_some()
    }

    /// What the player was sent since this was asked last, with the cluster's own events such as
    /// `joined` and `player_left`.
    pub fn sent(&mut self, to: &Player) -> Vec<Sent> {
        self.sent.remove(&to.id).unwrap_or_default()
    }

    /// The data of the last event of this name that the player was sent and that has not been
    /// taken.
    pub fn last(&self, to: &Player, event: &str) -> Option<&Value> {
        let sent = self.sent.get(&to.id)?;
        Some(&sent.iter().rev().find(|sent| sent.event == event)?.data)
    }

    /// What the lobby was told since this was asked last.
    pub fn told_lobby(&mut self) -> Vec<R::ToLobby> {
        let messages = std::mem::take(&mut self.to_lobby).into_iter();
        messages.map(|raw| from_raw(&raw).expect("a message that reads back")).collect()
    }

    /// The room's state. Panics when the room has ended: `on_dispose` has taken it.
    pub fn game(&self) -> &R {
        match &self.life {
            Life::Open(core) => &core.game,
            _ => panic!("the room has ended, and `on_dispose` has taken its state"),
        }
    }

    /// The room's handle, with its players and its settings.
    pub fn room(&self) -> &RoomContext<R> {
        match &self.life {
            Life::Open(core) => &core.room,
            Life::Over(room, _) => room,
            Life::Ending => unreachable!("only while `on_dispose` is called"),
        }
    }

    /// How the room has ended, as `on_room_exit` would hear it; `None`: it has not. Its
    /// `on_dispose` was called.
    pub fn exit(&self) -> Option<Exit> {
        match &self.life {
            Life::Over(_, verdict) => Some(verdict.clone()),
            _ => None,
        }
    }
}

/// A player whose id is their name: for options that name players, for a host.
pub fn player(name: &str) -> Player {
    Player { id: PlayerId(name.to_owned()), name: name.to_owned() }
}

#[cfg(test)]
mod tests;
