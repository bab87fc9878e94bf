//! A room without processes, sockets or clocks: its seats (`seats.rs`), which hook is called when,
//! and what goes out. `event_loop.rs` tells it what happened and at what time, and sends its
//! output; so does a `TestRoom`.

mod announcements;
mod seats;
mod sync;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::FromRoom;
use crate::room::core::announcements::Announcements;
use crate::room::core::sync::SentState;
use crate::room::{Output, Room, RoomContext, Tickets};
use crate::runtime::{Call, HookPanic, RoomPanic, Ticker, catch, catch_async, later};
use crate::socketio::{ConnId, Encoded, RawEvent, events};
use crate::types::{Answer, Exit, LeaveReason, Player, PlayerId, Refusal, RoomId, ok};

/// The first event of a connection.
#[derive(Serialize)]
struct Joined<'a, Profile> {
    room: &'a RoomId,
    kind: &'a str,
    code: Option<&'a str>,
    host: Option<&'a PlayerId>,
    you: &'a Player<Profile>,
    /// All of them; in a room that announces nobody only this player.
    players: &'a [Player<Profile>],
    away: Vec<PlayerId>,
}

pub(crate) struct Core<R: Room> {
    pub game: R,
    pub room: RoomContext<R>,
    tickets: Arc<Tickets>,
    ticket_ttl: Duration,
    /// When the last seat was freed, or the room opened.
    empty_since: Instant,
    /// `None` while no tick rate is set.
    ticker: Option<Ticker>,
    /// Set when the lobby wants the room to end: until when, and the reason for its players.
    draining: Option<(Instant, String)>,
    announcements: Announcements,
    /// The state as it was sent last.
    state: SentState,
    /// On a host: what the lobby has noted for the next one.
    pub note: Option<Box<RawValue>>,
    /// `None` in a test: the panic of a hook fails it.
    pub on_panic: Option<RoomPanic>,
    /// Set when a hook's panic has ended the room: the exit, with the hook and the message. No hook
    /// is called any more.
    pub crashed: Option<Exit>,
    output: VecDeque<Output>,
}

impl<R: Room> Core<R> {
    pub fn new(
        game: R,
        room: RoomContext<R>,
        tickets: Arc<Tickets>,
        ticket_ttl: Duration,
        on_panic: Option<RoomPanic>,
    ) -> Self {
        let now = room.scheduler.now.get();
        let mut core = Core {
            game,
            room,
            tickets,
            ticket_ttl,
            empty_since: now,
            ticker: Some(Ticker::new(now)),
            draining: None,
            announcements: Announcements::new(on_panic.is_none()),
            state: SentState::default(),
            note: None,
            on_panic,
            crashed: None,
            output: [Output::Frame(FromRoom::Ready)].into(),
        };
        core.resolve_outbox();
        core
    }

    /// Sets the time at which what follows happens.
    pub fn at(&mut self, now: Instant) -> &mut Self {
        self.room.scheduler.now.set(now);
        self
    }

    /// What is to go out next. Never [`Output::Leave`].
    pub fn pop_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Whether the room is to end.
    pub fn is_ending(&self) -> bool {
        self.room.ending.borrow().is_some() || self.crashed.is_some()
    }

    /// A player's request, or bytes.
    pub fn message(&mut self, conn: ConnId, event: RawEvent) -> Answer {
        let player = self.player_at(conn).ok_or(Refusal::NOT_IN_ROOM)?;
        let data = event.data?;
        let answer = if let Some(bytes) = event.binary {
            self.hook("on_binary", |game, room| game.on_binary(room, &player, bytes))
        } else if event.name == events::LEAVE_ROOM {
            events::no_data(data.as_deref())?;
            let reason = LeaveReason::Left;
            self.emit(conn, "reroute", json!({ "to": "lobby", "reason": reason }));
            self.leave(&player.id, reason);
            Some(ok())
        } else {
            let request = events::decode(&event.name, data.as_deref())?;
            self.hook("on_request", |game, room| game.on_request(room, &player, request))
        };
        answer.unwrap_or(Err(Refusal::INTERNAL)).map_err(|refusal| refusal.named(&event.name))
    }

