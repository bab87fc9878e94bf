//! A stage for one room, without processes, sockets or a real clock: the same core as in a room's
//! process, driven by a test. `on_dispose` is not called here; nor can an answer wait for a timer, since
//! only the test moves the clock.
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
use serde_json::{Value, json, value::RawValue};
use tokio::{runtime::Runtime, time::Instant};

use super::{
    Bytes,
    agenda::Task,
    channel::{FromRoom, HeldSeat, RoomAbout},
    connection::ConnId,
    ctx::Ctx,
    events::{BINARY, Encoded},
    room_core::{Core, Effect},
    room_hooks::Room,
    tickets::Tickets,
    words::{Exit, Player, PlayerId, Refusal, Reply, RoomId, from_raw, to_raw},
};

/// As the settings have it by default.
const TICKET_TTL: Duration = Duration::from_secs(15);
const EMPTY_TIMEOUT: Duration = Duration::from_secs(30);

/// One event that a player was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub event: String,
    pub data: Value,
    /// May be lost, or come late.
    pub volatile: bool,
    /// What an event of bytes holds; its `data` is null.
    pub bytes: Option<Bytes>,
}

/// A room on a stage. Nothing happens but what the test does.
pub struct Stage<R: Room> {
    core: Core<R>,
    tickets: Arc<Tickets>,
    now: Instant,
    tasks: SelectAll<Task<R, Ctx<R>>>,
    conns: HashMap<ConnId, PlayerId>,
    sent: HashMap<PlayerId, Vec<Sent>>,
    to_lobby: Vec<FromRoom>,
    outcome: Option<Option<Box<RawValue>>>,
    next: u64,
    /// For futures and computations that hooks give away; see [`Stage::settle`]. The last field: dropping
    /// it waits for computations, which see by then that nobody wants their results.
    runtime: Runtime,
}

