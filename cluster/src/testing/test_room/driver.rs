//! Runs the core for each input, and records its output for the test.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::process::{FromRoom, ReservedSeat};
use crate::room::core::Core;
use crate::room::{Output, Room};
use crate::socketio::events::BINARY;
use crate::socketio::namespace::HARD_LIMIT_FACTOR;
use crate::socketio::{ConnId, Encoded};
use crate::testing::test_room::Life;
use crate::testing::{Sent, TestRoom};
use crate::types::{Player, Refusal, Reply};

/// The default of `--max-message`, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

impl<R: Room> TestRoom<R> {
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.life, Life::Open(_))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Reserves a seat for a player, as the lobby does. Returns the ticket.
    pub(super) fn ticket_for(
        &mut self,
        player: &Player<R::Profile>,
        options: Option<Value>,
    ) -> Result<String, Refusal> {
        if self.is_over() {
            return Err(Refusal::NO_SUCH_ROOM);
        }
        let (here, coming) = (self.room().players(), self.room().expected());
        let mut seated = here.iter().chain(&*coming);
        if self.draining && !seated.any(|other| other.id == player.id) {
            return Err(Refusal::ROOM_LOCKED);
        }
        let join = self.number();
        let ticket = join.to_string();
        let player = player.erased()?;
        let id = player.id.clone();
        let reserved = ReservedSeat { seat: join, ticket: ticket.clone(), player, options };
        self.run(|core| core.reserve(join, vec![reserved]));
        if let Some(refusal) = self.reserve_refused.take() {
            return Err(refusal);
        }
        if self.is_over() {
            return Err(Refusal::ROOM_GONE);
        }
        self.seats.insert(id, join);
        Ok(ticket)
    }

    pub(super) fn conn_of(&self, player: &Player<R::Profile>) -> Result<ConnId, Refusal> {
        let mut conns = self.conns.iter();
        let conn = conns.find(|(_, id)| **id == player.id).map(|(conn, _)| *conn);
        if self.is_over() { Err(Refusal::ROOM_GONE) } else { conn.ok_or(Refusal::NOT_IN_ROOM) }
    }

    pub(super) fn hang_up(&mut self, player: &Player<R::Profile>, asked: bool) {
        if let Ok(conn) = self.conn_of(player) {
            self.conns.remove(&conn);
            self.run(|core| core.disconnected(conn, asked));
        }
    }

    /// Calls the core with the number of a player's seat, if they have one.
    pub(super) fn about_seat(
        &mut self,
        player: &Player<R::Profile>,
        call: impl FnOnce(&mut Core<R>, u64),
    ) {
        if let Some(seat) = self.seats.get(&player.id).copied()
            && !self.is_over()
        {
            self.run(|core| call(core, seat));
        }
    }

    /// Refuses an event of this size, and closes the connection if its websocket frame is far too
    /// large.
    pub(super) fn check_size(
        &mut self,
        from: &Player<R::Profile>,
        event: usize,
        frame: usize,
    ) -> Result<(), Refusal> {
        if frame > HARD_LIMIT_FACTOR * MAX_MESSAGE {
            self.drop_player(from);
        }
        let fits = event <= MAX_MESSAGE;
        if fits { Ok(()) } else { Err(Refusal::too_large(MAX_MESSAGE as u64)) }
    }

    pub(super) fn await_answer(&mut self, conn: ConnId, answer: Reply) -> Result<Value, Refusal> {
        let mut value = match answer {
            Reply::Now(value) => return Ok(value),
            Reply::Later(value) => Box::pin(AssertUnwindSafe(value).catch_unwind()),
        };
        // The answer may depend on spawned work. A player who left meanwhile gets none, but the
        // future may still panic.
        loop {
            let is_out = !self.conns.contains_key(&conn);
            let Life::Open(core) = &self.life else { break };
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    answer = &mut value => Err(answer),
                    () = std::future::ready(()), if is_out => Err(Ok(Err(Refusal::NOT_IN_ROOM))),
                    Some(call) = core.room.scheduler.next_call() => Ok(call),
                }
            });
            match next {
                Ok(call) => self.run(|core| core.call(call)),
                Err(Ok(_)) if is_out => return Err(Refusal::NOT_IN_ROOM),
                Err(Ok(answer)) => return answer,
                Err(Err(panic)) => {
                    self.run(|core| core.call(Box::new(|_, _| resume_unwind(panic))));
                    return Err(if is_out { Refusal::NOT_IN_ROOM } else { Refusal::INTERNAL });
                }
            }
        }
        Err(Refusal::ROOM_GONE)
    }

    /// Calls the core, then does what is due and applies the output, as the event loop does.
    pub(super) fn run<T>(&mut self, call: impl FnOnce(&mut Core<R>) -> T) -> T {
        let runtime = self.runtime.handle().clone();
        let entered = runtime.enter();
        let now = self.now;
        let Life::Open(core) = &mut self.life else { panic!("the room has ended") };
        let result = call(core.at(now));
        core.advance(now);
        let is_ending = core.is_ending();
        self.apply();
        if is_ending {
            drop(entered);
            self.end();
        }
        result
    }

    /// Returns everyone to the lobby, then calls the last hook.
    pub(super) fn end(&mut self) {
        if let Life::Open(core) = &mut self.life {
            core.finish();
        }
        self.apply();
        if let Life::Open(core) = std::mem::replace(&mut self.life, Life::Ending) {
            let (exit, room) = self.runtime.block_on(core.dispose());
            drop(room.scheduler.tasks.take());
            self.life = Life::Over(Box::new(room), exit);
        }
    }

    pub(super) fn apply(&mut self) {
        while let Life::Open(core) = &mut self.life
            && let Some(output) = core.pop_output()
        {
            match output {
                Output::Emit { to, event, volatile } => self.note(to, &event, volatile),
                Output::HangUp(conn) => drop(self.conns.remove(&conn)),
                Output::Frame(FromRoom::Message(raw)) => self.to_lobby.push(raw),
                Output::Frame(FromRoom::ReserveRefused { refusal, .. }) => {
                    self.reserve_refused = Some(refusal);
                }
                Output::Frame(FromRoom::Transfer { seat, room }) => {
                    let mut seats = self.seats.iter();
                    let player = seats.find(|(_, number)| **number == seat);
                    self.transfers.extend(player.map(|(player, _)| (player.clone(), room)));
                }
                Output::Frame(FromRoom::Listed(listing)) => self.listing = listing,
                // Other frames: there is no lobby here to handle them.
                Output::Frame(_) => {}
                Output::Leave(..) => unreachable!("the core has replaced it"),
            }
        }
    }

    pub(super) fn note(&mut self, to: ConnId, event: &Encoded, volatile: bool) {
        match event {
            Encoded::Json { name, data } => {
                let data = serde_json::from_str(data.get()).expect("serialized JSON");
                self.note_as(to, Sent { event: name.clone(), data, volatile, bytes: None });
            }
            Encoded::Binary(bytes) => {
                let (event, bytes) = (BINARY.to_owned(), Some(bytes.clone()));
                self.note_as(to, Sent { event, data: json!(null), volatile, bytes });
            }
        }
    }

    pub(super) fn note_as(&mut self, to: ConnId, sent: Sent) {
        if let Some(player) = self.conns.get(&to) {
            self.sent.entry(player.clone()).or_default().push(sent);
        }
    }
}
