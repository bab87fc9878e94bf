//! A room without process, sockets and clock: its seats (`seats.rs`), the calls of its hooks, and
//! its output (`outbox.rs`). The caller tells it what happens and when, and applies the
//! [`Effect`]s: `event_loop.rs` in production, `testing/test_room` in tests.

mod outbox;
mod seats;

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    Bytes,
    process::channel::FromRoom,
    room::{context::RoomContext, core::seats::Seat, hooks::Room, tickets::Tickets},
    runtime::{
        clock::later,
        panics::{Hooks, Panic, RoomPanic, caught},
        scheduler::Call,
        ticker::{Tick, Ticker},
    },
    socketio::{
        events::{self, Encoded},
        packet::ConnId,
    },
    types::{Answer, LeaveReason, PlayerId, Refusal, Route, from_raw},
};

/// What the caller has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    Emit {
        to: ConnId,
        event: Rc<Encoded>,
        volatile: bool,
    },
    HangUp(ConnId),
    /// Disconnect; the page must not reconnect by itself.
    Dismiss(ConnId, Refusal),
    /// Reroute the page to another room.
    SendOn(ConnId, Route),
    Frame(FromRoom),
}

pub(crate) struct Core<R: Room> {
    game: R,
    room: RoomContext<R>,
    hooks: Hooks,
    seats: BTreeMap<PlayerId, Seat>,
    /// In the order in which they connected.
    conns: BTreeMap<ConnId, PlayerId>,
    tickets: Arc<Tickets>,
    ticket_ttl: Duration,
    banned: HashMap<PlayerId, String>,
    empty_since: Option<Instant>,
    ticker: Ticker,
    /// The deadline of a drain, and the message for players.
    draining: Option<(Instant, String)>,
    /// Set when the room is about to end: the reason for its players.
    ending: Option<LeaveReason>,
    effects: Vec<Effect>,
}

impl<R: Room> Core<R> {
    /// `on_panic`: what a panic in a hook does; `None`: it propagates.
    pub fn new(
        game: R,
        room: RoomContext<R>,
        tickets: Arc<Tickets>,
        ticket_ttl: Duration,
        on_panic: Option<RoomPanic>,
    ) -> Self {
        let now = room.scheduler.now();
        let mut core = Core {
            game,
            room,
            hooks: Hooks::new(on_panic),
            seats: BTreeMap::new(),
            conns: BTreeMap::new(),
            tickets,
            ticket_ttl,
            banned: HashMap::new(),
            empty_since: Some(now),
            ticker: Ticker::new(now),
            draining: None,
            ending: None,
            effects: vec![Effect::Frame(FromRoom::Ready)],
        };
        core.flush();
        core
    }

    /// Sets what a panic in a hook does.
    #[cfg(any(test, feature = "testing"))]
    pub fn set_on_panic(&mut self, on_panic: RoomPanic) {
        self.hooks.set_on_panic(on_panic);
    }

    pub fn handle(&self) -> &RoomContext<R> {
        &self.room
    }

    #[cfg(any(test, feature = "testing"))]
    pub fn game(&self) -> &R {
        &self.game
    }

    /// Sets the time for everything until the next call of this.
    pub fn set_now(&mut self, now: Instant) {
        self.room.scheduler.set_now(now);
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the room is about to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some() || self.crashed().is_some()
    }

    /// The hook whose panic ends the room, and the panic message.
    pub fn crashed(&self) -> Option<&str> {
        self.hooks.crashed()
    }

    /// A player sent a request.
    pub fn message(&mut self, conn: ConnId, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.player_of(conn).ok_or(Refusal::ROOM_GONE)?;
        let request = events::decode(name, data)?;
        self.hook("on_message", |game, room| game.on_message(room, &player, request))
            .unwrap_or(Err(Refusal::INTERNAL))
            .map_err(|refusal| refusal.named(name))
    }

    /// A player sent bytes.
    pub fn binary(&mut self, conn: ConnId, data: Bytes) -> Answer {
        let player = self.player_of(conn).ok_or(Refusal::ROOM_GONE)?;
        self.hook("on_binary", |game, room| game.on_binary(room, &player, data))
            .unwrap_or(Err(Refusal::INTERNAL))
    }