impl<R: Room> Stage<R> {
    /// Opens a room with so many seats. The same seed gives the same random numbers. `Err`: `on_open`
    /// has refused.
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
        // As on their way from the lobby: what cannot be written as JSON shows here.
        let options = through_json(&options);
        let game = runtime.block_on(R::on_open(options, &room))?;
        let tickets = Arc::new(Tickets::default());
        let core = Core::new(game, room, tickets.clone(), TICKET_TTL, None);
        let mut stage = Stage {
            core,
            tickets,
            now,
            runtime,
            tasks: SelectAll::new(),
            conns: HashMap::new(),
            sent: HashMap::new(),
            to_lobby: Vec::new(),
            outcome: None,
            next: 1,
        };
        stage.carry_out();
        Ok(stage)
    }

    /// A new player comes, and is in the room. `Err`: it is full or locked, or `on_admit` has refused.
    pub fn join(&mut self, name: &str) -> Result<Player, Refusal> {
        let player = player(name);
        self.join_as(&player)?;
        Ok(player)
    }

    /// This player comes, or comes back: within the grace, or from another window.
    pub fn join_as(&mut self, player: &Player) -> Result<(), Refusal> {
        self.on_air()?;
        let (join, conn) = (self.number(), self.number());
        let held = HeldSeat { seat: join, ticket: join.to_string(), player: player.clone() };
        self.run(|core| core.hold(join, vec![held]));
        for frame in self.to_lobby.iter().rev() {
            if let FromRoom::HoldRefused { join: refused, refusal } = frame
                && *refused == join
            {
                return Err(refusal.clone());
            }
        }
        self.tickets.redeem(&join.to_string())?;
        self.conns.insert(conn, player.id.clone());
        self.run(|core| core.come(conn, &player.id));
        Ok(())
    }

    /// A player's page emits an event; the answer, or the refusal. What is not of the right form is
    /// refused before it reaches a hook, as on the wire.
    pub fn emit(&mut self, from: &Player, event: &str, data: Value) -> Result<Value, Refusal> {
        self.on_air()?;
        let conn = self.conn_of(from)?;
        let data = to_raw(&data).map_err(|error| Refusal::BadMessage(error.to_string()))?;
        let answer = self.run(|core| core.says(conn, event, Some(&*data)))?;
        self.await_answer(answer)
    }

    /// A player's page sends bytes.
    pub fn emit_binary(&mut self, from: &Player, data: impl Into<Bytes>) -> Result<Value, Refusal> {
        self.on_air()?;
        let conn = self.conn_of(from)?;
        let answer = self.run(|core| core.says_binary(conn, data.into()))?;
        self.await_answer(answer)
    }

    /// A player's connection is lost.
    pub fn drop_player(&mut self, player: &Player) {
        self.hang_up(player, false);
    }

    /// A player leaves because he wants to.
    pub fn leave(&mut self, player: &Player) {
        self.hang_up(player, true);
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

    /// The lobby wants the room to end within `left`.
    pub fn drain(&mut self, left: Duration) {
        if self.is_over() {
            return;
        }
        self.run(|core| core.drain(left, "closed".to_owned()));
    }

    /// Moves the clock: timers, ticks, graces and time limits come when they are due, in order.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while !self.is_over()
            && let Some(due) = self.core.deadline().filter(|due| *due <= end)
        {
            self.now = due.max(self.now);
            self.run(|_| ());
        }
        self.now = end;
        self.core.set_now(end);
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
        let messages = self.to_lobby.extract_if(.., |frame| matches!(frame, FromRoom::Message(_)));
        let message = |frame| match frame {
            FromRoom::Message(raw) => Some(from_raw(&raw).expect("a message that reads back")),
            _ => None,
        };
        messages.filter_map(message).collect()
    }

    /// The room's state.
    pub fn game(&self) -> &R {
        self.core.game()
    }

    /// The room's handle, with its players and its settings.
    pub fn room(&self) -> &Ctx<R> {
        self.core.handle()
    }

    /// How the room has ended, as `on_room_exit` would hear it; `None`: it has not.
    pub fn exit(&self) -> Option<Exit<R::Outcome>> {
        Some(match self.outcome.as_ref()? {
            Some(outcome) => Exit::Finished(from_raw(outcome).expect("an outcome that reads back")),
            None => Exit::Closed,
        })
    }

    fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    fn on_air(&self) -> Result<(), Refusal> {
        if self.is_over() { Err(Refusal::RoomGone) } else { Ok(()) }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn conn_of(&self, player: &Player) -> Result<ConnId, Refusal> {
        let mut conns = self.conns.iter();
        let conn = conns.find(|(_, id)| **id == player.id).map(|(conn, _)| *conn);
        conn.ok_or(Refusal::RoomGone)
    }

    fn hang_up(&mut self, player: &Player, asked: bool) {
        if let Ok(conn) = self.conn_of(player) {
            self.conns.remove(&conn);
            self.run(|core| core.gone(conn, asked));
        }
    }

    fn await_answer(&mut self, answer: Reply) -> Result<Value, Refusal> {
        let mut value = match answer {
            Reply::Now(value) => return Ok(value),
            Reply::Later(value) => value,
        };
        // It may come from what a hook gave away.
        loop {
            let tasks = &mut self.tasks;
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    answer = &mut value => Err(answer),
                    Some(call) = tasks.next(), if !tasks.is_empty() => Ok(call),
                }
            });
            match next {
                Ok(call) => self.run(|core| core.call(call)),
                Err(answer) => return answer,
            }
        }
    }

    /// Does something at this time, then what is due, then what follows from it: as the loop does.
    fn run<T>(&mut self, call: impl FnOnce(&mut Core<R>) -> T) -> T {
        let runtime = self.runtime.handle().clone();
        let _entered = runtime.enter();
        self.core.set_now(self.now);
        let result = call(&mut self.core);
        self.core.advance(self.now);
        self.carry_out();
        if self.core.is_ending() && !self.is_over() {
            self.outcome = Some(self.core.finish());
            self.carry_out();
        }
        result
    }

    fn carry_out(&mut self) {
        self.tasks.extend(self.core.handle().agenda.take_tasks());
        for effect in self.core.take_effects() {
            match effect {
                Effect::Emit { to, event, volatile } => self.note(to, &event, volatile),
                Effect::HangUp(conn) | Effect::Dismiss(conn, _) | Effect::SendOn(conn, _) => {
                    self.conns.remove(&conn);
                }
                Effect::Frame(frame) => self.to_lobby.push(frame),
            }
        }
    }

    fn note(&mut self, to: ConnId, event: &Encoded, volatile: bool) {
        let Some(player) = self.conns.get(&to) else {
            return;
        };
        let sent = match event {
            Encoded::Json { name, data } => {
                let data = from_raw(data).expect("JSON that was written");
                Sent { event: name.clone(), data, volatile, bytes: None }
            }
            Encoded::Binary(bytes) => {
                let (event, bytes) = (BINARY.to_owned(), Some(bytes.clone()));
                Sent { event, data: json!(null), volatile, bytes }
            }
        };
        self.sent.entry(player.clone()).or_default().push(sent);
    }
}

/// A player whose id is his name: for options that name players, for a host.
pub fn player(name: &str) -> Player {
    Player { id: PlayerId(name.to_owned()), name: name.to_owned() }
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let raw = to_raw(value).expect("options are JSON, and no larger than 60 KiB");
    from_raw(&raw).expect("options that read back")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::cluster::{Answer, done, later};

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
    #[should_panic(expected = "as asked later")]
    fn a_panic_in_what_a_hook_gave_away_fails_the_test() {
        let (mut stage, ann) = stage();
        stage.emit(&ann, "panic_later", json!({})).expect("given away");
        stage.settle();
    }
}
