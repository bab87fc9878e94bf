//! A stage for one room, without processes, sockets or a real clock: the same core as in a room's
//! process, driven by a test. What hooks hear, what players are sent and how the room ends are the same as with a
//! lobby and a room's process, in the same order; `tests/room/test_room_agrees.rs` compares the two.
//!
//! What differs, and why:
//!
//! - **Time** moves only in [`Stage::advance`], so no answer can wait for a timer. A hook that never returns
//!   holds the test up; a real room is killed as hung. Ticks are never late or skipped.
//! - **Work given away** goes on only in [`Stage::settle`], or while an answer is waited for.
//! - **A panic** in a hook fails the test, unless [`Stage::on_panic`] says what it does. One in `on_open`
//!   always does.
//! - **A message** that cannot be written, is over 60 KiB or does not read back fails the test. A real lobby
//!   refuses to send it, or the room crashes.
//! - **Rates and queues** have no bounds here: nobody is refused with `too_fast`, or cut off because their
//!   browser does not read. Volatile events are never lost.
//! - **A refusal** of the room's own is the value that the hook made. A lobby gets its code and its text.
//! - **The lobby** is not here: its locks and its bans, other rooms, and what it tells somebody who is back.
//!   [`Stage::sent_on`] tells who would be sent to another room; the test says what becomes of it.
//!   The room's id is `stage`, and it has no code.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use serde_json::json;
//! # use app::{cluster::{Room, Stage}, server::Server};
//! # type Game = <Server as app::cluster::Lobby>::Room;
//! # fn story(options: <Game as Room>::Options) {
//! let mut stage = Stage::<Game>::open(options, 2, 7).unwrap();
//! let ann = stage.join("Ann").unwrap();
//! stage.emit(&ann, "steer", json!({ "x": 1, "y": 0 })).unwrap();
//! stage.advance(Duration::from_secs(1));
//! let heard = stage.sent(&ann);
//! # }
//! ```

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::SelectAll};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    Bytes,
    process::{
        channel::{FromRoom, HeldSeat, RoomAbout},
        supervisor::{Verdict, verdict},
    },
    room::{
        context::Ctx,
        core::{Core, Effect},
        hooks::Room,
        tickets::Tickets,
    },
    runtime::{
        panics::{RoomPanic, caught},
        scheduler::Task,
    },
    socketio::{
        connection::{MAX_EXCESS, refused, reroute},
        events::{BINARY, Encoded},
        packet::ConnId,
    },
    types::{
        route::Route,
        words::{
            Exit, Player, PlayerId, Refusal, Reply, RoomId, from_raw, options_to_raw, short, to_raw,
        },
    },
};

/// As the settings have it by default.
const TICKET_TTL: Duration = Duration::from_secs(15);
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_MESSAGE: usize = 64 * 1024;

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

/// A room on a stage. Nothing happens but what the test does.
pub struct Stage<R: Room> {
    life: Life<R>,
    tickets: Arc<Tickets>,
    now: Instant,
    tasks: SelectAll<Task<R, Ctx<R>>>,
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
    /// For futures and computations that hooks give away; see [`Stage::settle`]. The last field: dropping
    /// it waits for computations, which see by then that nobody wants their results.
    runtime: Runtime,
}

enum Life<R: Room> {
    Open(Box<Core<R>>),
    /// While `on_dispose` is called.
    Ending,
    Over(Box<Ctx<R>>, Verdict),
}

impl<R: Room> Stage<R> {
    /// Opens a room with so many seats. The same seed gives the same random numbers. `Err`: `on_open`
    /// has refused, or the options cannot be written as JSON of at most 60 KiB.
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
        let about = RoomAbout { capacity: seats, seed, host, code: None };
        let room = Ctx::<R>::new(RoomId("stage".to_owned()), about, EMPTY_TIMEOUT);
        let now = room.now();
        // As on their way from the lobby.
        let raw = options_to_raw(&options).map_err(|error| Refusal::NoRoom(error.to_string()))?;
        let options = from_raw(&raw).expect("options that read back");
        let game = runtime.block_on(R::on_open(options, &room))?;
        let tickets = Arc::new(Tickets::default());
        let core = Core::new(game, room, tickets.clone(), TICKET_TTL, None);
        let mut stage = Stage {
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
        stage.run(|_| ());
        Ok(stage)
    }

