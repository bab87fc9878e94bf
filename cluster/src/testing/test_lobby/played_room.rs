//! A room that a test plays, from the lobby's frames to its own: what a real room's core does with
//! seats, without hooks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config::Settings;
use crate::process::{FromRoom, ReservedSeat, RoomSpec, ToRoom};
use crate::room::Tickets;
use crate::runtime::later;
use crate::socketio::{refused, reroute};
use crate::testing::test_lobby::channel::{Channel, Effect};
use crate::testing::test_lobby::players::event_of;
use crate::types::{AnyPlayer, Exit, LeaveReason, PlayerId, Refusal, RoomId};

pub(super) struct PlayedRoom {
    pub channel: Channel,
    pub id: RoomId,
    /// What it was opened with.
    pub spec: Option<RoomSpec>,
    pub is_ready: bool,
    /// Frames that came before it was ready.
    waiting: VecDeque<ToRoom>,
    pub tickets: Tickets,
    seats: BTreeMap<PlayerId, Seat>,
    /// Refuses those who have no seat yet.
    pub refusal: Option<Refusal>,
    /// Messages of the lobby.
    pub told: Vec<Box<RawValue>>,
    pub draining: Option<(Instant, String)>,
    pub is_locked: bool,
    empty_since: Option<Instant>,
    pub effects: VecDeque<Effect>,
    /// The time of the current input.
    pub now: Instant,
    ticket_ttl: Duration,
    empty_timeout: Duration,
}

struct Seat {
    number: u64,
    player: AnyPlayer,
    options: Option<Value>,
    state: SeatState,
    /// When the ticket that the player got while connected expires.
    next_ticket_expires: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum SeatState {
    Reserved(Instant),
    Connected,
    Away(Instant),
}

impl PlayedRoom {
    pub fn new(id: RoomId, channel: Channel, settings: &Settings, now: Instant) -> Self {
        PlayedRoom {
            channel,
            id,
            spec: None,
            is_ready: false,
            waiting: VecDeque::new(),
            tickets: Tickets::default(),
            seats: BTreeMap::new(),
            refusal: None,
            told: Vec::new(),
            draining: None,
            is_locked: false,
            empty_since: None,
            effects: VecDeque::new(),
            now,
            ticket_ttl: settings.ticket_ttl,
            empty_timeout: settings.empty_timeout,
        }
    }

    fn frame(&mut self, frame: FromRoom) {
        self.effects.push_back(Effect::Frame(frame));
    }

    /// `on_open` has returned.
    pub fn ready(&mut self) {
        self.is_ready = true;
        self.empty_since = Some(self.now);
        self.frame(FromRoom::Ready);
        for frame in std::mem::take(&mut self.waiting) {
            self.receive(frame);
        }
    }

    /// A frame of the lobby.
    pub fn receive(&mut self, frame: ToRoom) {
        match frame {
            ToRoom::Open { spec, .. } => self.spec = Some(spec),
            frame if !self.is_ready => self.waiting.push_back(frame),
            ToRoom::Reserve { join, seats } => self.reserve(join, seats),
            ToRoom::Release { seat, reason } => {
                let Some(id) = self.at(seat) else { return };
                if reason == LeaveReason::Left {
                    self.dismiss(&id);
                }
                self.seats.entry(id.clone()).and_modify(|seat| seat.next_ticket_expires = None);
                self.leave(&id, reason);
            }
            ToRoom::Transfer { seat, to } => {
                let Some(id) = self.at(seat) else { return };
                match to {
                    Some(route) => self.emit(&id, "reroute", reroute(&route)),
                    None => self.dismiss(&id),
                }
                self.leave(&id, LeaveReason::Moved);
            }
            ToRoom::Profile { seat, profile } => {
                let Some(id) = self.at(seat) else { return };
                self.seats.entry(id).and_modify(|seat| seat.player.profile = profile);
            }
            ToRoom::Refused { seat, refusal } => {
                let Some(id) = self.at(seat) else { return };
                self.emit(&id, "refused", refused("reroute", &refusal));
            }
            ToRoom::Message(message) => self.told.push(message),
            ToRoom::Drain { remaining_ms, reason } => {
                let until = later(self.now, Duration::from_millis(remaining_ms));
                if self.draining.as_ref().is_none_or(|(earlier, _)| until < *earlier) {
                    self.draining = Some((until, reason));
                    self.lock(true);
                }
            }
            ToRoom::Setup { .. } | ToRoom::Note(_) | ToRoom::Describe | ToRoom::Socket => {}
        }
    }

