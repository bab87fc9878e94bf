//! One room without processes, sockets or a real clock: the core of a real room, driven by a test.
//! Order and effects are the same; `cluster/tests/room/test_room_agrees.rs` compares the two.
//!
//! What differs, and why:
//!
//! - **Time** moves only in [`TestRoom::advance`], so no answer can wait for a timer. A hook that
//!   never returns blocks the test; a real room is killed as hung. Ticks are never late or skipped.
//! - **Spawned work** runs only in [`TestRoom::settle`], or while a request waits for its answer.
//! - **A panic** in a hook fails the test, unless [`TestRoom::on_panic`] says what it does. One in
//!   `on_open` always does.
//! - **A message** that cannot be serialized, is over 60 KiB or cannot be deserialized fails the
//!   test. A real lobby refuses to send it, or the room crashes.
//! - **Rate limits and queues** are absent: no `too_fast`, and no volatile event is lost.
//! - **A refusal** is the value that the hook returned. A real lobby gets its code and message.
//! - **The lobby** is absent, with its locks, its bans and other rooms. [`TestRoom::sent_on`]
//!   returns the players who would be transferred to another room. The room's id is `test`, and it
//!   has no code.
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
//! #     fn on_message(&mut self, room: &RoomContext<Self>, _: &Player, say: Say) -> Answer {
//! #         let Say::Text(text) = say;
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

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::SelectAll};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    Bytes,
    process::channel::RoomAbout,
    room::{context::RoomContext, core::Core, hooks::Room, tickets::Tickets},
    runtime::{panics::RoomPanic, scheduler::Task},
    socketio::{events::BINARY, packet::ConnId},
    types::{Exit, LeaveReason, Player, PlayerId, Refusal, RoomId, Route, from_raw, short, to_raw},
};

/// The default of the setting.
const TICKET_TTL: Duration = Duration::from_secs(15);
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);

/// An event that a player was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its name.
    pub event: String,
    /// Its data.
    pub data: Value,
    /// Whether it was sent as volatile: it may be lost or delayed.
    pub volatile: bool,
    /// The bytes of a binary event; its `data` is null.
    pub bytes: Option<Bytes>,
}

/// A room under test. Nothing happens unless the test does it.
pub struct TestRoom<R: Room> {
    life: Life<R>,
    tickets: Arc<Tickets>,
    now: Instant,
    tasks: SelectAll<Task<R, RoomContext<R>>>,
    conns: HashMap<ConnId, PlayerId>,
    /// The last seat of each player.
    seats: HashMap<PlayerId, u64>,
    /// Why the last request for a seat was refused.
    hold_refused: Option<Refusal>,
    sent: HashMap<PlayerId, Vec<Sent>>,
    to_lobby: Vec<Box<RawValue>>,
    sent_on: Vec<(PlayerId, RoomId)>,
    /// The lobby drains the room and lets nobody in.
    draining: bool,
    next: u64,
    /// Runs spawned work. The last field: dropping it waits for computations, by then cancelled.
    runtime: Runtime,
}

enum Life<R: Room> {
    Open(Box<Core<R>>),
    /// During `on_dispose`.
    Ending,
    Over(Box<RoomContext<R>>, Exit),
}

impl<R: Room> TestRoom<R> {
    /// Opens a room with this many seats. The same seed gives the same random numbers. `Err`:
    /// `on_open` has refused, or the options are not JSON of at most 60 KiB.
    pub fn open(options: R::Options, seats: usize, seed: u64) -> Result<Self, Refusal> {
        Self::open_for(None, options, seats, seed)
    }

    /// The same with a host, who has not joined yet.
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
        let about = RoomAbout { kind: "test".to_owned(), capacity: seats, seed, host, code: None };
        let room = RoomContext::<R>::new(RoomId("test".to_owned()), about, EMPTY_TIMEOUT);
        let now = room.now();
        // Serialized as on the way from the lobby.
        let raw =
            serde_json::to_value(&options).map_err(Into::into).and_then(|value| to_raw(&value));
        let raw = raw.map_err(|error: anyhow::Error| Refusal::no_room(error))?;
        let options = from_raw(&raw).expect("options that read back");
        let game = runtime.block_on(R::on_open(options, &room))?;
        let tickets = Arc::new(Tickets::default());
        let core = Core::new(game, room, tickets.clone(), TICKET_TTL, None);
        let mut test = TestRoom {
            life: Life::Open(Box::new(core)),
            tickets,
            now,
            runtime,
            tasks: SelectAll::new(),
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

    /// Handles panics in hooks as `--on-room-panic` does. Without this they fail the test.
    pub fn on_panic(&mut self, what: RoomPanic) {
        if let Life::Open(core) = &mut self.life {
            core.set_on_panic(what);
        }
    }

    /// A new player joins. `Err`: the room is full or locked, or `on_admit` has refused.
    pub fn join(&mut self, name: &str) -> Result<Player, Refusal> {
        let player = player(name);
        self.join_as(&player)?;
        Ok(player)
    }

    /// This player joins or returns: within the grace period, or in another window.
    pub fn join_as(&mut self, player: &Player) -> Result<(), Refusal> {
        let ticket = self.ticket_for(player)?;
        self.tickets.redeem(&ticket, self.now)?;
        let conn = self.number();
        self.conns.insert(conn, player.id.clone());
        self.run(|core| core.connected(conn, &player.id));
        Ok(())
    }

    /// Reserves a seat for a player: they are `expected` for 15 s, or until `join_as`.
    pub fn reserve(&mut self, player: &Player) -> Result<(), Refusal> {
        self.ticket_for(player).map(drop)
    }

    /// A player's page emits an event: returns the answer or the refusal. A malformed or too large
    /// message is refused before it reaches a hook, as on the wire; one that is far too large ends
    /// the connection. `room_gone`: the connection has ended and the answer is lost.
    pub fn emit(&mut self, from: &Player, event: &str, data: Value) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let size = json!([event, data]).to_string().len();
        self.check_size(from, size, size)?;
        let data = to_raw_value(&data).map_err(Refusal::bad_message)?;
        let answer = self.run(|core| core.message(conn, event, Some(&*data)))?;
        self.await_answer(conn, answer)
    }

