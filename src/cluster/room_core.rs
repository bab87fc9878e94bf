//! A room without processes, sockets or clocks: who has a seat, which hook is called when, and what
//! goes out. `room_loop.rs` feeds it what happened and carries out the effects.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{
    Bytes,
    agenda::{Call, later},
    channel::{FromRoom, HeldSeat, Route},
    connection::{ConnId, refused},
    ctx::{Ctx, Output, encode},
    events::{self, Encoded},
    panics::{Hooks, Panic},
    room_hooks::Room,
    settings::RoomPanic,
    ticker::{Tick, Ticker},
    tickets::Tickets,
    words::{Answer, Leave, Player, PlayerId, Refusal, from_raw},
};

/// A room's id is a number; a longer one may come from a browser, and not fit into a frame.
const MAX_ROOM_ID: usize = 64;

/// What the loop has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    Emit {
        to: ConnId,
        event: Rc<Encoded>,
        volatile: bool,
    },
    HangUp(ConnId),
    /// Its page is to stay where it is.
    Dismiss(ConnId, Refusal),
    /// Send the page on to another room.
    SendOn(ConnId, Route),
    Frame(FromRoom),
}

pub(crate) struct Core<R: Room> {
    game: R,
    room: Ctx<R>,
    hooks: Hooks,
    seats: BTreeMap<PlayerId, Seat>,
    conns: HashMap<ConnId, PlayerId>,
    tickets: Arc<Tickets>,
    ticket_ttl: Duration,
    banned: HashMap<PlayerId, String>,
    empty_since: Option<Instant>,
    ticker: Ticker,
    /// Until when the room is to have ended, and the reason for it.
    draining: Option<(Instant, String)>,
    /// Set when the room ends: with what outcome, if any.
    ending: Option<Option<Box<RawValue>>>,
    effects: Vec<Effect>,
}

struct Seat {
    /// As the lobby numbers it; a newer hold for the same player has a higher one.
    number: u64,
    player: Player,
    place: Place,
    /// The order of joining.
    joined: Option<u64>,
    /// Given to him again while he was here: until when that ticket waits.
    again: Option<Instant>,
}

enum Place {
    /// Waits for its player to show the ticket.
    Held {
        until: Instant,
    },
    Here(ConnId),
    /// Dropped, within the grace.
    Away {
        until: Instant,
    },
}