    pub fn lock(&mut self, locked: bool) {
        if std::mem::replace(&mut self.is_locked, locked) != locked {
            self.frame(FromRoom::Locked(locked));
        }
    }

    fn reserve(&mut self, join: u64, seats: Vec<ReservedSeat>) {
        let mut new = Vec::new();
        for ReservedSeat { seat, ticket, player, options } in seats {
            let until = self.now + self.ticket_ttl;
            match self.seats.get_mut(&player.id) {
                Some(kept) => {
                    kept.number = seat;
                    kept.options = options.or(kept.options.take());
                    match &mut kept.state {
                        SeatState::Reserved(old) | SeatState::Away(old) => *old = until.max(*old),
                        SeatState::Connected => kept.next_ticket_expires = Some(until),
                    }
                    self.tickets.add(ticket, player.id, until);
                }
                None => new.push((ticket, self.seat(seat, player, options, until))),
            }
        }
        let capacity = self.spec.as_ref().map_or(0, |spec| spec.capacity);
        let refusal = if new.is_empty() {
            None
        } else if self.is_locked {
            Some(Refusal::ROOM_LOCKED)
        } else if self.seats.len() + new.len() > capacity {
            Some(Refusal::ROOM_FULL)
        } else {
            self.refusal.clone()
        };
        if let Some(refusal) = refusal {
            for (_, Seat { number: seat, .. }) in new {
                self.frame(FromRoom::Left { seat, reason: LeaveReason::Expired });
            }
            return self.frame(FromRoom::ReserveRefused { join, refusal });
        }
        for (ticket, seat) in new {
            let id = seat.player.id.clone();
            self.tickets.add(ticket, id.clone(), self.now + self.ticket_ttl);
            self.seats.insert(id, seat);
            self.empty_since = None;
        }
        self.frame(FromRoom::Reserved { join });
    }

    fn seat(&self, number: u64, player: AnyPlayer, options: Option<Value>, until: Instant) -> Seat {
        let state = SeatState::Reserved(until);
        Seat { number, player, options, state, next_ticket_expires: None }
    }

    /// A player connects with their ticket, which they have redeemed.
    pub fn connected(&mut self, id: &PlayerId) {
        let until = self.tickets.until(id);
        let Some(seat) = self.seats.get_mut(id) else { return };
        seat.state = SeatState::Connected;
        seat.next_ticket_expires = until;
        let seat = seat.number;
        self.frame(FromRoom::Connected { seat });
    }

    /// A player's connection is lost; without a grace period they leave.
    pub fn disconnected(&mut self, id: &PlayerId, grace: Option<Duration>) {
        if !self.has(id) {
            return;
        }
        self.effects.push_back(Effect::HangUp { player: id.clone(), returns: false });
        let Some(grace) = grace else { return self.leave(id, LeaveReason::Dropped) };
        let Some(seat) = self.seats.get_mut(id) else { return };
        seat.state = SeatState::Away(later(self.now, grace));
        let (seat, grace_ms) = (seat.number, grace.as_millis().try_into().unwrap_or(u64::MAX));
        self.frame(FromRoom::Disconnected { seat, grace_ms });
    }

    /// Ends a player's stay, or their reservation.
    pub fn leave(&mut self, id: &PlayerId, reason: LeaveReason) {
        let Some(seat) = self.seats.remove(id) else { return };
        let Seat { number, player, options, state, next_ticket_expires } = seat;
        let on_their_own = matches!(reason, LeaveReason::Left | LeaveReason::Dropped);
        match next_ticket_expires.filter(|until| on_their_own && *until > self.now) {
            // The lobby sent them here again before it knew that they had left.
            Some(until) => {
                let seat = self.seat(number, player, options, until);
                self.seats.insert(id.clone(), seat);
            }
            None => {
                self.frame(FromRoom::Left { seat: number, reason: reason.clone() });
                self.tickets.revoke(id);
            }
        }
        if state == SeatState::Connected {
            if !matches!(reason, LeaveReason::Moved | LeaveReason::Left | LeaveReason::Dropped) {
                self.tell_way(id, &reason);
            }
            self.effects.push_back(Effect::HangUp { player: id.clone(), returns: true });
        }
        if self.seats.is_empty() {
            self.empty_since = Some(self.now);
        }
    }

