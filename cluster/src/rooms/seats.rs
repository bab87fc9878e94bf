//! Seats: reserved, confirmed, moved and released. Seats are assigned only in this file.
//!
//! A join reserves its seats here first, and is pending until the room confirms them. A player who
//! moves keeps the old seat until then, so that a refusal leaves them where they are.

use std::collections::hash_map::Entry::Occupied;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use crate::auth::random_ticket;
use crate::process::channel::MAX_PARTY;
use crate::process::{ReservedSeat, ToRoom};
use crate::rooms::Rooms;
use crate::rooms::process_events::RoomNotice;
use crate::runtime::{Quota, clock};
use crate::types::{AnyPlayer, LeaveReason, PlayerId, Refusal, RoomId, Route, path_of};

/// Reroutes of a player that nobody asked for: one per second, ten at once. More are a redirect
/// loop, for example of two rooms that send a player to each other.
pub(super) const REDIRECTS: Quota = Quota::new(1, 10);

/// The seats of all players. A reload keeps them.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Seats {
    /// Each player's seats: one, two while they move, and those that rooms are about to free.
    pub all: HashMap<PlayerId, HashMap<RoomId, Seat>>,
    /// The room of each player's latest seat.
    pub latest: HashMap<PlayerId, RoomId>,
    pub joins: HashMap<u64, PendingJoin>,
    /// The number of the latest seat or join.
    pub last_number: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Seat {
    /// New for each reservation, so that a late frame about an earlier one has no effect.
    pub number: u64,
    pub player: AnyPlayer,
    pub place: SeatPlace,
    pub ticket: String,
    /// The join that reserved it last; 0 if that was an earlier lobby's.
    pub join: u64,
    /// The room that the player leaves when this seat is confirmed.
    pub from: Option<RoomId>,
    /// The player was rerouted here, and may be in the room.
    pub rerouted: bool,
}

/// Where the player of a seat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SeatPlace {
    /// They have not connected to the room since they got a seat there.
    Expected,
    Connected,
    /// The connection is lost; the room keeps the seat until then.
    Away {
        #[serde(with = "clock::time_left")]
        until: Instant,
    },
}

/// A join that the room has not confirmed yet.
#[derive(Serialize, Deserialize)]
pub(super) struct PendingJoin {
    room: RoomId,
    players: Vec<AnyPlayer>,
    #[serde(skip)]
    pub requesters: Vec<Requester>,
}

/// Waits for the outcome of a join.
pub(super) struct Requester {
    /// The player who asked; `None` if the lobby reroutes by itself.
    asker: Option<PlayerId>,
    pub answer: oneshot::Sender<Result<Value, Refusal>>,
}

impl Seats {
    /// Names and ids of the players who have a seat in a room.
    pub fn players_in(&self, room: &RoomId) -> Vec<String> {
        let seats = self.all.values().filter_map(|seats| seats.get(room));
        seats.map(|seat| format!("{} ({})", seat.player.name, seat.player.id)).collect()
    }

    /// A number for a seat or a join.
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl PendingJoin {
    /// Answers all requesters. Returns the player who asked, if they still wait for the answer.
    fn answer(&mut self, answer: &Result<Value, Refusal>) -> Option<PlayerId> {
        let mut asker = None;
        for requester in self.requesters.drain(..) {
            let heard = requester.answer.send(answer.clone()).is_ok();
            asker = asker.or(requester.asker.filter(|_| heard));
        }
        asker
    }
}

impl Rooms {
    /// The room in which the player has a seat.
    pub fn seat_of(&self, player: &PlayerId) -> Option<RoomId> {
        self.seats.latest.get(player).cloned()
    }

    /// Whether the player is in a room or on the way to one, as far as the lobby knows.
    pub(crate) fn was_rerouted(&self, player: &PlayerId) -> bool {
        self.seats.all.get(player).into_iter().flatten().any(|(_, seat)| seat.rerouted)
    }

    /// Whether the player has a seat in this room, and was rerouted to it.
    pub(crate) fn was_rerouted_to(&self, player: &PlayerId, room: &RoomId) -> bool {
        let seat = self.seat(player, room).filter(|_| self.seats.latest.get(player) == Some(room));
        seat.is_some_and(|seat| seat.rerouted)
    }

    pub(super) fn seat(&self, player: &PlayerId, room: &RoomId) -> Option<&Seat> {
        self.seats.all.get(player)?.get(room)
    }

    /// The seat with this number in a room, to be changed.
    pub(super) fn seat_mut(&mut self, room: &RoomId, number: u64) -> Option<&mut Seat> {
        let player = self.rooms.get(room)?.status.players.get(&number)?;
        self.touched_players.insert(player.0.clone());
        self.seats.all.get_mut(player)?.get_mut(room)
    }