    pub fn lobby_message(&mut self, message: &RawValue) -> anyhow::Result<()> {
        let message = serde_json::from_str(message.get())?;
        self.hook("on_lobby_message", |game, room| game.on_lobby_message(room, message));
        Ok(())
    }

    /// A player has another profile.
    pub fn set_profile(&mut self, number: u64, profile: Value) {
        let Some(seat) = self.room.seats.get_mut().by_number(number) else { return };
        seat.player.profile = serde_json::from_value(profile).unwrap_or_default();
        let (player, conn) = (seat.player.clone(), seat.conn);
        let players = Rc::make_mut(self.room.players.get_mut()).iter_mut();
        players.filter(|other| other.id == player.id).for_each(|other| *other = player.clone());
        let data = json!({ "player": player });
        match conn.filter(|_| !self.room.announces.get()) {
            Some(conn) => self.emit(conn, "player_changed", data),
            None => self.announce("player_changed", &data),
        }
    }

    /// The room ends within this time, or within what is left of an earlier call's.
    pub fn drain(&mut self, left: Duration, reason: String) {
        let until = later(self.now(), left);
        if self.draining.as_ref().is_none_or(|(earlier, _)| until < *earlier) {
            self.draining = Some((until, reason));
            self.room.lock(true);
            self.hook("on_drain", |game, room| game.on_drain(room, left));
        }
    }

    /// The result of spawned work.
    pub fn call(&mut self, call: Call<R, RoomContext<R>>) {
        self.hook("spawned work", call);
    }

    /// Does what is due: timers, a tick, the end of reservations and of grace periods, the end of
    /// the room.
    pub fn advance(&mut self, now: Instant) {
        self.at(now);
        while !self.is_ending()
            && let Some(call) = self.room.scheduler.pop_due(now)
        {
            self.hook("timer", call);
        }
        self.tick(now);
        self.expire_seats(now);
        self.send_changes(now);
        if let Some((until, reason)) = &self.draining
            && (*until <= now || self.room.seats.get_mut().is_empty())
        {
            self.room.end(LeaveReason::Closed(reason.clone()));
        }
        if self.empty_until().is_some_and(|until| until <= now) {
            self.room.end(LeaveReason::Closed("The room was empty.".to_owned()));
        }
    }

    fn tick(&mut self, now: Instant) {
        let Some(period) = self.room.tick_period.get().filter(|_| !self.is_ending()) else {
            self.ticker = None;
            return;
        };
        let ticker = self.ticker.get_or_insert(Ticker::new(now));
        if let Some((dt, delay)) = ticker.tick(now, period) {
            self.room.tick_delay.set(delay);
            self.hook("on_tick", |game, room| game.on_tick(room, dt));
        }
    }

