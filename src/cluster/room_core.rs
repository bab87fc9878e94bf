//! A room without processes, sockets or clocks: who has a seat, which hook is called when, and what
//! goes out. `room_loop.rs` feeds it what happened and carries out the effects.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{
    agenda::Call,
    channel::FromRoom,
    connection::{self, ConnId},
    ctx::{Ctx, Output, encode},
    events::{self, Encoded},
    room_hooks::Room,
    words::{Answer, Leave, Player, PlayerId, Refusal, from_raw},
};

/// Ticks that are late by more than this are dropped, so that a slow moment is not followed by a burst.
const MAX_LATE_TICKS: u32 = 2;

/// What the loop has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    Emit { to: ConnId, event: Rc<Encoded>, volatile: bool },
    HangUp(ConnId),
    Frame(FromRoom),
}

/// Who may come: a ticket is taken out by the first connection that shows it, before that connection
/// is answered. Shared with the connections' side; nothing else is.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, (PlayerId, Instant)>>);

impl Tickets {
    fn add(&self, ticket: String, player: PlayerId, until: Instant) {
        let mut tickets = self.0.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, until)| *other != player && Instant::now() < *until);
        tickets.insert(ticket, (player, until));
    }

    /// The ticket's player, once and in time.
    pub fn redeem(&self, ticket: &str) -> Result<PlayerId, Refusal> {
        let mut tickets = self.0.lock().expect("nobody panics while holding this");
        match tickets.remove(ticket) {
            Some((player, until)) if Instant::now() < until => Ok(player),
            _ => Err(Refusal::BadTicket),
        }
    }
}

pub(crate) struct Core<R: Room> {
    game: R,
    room: Ctx<R>,
    seats: BTreeMap<PlayerId, Seat>,
    conns: HashMap<ConnId, PlayerId>,
    tickets: Arc<Tickets>,
    ticket_ttl: Duration,
    empty_timeout: Duration,
    empty_since: Option<Instant>,
    last_tick: Instant,
    next_tick: Option<Instant>,
    drain_until: Option<Instant>,
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
    pub fn new(
        game: R,
        room: Ctx<R>,
        tickets: Arc<Tickets>,
        ticket_ttl: Duration,
        empty_timeout: Duration,
    ) -> Self {
        let now = Instant::now();
        let mut core = Core {
            game,
            room,
            seats: BTreeMap::new(),
            conns: HashMap::new(),
            tickets,
            ticket_ttl,
            empty_timeout,
            empty_since: Some(now),
            last_tick: now,
            next_tick: None,
            drain_until: None,
            ending: None,
            effects: vec![Effect::Frame(FromRoom::Ready)],
        };
        core.flush();
        core
    }

    pub fn handle(&self) -> &Ctx<R> {
        &self.room
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the room is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The lobby gives a seat to a player. One who has a seat already keeps it.
    pub fn hold(&mut self, number: u64, ticket: String, player: Player) {
        let until = Instant::now() + self.ticket_ttl;
        if let Some(seat) = self.seats.get_mut(&player.id) {
            seat.number = number;
            if let Place::Held { until: old } | Place::Away { until: old } = &mut seat.place {
                *old = until.max(*old);
            }
        } else if let Err(refusal) = self.hook(|game, room| game.on_admit(room, &player)) {
            return self.frame(FromRoom::HoldRefused { seat: number, refusal });
        } else {
            let place = Place::Held { until };
            let seat = Seat { number, player: player.clone(), place, joined: None };
            self.seats.insert(player.id.clone(), seat);
            self.empty_since = None;
        }
        self.tickets.add(ticket, player.id, until);
        self.frame(FromRoom::Held { seat: number });
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
        self.conns.insert(conn, id.clone());
        self.frame(FromRoom::Joined { seat: number });
        if let Place::Here(old) = before {
            self.conns.remove(&old);
            self.tell(old, "refused", connection::refused("connect", &Refusal::Replaced));
            self.effects.push(Effect::HangUp(old));
        }
        if let Place::Held { .. } = before {
            let order = self.seats.values().filter_map(|seat| seat.joined).max().unwrap_or(0) + 1;
            self.seats.entry(id.clone()).and_modify(|seat| seat.joined = Some(order));
            self.update_players();
            self.welcome(conn, &player);
            self.tell_others(id, "player_joined", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, "joined");
            self.hook(|game, room| game.on_join(room, &player));
        } else {
            self.welcome(conn, &player);
            self.tell_others(id, "player_returned", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, "returned");
            self.hook(|game, room| game.on_return(room, &player));
        }
    }

    /// A player asks something.
    pub fn says(&mut self, conn: ConnId, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.player_of(conn).ok_or(Refusal::RoomGone)?;
        let request = events::decode(name, data)?;
        self.hook(|game, room| game.on_message(room, &player, request))
    }

    /// A connection is gone: `asked` by the player, or lost.
    pub fn gone(&mut self, conn: ConnId, asked: bool) {
        let Some(player) = self.player_of(conn) else {
            return;
        };
        if asked {
            return self.leave(&player.id, Leave::Left);
        }
        self.conns.remove(&conn);
        let Some(grace) = self.hook(|game, room| game.on_drop(room, &player)) else {
            return self.leave(&player.id, Leave::Dropped);
        };
        if let Some(seat) = self.seats.get_mut(&player.id) {
            seat.place = Place::Away { until: Instant::now() + grace };
            let seat = seat.number;
            self.frame(FromRoom::Dropped { seat });
            self.tell_others(&player.id, "player_dropped", json!({ "player": player }));
            tracing::info!(player = %player.name, id = %player.id, ?grace, "dropped; seat kept");
        }
    }

    /// The lobby takes a seat back.
    pub fn release(&mut self, number: u64, reason: String) {
        let seat = self.seats.values().find(|seat| seat.number == number);
        if let Some(id) = seat.map(|seat| seat.player.id.clone()) {
            self.leave(&id, Leave::Sent(reason));
        }
    }

    pub fn lobby_message(&mut self, message: &RawValue) -> anyhow::Result<()> {
        let message = from_raw(message)?;
        self.hook(|game, room| game.on_lobby_message(room, message));
        Ok(())
    }

    pub fn drain(&mut self, left: Duration) {
        self.drain_until = Some(Instant::now() + left);
        self.room.lock(true);
        self.hook(|game, room| game.on_drain(room, left));
    }

    /// Work that a hook gave away is done.
    pub fn call(&mut self, call: Call<R, Ctx<R>>) {
        self.hook(|game, room| call(game, room));
    }

    /// Does what is due: timers, a tick, seats whose time is up, the end of an empty room.
    pub fn advance(&mut self, now: Instant) {
        while !self.is_ending()
            && let Some((timer, due)) = self.room.agenda.pop_due(now)
        {
            self.hook(|game, room| room.agenda.run(now, timer, due, game, room));
        }
        if let Some(period) = self.room.tick_period() {
            let next = *self.next_tick.get_or_insert(self.last_tick + period);
            if next <= now && !self.is_ending() {
                let late = now - next > MAX_LATE_TICKS * period;
                self.next_tick = Some(if late { now } else { next } + period);
                let dt = now - std::mem::replace(&mut self.last_tick, now);
                self.hook(|game, room| game.on_tick(room, dt));
            }
        } else {
            (self.last_tick, self.next_tick) = (now, None);
        }
        for (id, why) in self.overdue(now) {
            self.leave(&id, why);
        }
        let drained = self.drain_until.is_some_and(|until| until <= now || self.seats.is_empty());
        let deserted = self.empty_since.is_some_and(|since| since + self.empty_timeout <= now);
        if (drained || deserted) && !self.is_ending() {
            self.ending = Some(None);
        }
    }

    /// When [`Core::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let tick = self.room.tick_period();
        let tick = tick.map(|period| self.next_tick.unwrap_or(self.last_tick + period));
        let empty = self.empty_since.map(|since| since + self.empty_timeout);
        let seats = self.waiting().map(|(_, until, _)| until).min();
        let timer = self.room.agenda.deadline();
        [tick, empty, seats, timer, self.drain_until].into_iter().flatten().min()
    }