impl<R: Room> Core<R> {
    /// `on_panic`: what a panic in a hook does; without it, it goes on.
    pub fn new(
        game: R,
        room: Ctx<R>,
        tickets: Arc<Tickets>,
        ticket_ttl: Duration,
        on_panic: Option<RoomPanic>,
    ) -> Self {
        let now = room.agenda.now();
        let mut core = Core {
            game,
            room,
            hooks: Hooks::new(on_panic),
            seats: BTreeMap::new(),
            conns: HashMap::new(),
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

    pub fn handle(&self) -> &Ctx<R> {
        &self.room
    }

    pub fn game(&self) -> &R {
        &self.game
    }

    /// The time at which all that follows happens, until this is called again.
    pub fn set_now(&mut self, now: Instant) {
        self.room.agenda.set_now(now);
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the room is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some() || self.crashed().is_some()
    }

    /// Which hook has ended the room by a panic, and what it said.
    pub fn crashed(&self) -> Option<&str> {
        self.hooks.crashed()
    }

    /// The lobby gives seats to players who come together: all of them, or none. One who has a seat
    /// already keeps it.
    pub fn hold(&mut self, join: u64, seats: Vec<HeldSeat>) {
        let mut new = Vec::new();
        for held in &seats {
            match self.seats.get_mut(&held.player.id) {
                Some(seat) => seat.number = held.seat,
                None => new.push((held.seat, held.player.clone())),
            }
        }
        let admitted = self.has_room_for(new.len());
        let admitted = admitted.and_then(|()| new.iter().try_for_each(|(_, who)| self.admit(who)));
        if let Err(refusal) = admitted {
            for (seat, _) in new {
                self.frame(FromRoom::Left { seat, reason: refusal.code().to_owned() });
            }
            return self.frame(FromRoom::HoldRefused { join, refusal });
        }
        let now = self.now();
        let until = now + self.ticket_ttl;
        for (number, player) in new {
            let place = Place::Held { until };
            let seat = Seat { number, player, place, joined: None, again: None };
            self.seats.insert(seat.player.id.clone(), seat);
            self.empty_since = None;
        }
        for HeldSeat { ticket, player, .. } in seats {
            if let Some(seat) = self.seats.get_mut(&player.id) {
                match &mut seat.place {
                    Place::Held { until: old } | Place::Away { until: old } => {
                        *old = until.max(*old);
                    }
                    Place::Here(_) => seat.again = Some(until),
                }
            }
            self.tickets.add(ticket, player.id, now, until);
        }
        self.update_expected();
        self.frame(FromRoom::Held { join });
    }

    /// The lobby has looked already; but this room may have been locked a moment ago.
    fn has_room_for(&self, new: usize) -> Result<(), Refusal> {
        if new > 0 && self.room.is_locked() {
            Err(Refusal::RoomLocked)
        } else if self.seats.len() + new > self.room.capacity() {
            Err(Refusal::RoomFull)
        } else {
            Ok(())
        }
    }

    fn admit(&mut self, player: &Player) -> Result<(), Refusal> {
        if let Some(reason) = self.banned.get(&player.id) {
            return Err(Refusal::Banned(reason.clone()));
        }
        self.hook("on_admit", |game, room| game.on_admit(room, player))
            .unwrap_or(Err(Refusal::Internal))
    }

    /// A connection has redeemed its ticket: a player joins or returns.
    pub fn come(&mut self, conn: ConnId, id: &PlayerId) {
        let Some(seat) = self.seats.get_mut(id) else {
            // The seat expired in the moment in which its ticket was shown.
            return self.effects.push(Effect::HangUp(conn));
        };
        let player = seat.player.clone();
        let number = seat.number;
        let before = std::mem::replace(&mut seat.place, Place::Here(conn));
        seat.again = None;
        self.conns.insert(conn, id.clone());
        self.room.set_away(id, false);
        self.frame(FromRoom::Joined { seat: number });
        if let Place::Here(old) = before {
            self.conns.remove(&old);
            self.effects.push(Effect::Dismiss(old, Refusal::Replaced));
        }
        if let Place::Held { .. } = before {
            let order = self.seats.values().filter_map(|seat| seat.joined).max().unwrap_or(0) + 1;
            self.seats.entry(id.clone()).and_modify(|seat| seat.joined = Some(order));
            self.update_players();
            self.update_expected();
            self.welcome(conn, &player);
            self.tell_others(id, "player_joined", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, "joined");
            self.hook("on_join", |game, room| game.on_join(room, &player));
        } else {
            self.welcome(conn, &player);
            self.tell_others(id, "player_returned", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, "returned");
            self.hook("on_return", |game, room| game.on_return(room, &player));
        }
    }

    /// A player asks something.
    pub fn says(&mut self, conn: ConnId, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.player_of(conn).ok_or(Refusal::RoomGone)?;
        let request = events::decode(name, data)?;
        self.hook("on_message", |game, room| game.on_message(room, &player, request))
            .unwrap_or(Err(Refusal::Internal))
    }

    /// A player sends bytes.
    pub fn says_binary(&mut self, conn: ConnId, data: Bytes) -> Answer {
        let player = self.player_of(conn).ok_or(Refusal::RoomGone)?;
        self.hook("on_binary", |game, room| game.on_binary(room, &player, data))
            .unwrap_or(Err(Refusal::Internal))
    }

    /// A connection is gone: `asked` by the player, or lost.
    pub fn gone(&mut self, conn: ConnId, asked: bool) {
        let Some(player) = self.player_of(conn) else {
            return;
        };
        self.conns.remove(&conn);
        if asked {
            return self.leave(&player.id, Leave::Left);
        }
        self.room.set_away(&player.id, true);
        let grace = self.hook("on_drop", |game, room| game.on_drop(room, &player));
        let Some(grace) = grace.flatten() else {
            return self.leave(&player.id, Leave::Dropped);
        };
        let until = later(self.now(), grace);
        if let Some(seat) = self.seats.get_mut(&player.id) {
            seat.place = Place::Away { until };
            let seat = seat.number;
            self.frame(FromRoom::Dropped { seat });
            self.tell_others(&player.id, "player_dropped", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, ?grace, "dropped; seat kept");
        }
    }

    /// The lobby puts a player out, for a reason or because he wants to.
    pub fn release(&mut self, number: u64, reason: Option<String>) {
        if let Some((id, conn)) = self.seat(number) {
            // He has said so in the lobby: if he is here as well, it is in an older window.
            if let (Some(conn), None) = (conn, &reason) {
                self.effects.push(Effect::Dismiss(conn, Refusal::Replaced));
            }
            self.seats.entry(id.clone()).and_modify(|seat| seat.again = None);
            self.leave(&id, reason.map_or(Leave::Left, Leave::Kicked));
        }
    }

    /// The player has a seat in another room. Without a route he goes there from the lobby: if he is
    /// here as well, it is in an older window.
    pub fn move_on(&mut self, number: u64, to: Option<Route>) {
        let Some((id, conn)) = self.seat(number) else {
            return;
        };
        if let Some(conn) = conn {
            self.effects.push(match to {
                Some(route) => Effect::SendOn(conn, route),
                None => Effect::Dismiss(conn, Refusal::Replaced),
            });
        }
        self.leave(&id, Leave::Moved);
    }

    /// The player was refused a seat in another room.
    pub fn refused(&mut self, number: u64, refusal: &Refusal) {
        if let Some((_, Some(conn))) = self.seat(number) {
            self.tell(conn, "refused", refused("reroute", refusal));
        }
    }

    fn seat(&self, number: u64) -> Option<(PlayerId, Option<ConnId>)> {
        let (id, seat) = self.seats.iter().find(|(_, seat)| seat.number == number)?;
        let conn = if let Place::Here(conn) = seat.place { Some(conn) } else { None };
        Some((id.clone(), conn))
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

    /// Work that a hook gave away is done.
    pub fn call(&mut self, call: Call<R, Ctx<R>>) {
        self.hook("spawn or compute", |game, room| call(game, room));
    }

    /// An answer that came later has panicked instead.
    pub fn panicked(&mut self, panic: Panic) {
        self.hooks.panicked("later", panic);
    }

    /// Does what is due: timers, a tick, seats whose time is up, the end of an empty room.
    pub fn advance(&mut self, now: Instant) {
        while !self.is_ending()
            && let Some((timer, due)) = self.room.agenda.pop_due(now)
        {
            self.hook("timer", |game, room| room.agenda.run(now, timer, due, game, room));
        }
        self.tick(now);
        for (id, why) in self.overdue(now) {
            self.leave(&id, why);
        }
        let over = |(until, _): &(Instant, String)| *until <= now || self.seats.is_empty();
        let drained = self.draining.as_ref().is_some_and(over);
        let deserted = self.empty_until().is_some_and(|until| until <= now);
        if (drained || deserted) && !self.is_ending() {
            self.ending = Some(None);
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
        self.room.agenda.now()
    }

    /// When [`Core::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let tick = self.room.tick_period().map(|period| self.ticker.due(period));
        let seats = self.waiting().map(|(_, until, _)| until).min();
        let timer = self.room.agenda.deadline();
        let drain = self.draining.as_ref().map(|(until, _)| *until);
        [tick, self.empty_until(), seats, timer, drain].into_iter().flatten().min()
    }

    /// Sends everyone to the lobby; the outcome. Then only `on_dispose` is left to be called, and in a room that
    /// has crashed no hook at all.
    pub fn finish(&mut self) -> Option<Box<RawValue>> {
        let outcome = self.ending.take().flatten();
        let reason = self.draining.take().map_or("closed".to_owned(), |(_, reason)| reason);
        let why = match &outcome {
            _ if self.crashed().is_some() => Leave::Closed("crashed".to_owned()),
            Some(_) => Leave::Finished,
            None => Leave::Closed(reason),
        };
        for id in self.seats.keys().cloned().collect::<Vec<_>>() {
            self.leave(&id, why.clone());
        }
        outcome
    }

    pub fn into_game(self) -> R {
        self.game
    }

    /// A player is out for good, or never came.
    fn leave(&mut self, id: &PlayerId, why: Leave) {
        let Some(Seat { number, player, place, joined, again }) = self.seats.remove(id) else {
            return;
        };
        let goes = matches!(why, Leave::Left | Leave::Dropped);
        if let Some(until) = again.filter(|until| goes && *until > self.now()) {
            // The lobby has sent him here again before this was known: he goes, and comes again.
            let place = Place::Held { until };
            let seat = Seat { number, player: player.clone(), place, joined: None, again: None };
            self.seats.insert(id.clone(), seat);
            self.update_expected();
        } else {
            self.frame(FromRoom::Left { seat: number, reason: why.to_string() });
            self.tickets.forget(id);
        }
        self.room.set_away(id, false);
        // Unless it is the connection that has ended.
        if let Place::Here(conn) = place
            && self.conns.remove(&conn).is_some()
        {
            if !matches!(why, Leave::Moved | Leave::Left) {
                self.tell(conn, "reroute", json!({ "to": "lobby", "reason": why }));
            }
            self.effects.push(Effect::HangUp(conn));
        }
        if joined.is_some() {
            self.update_players();
            let news = json!({ "player": player, "reason": why });
            self.tell_others(id, "player_left", news);
            tracing::info!(player = %player.name, id = %player.id, %why, "left");
            self.hook("on_leave", |game, room| game.on_leave(room, &player, why));
        } else {
            self.update_expected();
            tracing::info!(player = %player.name, id = %player.id, %why, "never came");
        }
        if self.seats.is_empty() {
            self.empty_since = Some(self.now());
        }
    }

    /// Calls a hook, and turns what it queued into effects. `None`: it panicked, or one before it did and
    /// the room ends.
    fn hook<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut R, &Ctx<R>) -> T,
    ) -> Option<T> {
        let result = self.hooks.call(name, || call(&mut self.game, &self.room));
        self.flush();
        result
    }

    fn flush(&mut self) {
        // Leaving calls a hook, which may queue more: one output after the other.
        for output in self.room.out.take() {
            match output {
                Output::Send { to, event } => {
                    if let Some(Seat { place: Place::Here(conn), .. }) = self.seats.get(&to) {
                        self.effects.push(Effect::Emit { to: *conn, event, volatile: false });
                    }
                }
                Output::Broadcast { event, except, volatile } => {
                    self.emit_all(&event, except.as_ref(), volatile);
                }
                Output::Sync => {
                    for (conn, player) in self.here() {
                        self.snapshot(conn, &player);
                    }
                }
                Output::SendToLobby { player, why } => self.leave(&player, why),
                Output::SendToRoom { player, room } => {
                    let seat = self.seats.get(&player).map(|seat| seat.number);
                    if let Some(seat) = seat.filter(|_| room.0.len() > MAX_ROOM_ID) {
                        self.refused(seat, &Refusal::NoSuchRoom);
                    } else if let Some(seat) = seat {
                        self.frame(FromRoom::SendOn { seat, room });
                    }
                }
                Output::Ban { player, reason } => {
                    self.banned.insert(player.clone(), reason.clone());
                    self.leave(&player, Leave::Kicked(reason));
                }
                Output::Frame(frame) => self.frame(frame),
                Output::Close { outcome } => {
                    self.ending.get_or_insert(Some(outcome));
                }
            }
        }
    }

    fn welcome(&mut self, conn: ConnId, player: &Player) {
        let room = &self.room;
        let (id, code, players) = (room.id(), room.code(), &*room.players());
        let away = players.iter().map(|player| &player.id).filter(|id| !room.is_here(id));
        let away: Vec<&PlayerId> = away.collect();
        let joined = json!({
            "room": id, "code": code, "host": room.host(),
            "you": player, "players": players, "away": away,
        });
        self.tell(conn, "joined", joined);
        self.snapshot(conn, player);
    }

    fn snapshot(&mut self, to: ConnId, player: &Player) {
        let event = self.hooks.call("snapshot", || self.game.snapshot(&self.room, player));
        if let Some(event) = event.flatten().as_ref().and_then(encode) {
            self.effects.push(Effect::Emit { to, event, volatile: false });
        }
    }

    fn tell(&mut self, to: ConnId, name: &str, data: Value) {
        if let Some(event) = own_event(name, data) {
            self.effects.push(Effect::Emit { to, event, volatile: false });
        }
    }

    fn tell_others(&mut self, except: &PlayerId, name: &str, data: Value) {
        if let Some(event) = own_event(name, data) {
            self.emit_all(&event, Some(except), false);
        }
    }

    fn emit_all(&mut self, event: &Rc<Encoded>, except: Option<&PlayerId>, volatile: bool) {
        for (to, id) in &self.conns {
            if Some(id) != except {
                self.effects.push(Effect::Emit { to: *to, event: event.clone(), volatile });
            }
        }
    }

    fn frame(&mut self, frame: FromRoom) {
        self.effects.push(Effect::Frame(frame));
    }

    fn player_of(&self, conn: ConnId) -> Option<Player> {
        let seat = self.seats.get(self.conns.get(&conn)?)?;
        Some(seat.player.clone())
    }

    fn here(&self) -> Vec<(ConnId, Player)> {
        let conns = self.conns.iter();
        conns.filter_map(|(conn, id)| Some((*conn, self.seats.get(id)?.player.clone()))).collect()
    }

    /// Seats without a connection: until when they are kept, and what it is called when they are not.
    fn waiting(&self) -> impl Iterator<Item = (&PlayerId, Instant, Leave)> {
        // Most of the time every seat has a connection, and this need not look at them.
        let all_here = self.conns.len() == self.seats.len();
        let seats = (!all_here).then_some(&self.seats).into_iter().flatten();
        seats.filter_map(|(id, seat)| match seat.place {
            Place::Held { until } => Some((id, until, Leave::Expired)),
            Place::Away { until } => Some((id, until, Leave::Dropped)),
            Place::Here(_) => None,
        })
    }

    fn overdue(&self, now: Instant) -> Vec<(PlayerId, Leave)> {
        let overdue = self.waiting().filter(|(_, until, _)| *until <= now);
        overdue.map(|(id, _, why)| (id.clone(), why)).collect()
    }

    fn update_players(&mut self) {
        let joined = self.seats.values().filter_map(|seat| Some((seat.joined?, &seat.player)));
        let in_order: BTreeMap<u64, &Player> = joined.collect();
        self.room.set_players(in_order.into_values().cloned().collect());
    }

    fn update_expected(&mut self) {
        let held = self.seats.values().filter(|seat| matches!(seat.place, Place::Held { .. }));
        self.room.set_expected(held.map(|seat| seat.player.clone()).collect());
    }
}

/// One of the cluster's own events.
fn own_event(name: &str, data: Value) -> Option<Rc<Encoded>> {
    let data = serde_json::value::to_raw_value(&data).ok()?;
    Some(Rc::new(Encoded::Json { name: name.to_owned(), data }))
}