    /// From now on a panic in a hook does what the setting `--room-panic` says: it ends the room, or only
    /// the hook. Without this it fails the test.
    pub fn on_panic(&mut self, what: RoomPanic) {
        if let Life::Open(core) = &mut self.life {
            core.set_on_panic(what);
        }
    }

    /// A new player comes, and is in the room. `Err`: it is full or locked, or `on_admit` has refused.
    pub fn join(&mut self, name: &str) -> Result<Player, Refusal> {
        let player = player(name);
        self.join_as(&player)?;
        Ok(player)
    }

    /// This player comes, or comes back: within the grace, or from another window.
    pub fn join_as(&mut self, player: &Player) -> Result<(), Refusal> {
        let ticket = self.hold(player)?;
        self.tickets.redeem(&ticket, self.now)?;
        let conn = self.number();
        self.conns.insert(conn, player.id.clone());
        self.run(|core| core.come(conn, &player.id));
        Ok(())
    }

    /// Gives a player a seat who has yet to come: they are `expected` for 15 s, or until `join_as`.
    pub fn reserve(&mut self, player: &Player) -> Result<(), Refusal> {
        self.hold(player).map(drop)
    }

    /// A player's page emits an event and wants an answer: the answer, or the refusal. What is not of the right
    /// form or too large is refused before it reaches a hook, as on the wire; what is far too large ends the
    /// connection. `room_gone`: the connection has ended, and the answer is lost.
    pub fn emit(&mut self, from: &Player, event: &str, data: Value) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let size = json!([event, data]).to_string().len();
        self.check_size(from, size, size)?;
        let data = to_raw_value(&data).map_err(|error| Refusal::BadMessage(error.to_string()))?;
        let answer = self.run(|core| core.says(conn, event, Some(&*data)))?;
        self.await_answer(conn, answer)
    }

    /// A player's page sends bytes.
    pub fn emit_binary(&mut self, from: &Player, data: impl Into<Bytes>) -> Result<Value, Refusal> {
        let conn = self.conn_of(from)?;
        let data = data.into();
        let beside = json!([BINARY, { "_placeholder": true, "num": 0 }]).to_string();
        self.check_size(from, beside.len() + data.len(), data.len())?;
        let answer = self.run(|core| core.says_binary(conn, data))?;
        self.await_answer(conn, answer)
    }

    /// A player's connection is lost.
    pub fn drop_player(&mut self, player: &Player) {
        self.hang_up(player, false);
    }

    /// A player leaves because they want to; one who is not connected gives up their seat in the lobby.
    pub fn leave(&mut self, player: &Player) {
        match self.conn_of(player) {
            Ok(_) => self.hang_up(player, true),
            Err(_) => self.about_seat(player, |core, seat| core.release(seat, None)),
        }
    }

    /// The lobby puts a player out, with its `kick`.
    pub fn kick(&mut self, player: &Player, reason: &str) {
        self.about_seat(player, |core, seat| core.release(seat, Some(short(reason))));
    }

    /// Whom the room has sent to another room, with `send_to_room`, since this was asked last. They stay until
    /// [`Stage::move_on`], or until [`Stage::refuse_move`].
    pub fn sent_on(&mut self) -> Vec<(PlayerId, RoomId)> {
        std::mem::take(&mut self.sent_on)
    }

    /// A player has a seat in another room, and goes there.
    pub fn move_on(&mut self, player: &Player, room: &RoomId) {
        let ticket = self.number().to_string();
        let to = Route { room: room.clone(), port: None, ticket };
        self.about_seat(player, |core, seat| core.move_on(seat, Some(to)));
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

    /// The lobby wants the room to end within `left`, with the reason `closed`, and lets nobody in any more.
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
            core.set_now(end);
        }
    }

    /// Waits, in real time, until all that hooks gave away with `spawn` and `compute` is done and its
    /// calls were made. Until then nothing of it happens, whatever [`Stage::advance`] does.
    pub fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Waits for the next call only, such as one report of a computation. False: there is none left.
    pub fn settle_one(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let call = self.runtime.block_on(self.tasks.next());
        let called = call.map(|call| self.run(|core| core.call(call)));
        called.is_some()
    }

    /// What the player was sent since this was asked last, with the cluster's own events such as `joined`
    /// and `player_left`.
    pub fn sent(&mut self, to: &Player) -> Vec<Sent> {
        self.sent.remove(&to.id).unwrap_or_default()
    }

    /// The data of the last event of this name that the player was sent and that has not been taken.
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
            Life::Open(core) => core.game(),
            _ => panic!("the room has ended, and `on_dispose` has taken its state"),
        }
    }

    /// The room's handle, with its players and its settings.
    pub fn room(&self) -> &Ctx<R> {
        match &self.life {
            Life::Open(core) => core.handle(),
            Life::Over(room, _) => room,
            Life::Ending => unreachable!("only while `on_dispose` is called"),
        }
    }

    /// How the room has ended, as `on_room_exit` would hear it; `None`: it has not. Its `on_dispose` was called.
    pub fn exit(&self) -> Option<Exit<R::Outcome>> {
        match &self.life {
            Life::Over(_, verdict) => Some(verdict.clone().typed()),
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        !matches!(self.life, Life::Open(_))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Keeps a seat for a player, as the lobby has it done; the ticket.
    fn hold(&mut self, player: &Player) -> Result<String, Refusal> {
        if self.is_over() {
            return Err(Refusal::NoSuchRoom);
        }
        if self.draining {
            return Err(Refusal::RoomLocked);
        }
        let join = self.number();
        let ticket = join.to_string();
        let held = HeldSeat { seat: join, ticket: ticket.clone(), player: player.clone() };
        self.run(|core| core.hold(join, vec![held]));
        if let Some(refusal) = self.hold_refused.take() {
            return Err(refusal);
        }
        if self.is_over() {
            return Err(Refusal::RoomGone);
        }
        self.seats.insert(player.id.clone(), join);
        Ok(ticket)
    }

    fn conn_of(&self, player: &Player) -> Result<ConnId, Refusal> {
        let mut conns = self.conns.iter();
        let conn = conns.find(|(_, id)| **id == player.id).map(|(conn, _)| *conn);
        conn.filter(|_| !self.is_over()).ok_or(Refusal::RoomGone)
    }

    fn hang_up(&mut self, player: &Player, asked: bool) {
        if let Ok(conn) = self.conn_of(player) {
            self.conns.remove(&conn);
            self.run(|core| core.gone(conn, asked));
        }
    }

    /// Does something about a player's seat, if they have one.
    fn about_seat(&mut self, player: &Player, call: impl FnOnce(&mut Core<R>, u64)) {
        if let Some(seat) = self.seats.get(&player.id).copied()
            && !self.is_over()
        {
            self.run(|core| call(core, seat));
        }
    }

    /// `frame`: as a websocket counts it.
    fn check_size(&mut self, from: &Player, event: usize, frame: usize) -> Result<(), Refusal> {
        if frame > MAX_EXCESS * MAX_MESSAGE {
            self.drop_player(from);
        }
        let fits = event <= MAX_MESSAGE;
        if fits { Ok(()) } else { Err(Refusal::TooLarge(MAX_MESSAGE as u64)) }
    }

    fn await_answer(&mut self, conn: ConnId, answer: Reply) -> Result<Value, Refusal> {
        let mut value = match answer {
            Reply::Now(value) => return Ok(value),
            Reply::Later(value) => Box::pin(caught(value)),
        };
        // It may come from what a hook gave away. Whoever is out by then hears none, but it may still panic.
        while !self.is_over() {
            let is_out = !self.conns.contains_key(&conn);
            let tasks = &mut self.tasks;
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    answer = &mut value => Err(answer),
                    () = std::future::ready(()), if is_out => Err(Ok(Err(Refusal::RoomGone))),
                    Some(call) = tasks.next(), if !tasks.is_empty() => Ok(call),
                }
            });
            match next {
                Ok(call) => self.run(|core| core.call(call)),
                Err(Ok(_)) if is_out => return Err(Refusal::RoomGone),
                Err(Ok(answer)) => return answer,
                Err(Err(panic)) => {
                    self.run(|core| core.panicked(panic));
                    return Err(if is_out { Refusal::RoomGone } else { Refusal::Internal });
                }
            }
        }
        Err(Refusal::RoomGone)
    }

    /// Does something at this time, then what is due, then what follows from it: as the loop does.
    fn run<T>(&mut self, call: impl FnOnce(&mut Core<R>) -> T) -> T {
        let runtime = self.runtime.handle().clone();
        let entered = runtime.enter();
        let now = self.now;
        let Life::Open(core) = &mut self.life else { panic!("the room has ended") };
        core.set_now(now);
        let result = call(core);
        core.advance(now);
        let is_ending = core.is_ending();
        self.carry_out();
        if is_ending {
            drop(entered);
            self.end();
        }
        result
    }

    /// Everyone goes to the lobby, then the last hook is called.
    fn end(&mut self) {
        if let Life::Open(core) = &mut self.life {
            core.finish();
        }
        self.carry_out();
        if let Life::Open(core) = std::mem::replace(&mut self.life, Life::Ending) {
            let (ended, room) = self.runtime.block_on(core.dispose());
            let verdict = verdict(&ended).expect("it has ended");
            self.life = Life::Over(Box::new(room), verdict);
            self.tasks = SelectAll::new();
        }
    }

    fn carry_out(&mut self) {
        let Life::Open(core) = &mut self.life else { return };
        self.tasks.extend(core.handle().agenda.take_tasks());
        for effect in core.take_effects() {
            match effect {
                Effect::Emit { to, event, volatile } => self.note(to, &event, volatile),
                Effect::HangUp(conn) => drop(self.conns.remove(&conn)),
                Effect::Dismiss(conn, refusal) => {
                    self.note_own(conn, "refused", refused("connect", &refusal));
                    self.conns.remove(&conn);
                }
                Effect::SendOn(conn, route) => self.note_own(conn, "reroute", reroute(&route, "")),
                Effect::Frame(FromRoom::Message(raw)) => self.to_lobby.push(raw),
                Effect::Frame(FromRoom::HoldRefused { refusal, .. }) => {
                    self.hold_refused = Some(refusal);
                }
                Effect::Frame(FromRoom::SendOn { seat, room }) => {
                    let mut seats = self.seats.iter();
                    let player = seats.find(|(_, number)| **number == seat);
                    self.sent_on.extend(player.map(|(player, _)| (player.clone(), room)));
                }
                // What the lobby counts by, and has no hook for.
                Effect::Frame(_) => {}
            }
        }
    }

    fn note(&mut self, to: ConnId, event: &Encoded, volatile: bool) {
        match event {
            Encoded::Json { name, data } => {
                let data = from_raw(data).expect("JSON that was written");
                self.note_as(to, Sent { event: name.clone(), data, volatile, bytes: None });
            }
            Encoded::Binary(bytes) => {
                let (event, bytes) = (BINARY.to_owned(), Some(bytes.clone()));
                self.note_as(to, Sent { event, data: json!(null), volatile, bytes });
            }
        }
    }

    fn note_own(&mut self, to: ConnId, name: &str, data: Value) {
        self.note_as(to, Sent { event: name.to_owned(), data, volatile: false, bytes: None });
    }

    fn note_as(&mut self, to: ConnId, sent: Sent) {
        if let Some(player) = self.conns.get(&to) {
            self.sent.entry(player.clone()).or_default().push(sent);
        }
    }
}