    /// Sends everyone to the lobby. Then only `on_dispose` is left to be called.
    pub fn finish(mut self) -> (R, Vec<Effect>, Option<Box<RawValue>>) {
        let outcome = self.ending.take().flatten();
        let why = if outcome.is_some() { Leave::Finished } else { Leave::Closed };
        for id in self.seats.keys().cloned().collect::<Vec<_>>() {
            self.leave(&id, why.clone());
        }
        (self.game, self.effects, outcome)
    }

    /// A player is out for good, or never came.
    fn leave(&mut self, id: &PlayerId, why: Leave) {
        let Some(Seat { number, player, place, joined }) = self.seats.remove(id) else {
            return;
        };
        self.frame(FromRoom::Left { seat: number, why: why.clone() });
        if let Place::Here(conn) = place {
            self.conns.remove(&conn);
            if !matches!(why, Leave::Left | Leave::Dropped) {
                self.tell(conn, "reroute", json!({ "to": "lobby", "reason": why }));
                self.effects.push(Effect::HangUp(conn));
            }
        }
        if joined.is_some() {
            self.update_players();
            let news = json!({ "player": player, "reason": why });
            self.tell_others(id, "player_left", news);
            tracing::info!(player = %player.name, id = %player.id, %why, "left");
            self.hook(|game, room| game.on_leave(room, &player, why));
        } else {
            tracing::info!(player = %player.name, id = %player.id, %why, "never came");
        }
        if self.seats.is_empty() {
            self.empty_since = Some(Instant::now());
        }
    }

    /// Calls a hook, and turns what it queued into effects.
    fn hook<T>(&mut self, call: impl FnOnce(&mut R, &Ctx<R>) -> T) -> T {
        let result = call(&mut self.game, &self.room);
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
                Output::SendToLobby { player, reason } => self.leave(&player, Leave::Sent(reason)),
                Output::Frame(frame) => self.frame(frame),
                Output::Close { outcome } => {
                    self.ending.get_or_insert(Some(outcome));
                }
            }
        }
    }

    fn welcome(&mut self, conn: ConnId, player: &Player) {
        let welcome =
            json!({ "room": self.room.id(), "you": player, "players": *self.room.players() });
        self.tell(conn, "joined", welcome);
        self.snapshot(conn, player);
    }

    fn snapshot(&mut self, to: ConnId, player: &Player) {
        if let Some(event) = self.game.snapshot(player).as_ref().and_then(encode) {
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
}

/// One of the cluster's own events.
fn own_event(name: &str, data: Value) -> Option<Rc<Encoded>> {
    let data = serde_json::value::to_raw_value(&data).ok()?;
    Some(Rc::new(Encoded { name: name.to_owned(), data }))
}