    /// When [`Core::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let period = self.room.tick_period.get();
        let tick = self.ticker.as_ref().zip(period).map(|(ticker, period)| ticker.due(period));
        let seat = self.room.seats.borrow().expiring().next().and_then(|seat| seat.expires);
        let timer = self.room.scheduler.deadline();
        let drain = self.draining.as_ref().map(|(until, _)| *until);
        let throttles = [&self.room.sync, &self.room.listing_changed, &self.announcements.due];
        let changes = throttles.into_iter().filter_map(|throttle| throttle.due(self.now()));
        let rest = [tick, self.empty_until(), seat, timer, drain].into_iter().flatten();
        rest.chain(changes).min()
    }

    fn empty_until(&self) -> Option<Instant> {
        let timeout = self.room.empty_timeout.get()?;
        self.room.seats.borrow().is_empty().then(|| later(self.empty_since, timeout))
    }

    fn now(&self) -> Instant {
        self.room.scheduler.now.get()
    }

    /// Returns everyone to the lobby and calls `on_leave` for each. In a room that has crashed the
    /// lobby is told so first, and no hook is called.
    pub fn finish(&mut self) {
        let mut reason = self.room.ending.borrow().clone().unwrap_or(LeaveReason::Crashed);
        if let Some(exit) = self.crashed.clone() {
            self.frame(FromRoom::Ending(exit));
            reason = LeaveReason::Crashed;
        } else if self.room.sync.due(self.now()).is_some() {
            self.sync();
        }
        for id in self.room.seats.get_mut().keys().cloned().collect::<Vec<_>>() {
            self.leave(&id, reason.clone());
        }
    }

    /// Calls `on_dispose`, unless a hook's panic has ended the room. Returns how the room ended,
    /// and what is left of it.
    pub async fn dispose(mut self) -> (Exit, RoomContext<R>) {
        let disposing = async { self.game.on_dispose().await };
        if self.crashed.is_none()
            && let Err(panic) = catch_async("on_dispose", disposing).await
        {
            self.crashed = crash(self.on_panic, panic);
        }
        let is_finished = *self.room.ending.borrow() == Some(LeaveReason::Finished);
        let exit = if is_finished { Exit::Finished } else { Exit::Closed };
        (self.crashed.unwrap_or(exit), self.room)
    }

    /// Calls a hook, and then does what it queued. Returns `None` if it panicked, or if one before
    /// it did and the room ends.
    fn hook<T>(&mut self, name: &str, f: impl FnOnce(&mut R, &RoomContext<R>) -> T) -> Option<T> {
        let result = self.invoke(name, f);
        self.resolve_outbox();
        result
    }

    fn invoke<T>(&mut self, name: &str, f: impl FnOnce(&mut R, &RoomContext<R>) -> T) -> Option<T> {
        if self.crashed.is_some() {
            return None;
        }
        let result = catch(name, || f(&mut self.game, &self.room));
        result.map_err(|panic| self.crashed = crash(self.on_panic, panic)).ok()
    }

    /// Moves what hooks queued to the output, in order. A player who leaves causes another hook
    /// call, whose output comes before the rest.
    fn resolve_outbox(&mut self) {
        let mut queued = VecDeque::from(self.room.outbox.take());
        while let Some(output) = queued.pop_front() {
            match output {
                Output::Leave(player, reason) => self.leave(&player, reason),
                // Nothing is for a player who has left since, by a kick that was queued before it.
                Output::Frame(FromRoom::Transfer { seat, .. }) if self.seat(seat).is_none() => {}
                Output::Emit { to, .. } if !self.room.seats.get_mut().by_conn.contains_key(&to) => {
                }
                Output::Emit { to, event, volatile } => self.emit_to(to, event, volatile),
                output => self.output.push_back(output),
            }
        }
    }

    /// Tells a page that its player is in the room, and what the room looks like.
    fn send_joined(&mut self, conn: ConnId, player: &Player<R::Profile>) {
        let announces = self.room.announces.get();
        let away = self.room.seats.get_mut().expiring().filter(|seat| announces && seat.joined);
        let away = away.map(|seat| seat.player.id.clone()).collect();
        let room = &self.room;
        let all = room.players();
        let joined = Joined {
            room: room.id(),
            kind: room.kind(),
            code: room.code(),
            host: room.host(),
            you: player,
            players: if announces { &all } else { std::slice::from_ref(player) },
            away,
        };
        let event = Encoded::own("joined", &joined);
        // Nothing that was announced before this is news to the page.
        if let Some(seat) = self.room.seats.get_mut().by_conn(conn) {
            seat.sent.announcement = self.announcements.last();
        }
        self.emit_to(conn, Rc::new(event), false);
        self.refresh_state();
        self.send_state(conn);
    }

    /// Sends one of the cluster's own events.
    fn emit(&mut self, to: ConnId, name: &str, data: Value) {
        self.emit_to(to, Rc::new(Encoded::own(name, &data)), false);
    }

    fn frame(&mut self, frame: FromRoom) {
        self.output.push_back(Output::Frame(frame));
    }
}

/// How the room ends after this panic; `None` if the room continues. In a test the panic is
/// propagated.
fn crash(on_panic: Option<RoomPanic>, panic: HookPanic) -> Option<Exit> {
    match on_panic {
        None => std::panic::resume_unwind(panic.payload),
        Some(RoomPanic::Continue) => None,
        Some(RoomPanic::EndRoom) => Some(Exit::Crashed(panic.what)),
    }
}