/// A player whose id is their name: for options that name players, for a host.
pub fn player(name: &str) -> Player {
    Player { id: PlayerId(name.to_owned()), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::types::words::{Answer, done, later};

    struct Game;

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Request {
        Square { n: u64 },
        WorkForEver,
        Panic,
        PanicLater,
    }

    impl Room for Game {
        type Options = ();
        type Request = Request;
        type Event = ();
        type Outcome = ();
        type FromLobby = ();
        type ToLobby = ();

        async fn on_open((): (), _: &Ctx<Self>) -> Result<Self, Refusal> {
            Ok(Game)
        }

        fn on_message(&mut self, room: &Ctx<Self>, _: &Player, request: Request) -> Answer {
            match request {
                Request::Square { n } => {
                    let (tell, answer) = tokio::sync::oneshot::channel();
                    let tell = |square| _ = tell.send(square);
                    room.compute(move |_| n * n, move |_, _, square| tell(square));
                    later(async { answer.await.expect("a call").map_err(|_| Refusal::Internal) })
                }
                Request::WorkForEver => {
                    room.compute(
                        |work| {
                            while !work.is_cancelled() {
                                std::thread::yield_now()
                            }
                        },
                        |_, _, _| {},
                    );
                    done()
                }
                Request::Panic => panic!("as asked"),
                Request::PanicLater => {
                    room.spawn(async { panic!("as asked later") }, |_, _, ()| {});
                    done()
                }
            }
        }

        fn on_drop(&mut self, _: &Ctx<Self>, _: &Player) -> Option<Duration> {
            Some(Duration::MAX)
        }
    }

    fn stage() -> (Stage<Game>, Player) {
        let mut stage = Stage::open((), 2, 7).expect("a room");
        let ann = stage.join("Ann").expect("a free seat");
        (stage, ann)
    }

    #[test]
    fn an_answer_may_be_the_result_of_a_computation() {
        let (mut stage, ann) = stage();
        assert_eq!(stage.emit(&ann, "square", json!({ "n": 3 })), Ok(json!(9)));
    }

    #[test]
    fn a_seat_whose_player_does_not_come_in_time_is_free_again() {
        let (mut stage, _) = stage();
        let bob = player("Bob");
        stage.reserve(&bob).expect("a free seat");
        assert_eq!(stage.join("Eve").map(drop), Err(Refusal::RoomFull));
        assert_eq!(*stage.room().expected(), [bob]);
        stage.advance(TICKET_TTL);
        assert!(stage.room().expected().is_empty());
        stage.join("Eve").expect("a free seat");
    }

    #[test]
    fn a_computation_that_has_not_ended_holds_nobody_up() {
        let (mut stage, ann) = stage();
        stage.emit(&ann, "work_for_ever", json!({})).expect("work");
        drop(stage);
    }

    #[test]
    fn a_grace_may_be_for_ever() {
        let (mut stage, ann) = stage();
        stage.drop_player(&ann);
        stage.advance(Duration::from_secs(60 * 60));
        assert_eq!(*stage.room().players(), [ann]);
        assert!(stage.exit().is_none());
    }

    #[test]
    #[should_panic(expected = "as asked")]
    fn a_panic_in_a_hook_fails_the_test() {
        let (mut stage, ann) = stage();
        let _ = stage.emit(&ann, "panic", json!({}));
    }

    #[test]
    fn a_panic_does_what_the_setting_says_where_the_test_wants_that() {
        let (mut stage, ann) = stage();
        stage.on_panic(RoomPanic::EndsHook);
        assert_eq!(stage.emit(&ann, "panic", json!({})), Err(Refusal::Internal));
        assert!(stage.exit().is_none());
        stage.on_panic(RoomPanic::EndsRoom);
        assert_eq!(stage.emit(&ann, "panic", json!({})), Err(Refusal::Internal));
        let crashed = Exit::Crashed("on_message panicked: as asked".to_owned());
        assert_eq!(stage.exit(), Some(crashed));
        let reroute = json!({ "to": "lobby", "reason": "crashed" });
        assert_eq!(stage.last(&ann, "reroute"), Some(&reroute));
    }

    #[test]
    #[should_panic(expected = "as asked later")]
    fn a_panic_in_what_a_hook_gave_away_fails_the_test() {
        let (mut stage, ann) = stage();
        stage.emit(&ann, "panic_later", json!({})).expect("given away");
        stage.settle();
    }
}