    pub fn lobby_message(&mut self, message: &RawValue) -> anyhow::Result<()> {
        let message = from_raw(message)?;
        self.hook("on_lobby_message", |game, room| game.on_lobby_message(room, message));
        Ok(())
    }

    pub fn drain(&mut self, left: Duration, reason: String) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some((later(self.now(), left), reason));
        self.room.lock(true);
        self.hook("on_drain", |game, room| game.on_drain(room, left));
    }

    /// Spawned work is done.
    pub fn call(&mut self, call: Call<R, RoomContext<R>>) {
        self.hook("spawn or compute", |game, room| call(game, room));
    }

    /// A deferred answer has panicked.
    pub fn panicked(&mut self, panic: Panic) {
        self.hooks.panicked("later", panic);
    }

    /// Does what is due: timers, ticks, expired seats, the end of an empty room.
    pub fn advance(&mut self, now: Instant) {
        while !self.is_ending()
            && let Some(call) = self.room.scheduler.pop_due(now)
        {
            self.hook("timer", |game, room| call(game, room));
        }
        self.tick(now);
        for (id, reason) in self.overdue(now) {
            self.leave(&id, reason);
        }
        let over = |(until, _): &(Instant, String)| *until <= now || self.seats.is_empty();
        let drained = self.draining.as_ref().is_some_and(over);
        let deserted = self.empty_until().is_some_and(|until| until <= now);
        if (drained || deserted) && !self.is_ending() {
            let reason = self
                .draining
                .take()
                .map_or_else(|| "The room was empty.".to_owned(), |(_, reason)| reason);
            self.ending = Some(LeaveReason::Closed(reason));
        }
    }

    fn tick(&mut self, now: Instant) {
        let Some(period) = self.room.tick_period() else {
            self.ticker = Ticker::new(now);
            return;
        };
        if !self.is_ending()
            && let Some(Tick { dt, delay }) = self.ticker.tick(now, period)
        {
            self.room.set_tick_delay(delay);
            self.hook("on_tick", |game, room| game.on_tick(room, dt));
        }
    }

    fn empty_until(&self) -> Option<Instant> {
        Some(later(self.empty_since?, self.room.current_empty_timeout()?))
    }

    fn now(&self) -> Instant {
        self.room.scheduler.now()
    }

    /// When [`Core::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let tick = self.room.tick_period().map(|period| self.ticker.due(period));
        let seats = self.waiting().map(|(_, until, _)| until).min();
        let timer = self.room.scheduler.deadline();
        let drain = self.draining.as_ref().map(|(until, _)| *until);
        [tick, self.empty_until(), seats, timer, drain].into_iter().flatten().min()
    }

    /// Sends everyone to the lobby. Only `on_dispose` is called after this, and no hook if one has
    /// crashed.
    pub fn finish(&mut self) {
        let reason = match &self.ending {
            Some(reason) if self.crashed().is_none() => reason.clone(),
            _ => LeaveReason::Crashed,
        };
        for id in self.seats.keys().cloned().collect::<Vec<_>>() {
            self.leave(&id, reason.clone());
        }
    }

    /// Calls the last hook, unless one has crashed. Returns how the room ended, and its context.
    pub async fn dispose(mut self) -> (FromRoom, RoomContext<R>) {
        if self.crashed().is_none() {
            let disposed = caught(async { self.game.on_dispose().await }).await;
            if let Err(panic) = disposed {
                self.hooks.panicked("on_dispose", panic);
            }
        }
        let crashed = self.hooks.crashed().map(str::to_owned);
        let ended = match (crashed, self.ending) {
            (Some(what), _) => FromRoom::Crashed { what },
            (None, Some(LeaveReason::Finished)) => FromRoom::Finished,
            (None, _) => FromRoom::Closed,
        };
        (ended, self.room)
    }

    /// Calls a hook and turns its output into effects. `None`: it panicked, or an earlier panic
    /// ends the room.
    fn hook<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut R, &RoomContext<R>) -> T,
    ) -> Option<T> {
        let result = self.hooks.call(name, || call(&mut self.game, &self.room));
        self.flush();
        result
    }
}