    /// A player's page sends bytes.
    pub fn emit_binary(&mut self, from: &Player, data: impl Into<Bytes>) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let data = data.into();
        let beside = json!([BINARY, { "_placeholder": true, "num": 0 }]).to_string();
        self.check_size(from, beside.len() + data.len(), data.len())?;
        let answer = self.run(|core| core.binary(conn, data))?;
        self.await_answer(conn, answer)
    }

    /// A player's connection is lost.
    pub fn drop_player(&mut self, player: &Player) {
        self.hang_up(player, false);
    }

    /// A player leaves on purpose; one who is not connected gives up their seat in the lobby.
    pub fn leave(&mut self, player: &Player) {
        match self.conn_of(player) {
            Ok(_) => self.hang_up(player, true),
            Err(_) => self.about_seat(player, |core, seat| core.release(seat, LeaveReason::Left)),
        }
    }

    /// The lobby kicks a player.
    pub fn kick(&mut self, player: &Player, reason: &str) {
        let reason = LeaveReason::Kicked(short(reason));
        self.about_seat(player, |core, seat| core.release(seat, reason));
    }

    /// The players whom the room has transferred with `send_to_room` since the last call. They stay
    /// until [`TestRoom::move_on`] or [`TestRoom::refuse_move`].
    pub fn sent_on(&mut self) -> Vec<(PlayerId, RoomId)> {
        std::mem::take(&mut self.sent_on)
    }

    /// A player has got a seat in another room and moves there.
    pub fn move_on(&mut self, player: &Player, room: &RoomId) {
        let ticket = self.number().to_string();
        let to = Route { room: room.clone(), ticket };
        self.about_seat(player, |core, seat| core.transfer(seat, Some(to)));
    }

    /// A player was refused a seat in another room, and stays.
    pub fn refuse_move(&mut self, player: &Player, refusal: &Refusal) {
        self.about_seat(player, |core, seat| core.refused(seat, refusal));
    }

    /// The lobby sends a message.
    pub fn tell(&mut self, message: R::FromLobby) {
        if self.is_over() {
            return;
        }
        let raw = to_raw(&message).expect("a message is JSON of at most 60 KiB");
        self.run(|core| core.lobby_message(&raw)).expect("it reads what it has written");
    }

    /// The lobby drains the room: it must end within `left`, as `closed`, and lets nobody in.
    pub fn drain(&mut self, left: Duration) {
        if self.is_over() {
            return;
        }
        self.draining = true;
        self.run(|core| core.drain(left, "closed".to_owned()));
    }

    /// Advances the clock: timers, ticks, grace periods and time limits are due in order.
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
            core.set_now(end);
        }
    }

    /// Waits, in real time, for all spawned work and calls its callbacks; nothing else does so.
    pub fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Waits for the next callback only. `false`: there is none left.
    pub fn settle_one(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let call = self.runtime.block_on(self.tasks.next());
        let called = call.map(|call| self.run(|core| core.call(call)));
        called.is_some()
    }

    /// The events that the player was sent since the last call, including the structure's own such
    /// as `joined` and `player_left`.
    pub fn sent(&mut self, to: &Player) -> Vec<Sent> {
        self.sent.remove(&to.id).unwrap_or_default()
    }

    /// The data of the last event of this name that the player was sent and that has not been
    /// taken.
    pub fn last(&self, to: &Player, event: &str) -> Option<&Value> {
        let sent = self.sent.get(&to.id)?;
        Some(&sent.iter().rev().find(|sent| sent.event == event)?.data)
    }

    /// The messages to the lobby since the last call.
    pub fn told_lobby(&mut self) -> Vec<R::ToLobby> {
        let messages = std::mem::take(&mut self.to_lobby).into_iter();
        messages.map(|raw| from_raw(&raw).expect("a message that reads back")).collect()
    }

    /// The room's state. Panics when the room has ended, as `on_dispose` has taken it.
    pub fn game(&self) -> &R {
        match &self.life {
            Life::Open(core) => core.game(),
            _ => panic!("the room has ended, and `on_dispose` has taken its state"),
        }
    }

    /// The room's context, with its players and settings.
    pub fn room(&self) -> &RoomContext<R> {
        match &self.life {
            Life::Open(core) => core.handle(),
            Life::Over(room, _) => room,
            Life::Ending => unreachable!("only while `on_dispose` is called"),
        }
    }

    /// How the room has ended, as passed to `on_room_exit`, after `on_dispose`. `None`: it has not
    /// ended.
    pub fn exit(&self) -> Option<Exit> {
        match &self.life {
            Life::Over(_, verdict) => Some(verdict.clone()),
            _ => None,
        }
    }
}

/// A player whose id is their name, for options that name players and for a host.
pub fn player(name: &str) -> Player {
    Player { id: PlayerId(name.to_owned()), name: name.to_owned() }
}

#[cfg(test)]
mod tests;