    /// Sends a player's page to the lobby.
    pub fn tell_way(&mut self, id: &PlayerId, reason: &LeaveReason) {
        let sent = event_of("reroute", json!({ "to": "lobby", "reason": reason }));
        self.effects.push_back(Effect::Emit(id.clone(), sent));
    }

    /// The room ends in this way.
    pub fn end(&mut self, exit: Exit, reason: LeaveReason) {
        match &exit {
            Exit::Hung | Exit::NeverReady(_) => {}
            Exit::Crashed(_) => {
                self.frame(FromRoom::Ending(exit.clone()));
                self.all_leave(&reason);
            }
            Exit::Finished | Exit::Closed => {
                self.all_leave(&reason);
                self.frame(FromRoom::Ending(exit.clone()));
            }
        }
        self.effects.push_back(Effect::Exit(exit));
    }

    fn all_leave(&mut self, reason: &LeaveReason) {
        for id in self.seats.keys().cloned().collect::<Vec<_>>() {
            self.leave(&id, reason.clone());
        }
    }

    /// Does what is due: seats expire, a room that drains or is empty closes.
    pub fn expire(&mut self) {
        if !self.is_ready {
            return;
        }
        let expired = self.expirations().filter(|(_, until, _)| *until <= self.now);
        let expired: Vec<_> = expired.map(|(id, _, reason)| (id.clone(), reason)).collect();
        for (id, reason) in expired {
            self.leave(&id, reason);
        }
        let drained =
            self.draining.as_ref().filter(|(until, _)| *until <= self.now || self.seats.is_empty());
        if let Some((_, reason)) = drained.cloned() {
            self.end(Exit::Closed, LeaveReason::Closed(reason));
        } else if self.empty_until().is_some_and(|until| until <= self.now) {
            self.end(Exit::Closed, LeaveReason::Closed("The room was empty.".to_owned()));
        }
    }

    fn expirations(&self) -> impl Iterator<Item = (&PlayerId, Instant, LeaveReason)> {
        self.seats.iter().filter_map(|(id, seat)| match seat.state {
            SeatState::Reserved(until) => Some((id, until, LeaveReason::Expired)),
            SeatState::Away(until) => Some((id, until, LeaveReason::Dropped)),
            SeatState::Connected => None,
        })
    }

    fn empty_until(&self) -> Option<Instant> {
        Some(later(self.empty_since?, self.empty_timeout))
    }

    pub fn is_due(&self, now: Instant) -> bool {
        let is_drained = self.draining.is_some() && self.seats.is_empty();
        self.is_ready && (is_drained || self.deadline().is_some_and(|due| due <= now))
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let seats = self.expirations().map(|(_, until, _)| until).min();
        let drained = self.draining.as_ref().map(|(until, _)| *until);
        [seats, drained, self.empty_until()].into_iter().flatten().min()
    }

    /// Whether the player is connected.
    pub fn has(&self, id: &PlayerId) -> bool {
        self.seats.get(id).is_some_and(|seat| seat.state == SeatState::Connected)
    }

    pub fn options_of(&self, id: &PlayerId) -> Option<&Value> {
        self.seats.get(id)?.options.as_ref()
    }

    /// Asks the lobby to move a player to another room.
    pub fn ask_transfer(&mut self, id: &PlayerId, to: RoomId) {
        if let Some(seat) = self.seats.get(id).map(|seat| seat.number) {
            self.frame(FromRoom::Transfer { seat, room: to });
        }
    }

    fn at(&self, number: u64) -> Option<PlayerId> {
        let mut seats = self.seats.iter();
        seats.find(|(_, seat)| seat.number == number).map(|(id, _)| id.clone())
    }

    fn emit(&mut self, id: &PlayerId, name: &str, data: Value) {
        if self.has(id) {
            self.effects.push_back(Effect::Emit(id.clone(), event_of(name, data)));
        }
    }

    /// Ends a connection in favour of a newer one.
    fn dismiss(&mut self, id: &PlayerId) {
        self.emit(id, "refused", refused("connect", &Refusal::REPLACED));
    }
}