    /// Reserves seats for a party: for all of them, or for none. Seats that they have there are
    /// kept. Each comes with what the room is passed on with it. `asker` has requested this;
    /// without one, the lobby reroutes by itself. The receiver gets the outcome.
    pub(crate) fn join(
        &mut self,
        mut party: Vec<(AnyPlayer, Option<Value>)>,
        asker: Option<PlayerId>,
        room: &RoomId,
    ) -> Result<oneshot::Receiver<Result<Value, Refusal>>, Refusal> {
        let mut ids = HashSet::new();
        party.retain(|(player, _)| ids.insert(player.id.clone()));
        if party.len() > MAX_PARTY {
            return Err(Refusal::PARTY_TOO_LARGE);
        }
        let is_new = |(player, _): &&(AnyPlayer, _)| self.seat(&player.id, room).is_none();
        let new = party.iter().filter(is_new).count();
        if new > 0 {
            self.check_stopping()?;
        }
        let entry = self.rooms.get(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        entry.check(new)?;
        // A slow room must not be killed for a full queue because its players ask too often.
        if entry.process.sender.is_busy() {
            return Err(Refusal::TOO_FAST);
        }
        let join = self.seats.next_number();
        let (answer, outcome) = oneshot::channel();
        let requesters = vec![Requester { asker, answer }];
        let mut pending = PendingJoin { room: room.clone(), players: Vec::new(), requesters };
        // Reserved before the room is asked, so that two joins cannot take the last seat.
        let reserve = |player| self.reserve(join, &mut pending, player);
        let seats = party.into_iter().filter_map(reserve).collect();
        if let Some(entry) = self.rooms.get(room) {
            entry.send(&ToRoom::Reserve { join, seats });
        }
        self.seats.joins.insert(join, pending);
        Ok(outcome)
    }

    /// Reserves a seat for one player of a join, in place of the one that they have in its room.
    fn reserve(
        &mut self,
        join: u64,
        pending: &mut PendingJoin,
        (player, options): (AnyPlayer, Option<Value>),
    ) -> Option<ReservedSeat> {
        let room = &pending.room;
        let (number, ticket) = (self.seats.next_number(), random_ticket());
        let before = self.seats.latest.insert(player.id.clone(), room.clone());
        let seat = before.as_ref().and_then(|room| self.seat(&player.id, room));
        let from = match (before, seat) {
            (Some(before), Some(seat)) if before == *room => seat.from.clone(),
            (Some(before), Some(seat)) if seat.rerouted => Some(before),
            (Some(before), Some(seat)) => {
                // They were about to go to another room, and do not any more.
                self.transfer(&before, &player.id, None);
                seat.from.clone().filter(|from| from != room)
            }
            _ => None,
        };
        self.touch(room);
        self.touched_players.insert(player.id.0.clone());
        let players = &mut self.rooms.get_mut(room)?.status.players;
        players.insert(number, player.id.clone());
        let seats = self.seats.all.entry(player.id.clone()).or_default();
        let kept = seats.get(room).map(|kept| (kept.rerouted, kept.place));
        let (rerouted, place) = kept.unwrap_or((false, SeatPlace::Expected));
        pending.players.push(player.clone());
        let reserved =
            ReservedSeat { seat: number, ticket: ticket.clone(), player: player.clone(), options };
        let seat = Seat { number, player, place, ticket, join, from, rerouted };
        let Some(kept) = seats.insert(room.clone(), seat) else { return Some(reserved) };
        players.remove(&kept.number);
        // This join replaces an earlier one of the same players, and answers its requesters too.
        if let Occupied(mut earlier) = self.seats.joins.entry(kept.join) {
            earlier.get_mut().players.retain(|other| other.id != reserved.player.id);
            if earlier.get().players.is_empty() {
                pending.requesters.extend(earlier.remove().requesters);
            }
        }
        Some(reserved)
    }

    /// Frees a seat whose player goes to another room. The room sends them there by this route;
    /// `None`: the lobby reroutes them, or they never came.
    pub(crate) fn transfer(&self, room: &RoomId, player: &PlayerId, to: Option<Route>) {
        self.send_about(room, player, |seat| ToRoom::Transfer { seat, to });
    }

    /// Releases a player's seats: they were kicked, or they sent `leave_room`.
    pub fn release(&mut self, player: &PlayerId, reason: &LeaveReason) {
        for room in self.rooms_of(player) {
            let reason = reason.clone();
            self.send_about(room, player, |seat| ToRoom::Release { seat, reason });
        }
        // At once: a player who is back before the room has answered is not rerouted there.
        self.seats.latest.remove(player);
        self.touched_players.insert(player.0.clone());
    }

    /// The rooms that the player was rerouted to, and whether they are there. One who moves has
    /// two.
    pub(crate) fn places_of(&self, player: &PlayerId) -> Vec<(RoomId, SeatPlace)> {
        let place = |room: &RoomId| {
            let seat = self.seat(player, room)?;
            seat.rerouted.then(|| (room.clone(), seat.place))
        };
        self.rooms_of(player).filter_map(place).collect()
    }

    /// A player who has a seat.
    pub(crate) fn seated_player(&self, player: &PlayerId) -> Option<&AnyPlayer> {
        Some(&self.seat(player, self.seats.latest.get(player)?)?.player)
    }

    /// The players who have seats.
    pub(crate) fn with_seats(&self) -> impl Iterator<Item = &PlayerId> {
        self.seats.all.keys()
    }

    /// Tells a player who is in a room that a reroute was refused.
    pub(crate) fn notify_refused(&self, player: &PlayerId, refusal: &Refusal) {
        for room in self.rooms_of(player) {
            let frame = |seat| ToRoom::Refused { seat, refusal: refusal.clone() };
            self.send_about(room, player, frame);
        }
    }

    /// The room in which the player has a seat, and the one that they leave for it. They are in no
    /// other, as far as the lobby knows.
    pub(super) fn rooms_of(&self, player: &PlayerId) -> impl Iterator<Item = &RoomId> {
        let room = self.seats.latest.get(player);
        let seat = room.and_then(|room| self.seat(player, room));
        room.into_iter().chain(seat.and_then(|seat| seat.from.as_ref()))
    }

    /// Sends a frame about the player's seat in this room, if they have one.
    pub(super) fn send_about(
        &self,
        room: &RoomId,
        player: &PlayerId,
        frame: impl FnOnce(u64) -> ToRoom,
    ) {
        if let Some(entry) = self.rooms.get(room)
            && let Some(seat) = self.seat(player, room)
        {
            entry.send(&frame(seat.number));
        }
    }

    /// The room has confirmed the seats of a join. Reroutes those who have not gone elsewhere.
    pub(super) fn confirm_join(&mut self, room: &RoomId, join: u64) {
        let Some(mut pending) = self.take_join(room, join) else { return };
        pending.players.retain(|player| self.seats.latest.get(&player.id) == Some(room));
        let asker = pending.answer(&match pending.players.is_empty() {
            true => Err(Refusal::NOT_IN_ROOM),
            false => Ok(json!({ "room": room })),
        });
        for player in pending.players {
            let seat = self.seats.all.get_mut(&player.id).and_then(|seats| seats.get_mut(room));
            let Some(seat) = seat.filter(|seat| seat.join == join) else { continue };
            // Their seat in the room they came from is kept, and `unseat` gives it back to them.
            if asker.is_none() && !self.redirects.allow(&player.id, clock::now()) {
                warn!(player = %player.name, id = %player.id, "redirect loop stopped");
                let (number, reason) = (seat.number, LeaveReason::Expired);
                self.send_about(room, &player.id, |seat| ToRoom::Release { seat, reason });
                self.notices.push(RoomNotice::Refused(player.id, Refusal::REROUTE_LOOP));
                // At once: the player is told that they stay where they are.
                let joined =
                    self.vacate(room, number).filter(|seat| seat.place != SeatPlace::Expected);
                if let Some((seat, room)) = joined.zip(self.find(room)) {
                    self.left(Seat { rerouted: false, ..seat }, room, LeaveReason::Expired);
                }
                continue;
            }
            seat.rerouted = true;
            self.touched_players.insert(player.id.0.clone());
            let path = path_of(self.settings.base_path(), room);
            let url = self.rooms.get(room).map(|entry| entry.process.url()).unwrap_or_default();
            let to = Route { room: room.clone(), url, path, ticket: seat.ticket.clone() };
            let (from, asked) = (seat.from.take(), asker.as_ref() == Some(&player.id));
            self.notices.push(RoomNotice::Reroute { player, to, from, asked });
        }
    }

    /// A room cannot answer the joins of another.
    fn take_join(&mut self, room: &RoomId, join: u64) -> Option<PendingJoin> {
        let is_its = self.seats.joins.get(&join).is_some_and(|pending| pending.room == *room);
        is_its.then(|| self.seats.joins.remove(&join))?
    }

    /// Refuses all pending joins of a room.
    pub(super) fn refuse_joins(&mut self, room: &RoomId, refusal: &Refusal) {
        let joins: Vec<_> = self.seats.joins.keys().copied().collect();
        joins.into_iter().for_each(|join| self.refuse_join(room, join, refusal));
    }

    /// Refuses a pending join: answers the requesters, and notifies the other players.
    pub(super) fn refuse_join(&mut self, room: &RoomId, join: u64, refusal: &Refusal) {
        let Some(mut join) = self.take_join(room, join) else { return };
        let asker = join.answer(&Err(refusal.clone()));
        let others = join.players.into_iter().filter(|player| Some(&player.id) != asker.as_ref());
        let refused = others.map(|player| RoomNotice::Refused(player.id, refusal.clone()));
        self.notices.extend(refused);
    }
}
