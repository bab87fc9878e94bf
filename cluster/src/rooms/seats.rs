//! Who has a seat in which room: given, kept, moved, taken back. Players who go together get theirs
//! together, or not at all.

use std::collections::{HashSet, hash_map::Entry::Occupied};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    auth::token::random_ticket,
    process::channel::{ReservedSeat, ToRoom},
    rooms::{
        Rooms,
        process_events::{RoomNotice, refused},
    },
    types::{LeaveReason, Player, PlayerId, Refusal, RoomId, Route},
};

/// Those who may go to a room together: as many fit into one frame.
const MAX_PARTY: usize = 32;

pub(super) struct Seat {
    /// Rises with each reserve, so that what a room says of an older one is not mistaken for news.
    pub number: u64,
    pub player: Player,
    pub ticket: String,
    /// With which it was given, or given again.
    pub join: u64,
    /// The room in which its player has had a seat until now.
    pub from: Option<RoomId>,
    /// Its player was sent on his way, and may be in the room.
    pub sent: bool,
}

/// Players who go to a room together.
pub(super) struct Reservation {
    pub room: RoomId,
    /// The first of them, who may have asked; he may be on his way elsewhere since.
    pub first: Option<PlayerId>,
    pub players: Vec<Player>,
    pub requesters: Vec<Requester>,
}

/// A player who has a seat now.
pub(crate) struct Placement {
    pub player: Player,
    /// Of those who go together: the one who may have asked.
    pub first: bool,
    pub to: Route,
    /// The room in which he has a seat as well, until he is on his way.
    pub from: Option<RoomId>,
}

/// Who may wait to hear whether a seat was given, and whether it is the first of the players, who has
/// asked for it.
pub(crate) struct Requester {
    pub tell: oneshot::Sender<Result<Value, Refusal>>,
    pub asked: bool,
}

/// Where a player is who is given a seat.
#[derive(Default)]
struct Origin {
    /// The room in which he has a seat until he can go.
    from: Option<RoomId>,
    /// The room to which he was about to go.
    given_up: Option<RoomId>,
}

impl Rooms {
    /// In which room the player has a seat.
    pub fn seat_of(&self, player: &PlayerId) -> Option<RoomId> {
        self.seated.get(player).cloned()
    }

    /// Whether the player is in a room or on his way to one, as far as is known here.
    pub(crate) fn is_away(&self, player: &PlayerId) -> bool {
        let mut seats = self.rooms.values().filter_map(|entry| entry.seats.get(player));
        seats.any(|seat| seat.sent)
    }

    /// Whether the player has a seat in this room, and was told so.
    pub(crate) fn is_sent_to(&self, player: &PlayerId, room: &RoomId) -> bool {
        let seat = || self.rooms.get(room)?.seats.get(player);
        self.seated.get(player) == Some(room) && seat().is_some_and(|seat| seat.sent)
    }

    /// Gives seats to players who go together, or lets them keep those that they have: all of them, or
    /// none. The receiver hears when they were sent on their way, or why not. A seat in another room is
    /// given back when they are.
    pub(crate) fn join(
        &mut self,
        party: &[Player],
        asked: bool,
        room: &RoomId,
    ) -> Result<oneshot::Receiver<Result<Value, Refusal>>, Refusal> {
        if self.stopping {
            return Err(Refusal::STOPPING);
        }
        let mut once = HashSet::new();
        let players = party.iter().filter(|player| once.insert(&player.id));
        let players: Vec<Player> = players.cloned().collect();
        if players.len() > MAX_PARTY {
            return Err(Refusal::PARTY_TOO_LARGE);
        }
        // Who is about to go elsewhere does not any more. Who is elsewhere stays until he can go.
        let origins: Vec<_> = players.iter().map(|player| self.origin(&player.id, room)).collect();
        let entry = self.rooms.get(room).ok_or(Refusal::NO_SUCH_ROOM)?;
        let is_new = |player: &&Player| !entry.seats.contains_key(&player.id);
        entry.check(players.iter().filter(is_new).count())?;
        // A room that reads slowly is not to be killed because its players ask quickly.
        if entry.process.sender.is_busy() {
            return Err(Refusal::TOO_FAST);
        }
        // Reserve before replying, so that two players cannot take the last seat.
        let join = self.next_join;
        self.next_join += 1;
        let (tell, answer) = oneshot::channel();
        let mut requesters = vec![Requester { tell, asked }];
        let mut seats = Vec::new();
        for (player, origin) in players.iter().zip(&origins) {
            let (reserved, kept) = self.reserve(join, player, origin, room);
            seats.push(reserved);
            // A player who asks again while waiting hears the same twice.
            if let Some(kept) = kept
                && let Occupied(mut before) = self.joins.entry(kept.join)
            {
                before.get_mut().players.retain(|other| other.id != kept.player.id);
                if before.get().players.is_empty() {
                    requesters.extend(before.remove().requesters);
                }
            }
        }
        if let Some(entry) = self.rooms.get(room) {
            entry.send(&ToRoom::Reserve { join, seats });
        }
        let first = players.first().map(|player| player.id.clone());
        self.joins.insert(
            join,
            Reservation { room: room.clone(), first, players: players.clone(), requesters },
        );
        for (player, origin) in players.iter().zip(origins) {
            if let Some(given_up) = origin.given_up {
                self.move_on(&given_up, &player.id, None);
            }
        }
        Ok(answer)
    }

    /// Gives one player a seat, in place of the one that they have there; both are returned.
    fn reserve(
        &mut self,
        join: u64,
        player: &Player,
        origin: &Origin,
        room: &RoomId,
    ) -> (ReservedSeat, Option<Seat>) {
        let (number, ticket) = (self.next_seat, random_ticket());
        self.next_seat += 1;
        self.seated.insert(player.id.clone(), room.clone());
        let reserved =
            ReservedSeat { seat: number, ticket: ticket.clone(), player: player.clone() };
        let seats = self.rooms.get_mut(room).map(|entry| &mut entry.seats);
        let kept = seats.and_then(|seats| {
            let kept = seats.remove(&player.id);
            let sent = kept.as_ref().is_some_and(|kept| kept.sent);
            let (player, from) = (player.clone(), origin.from.clone());
            seats.insert(player.id.clone(), Seat { number, player, ticket, join, from, sent });
            kept
        });
        (reserved, kept)
    }

    /// Where a player is who is given a seat in this room.
    fn origin(&self, player: &PlayerId, room: &RoomId) -> Origin {
        let seat = |room: &RoomId| self.rooms.get(room)?.seats.get(player);
        match self.seated.get(player).and_then(|before| Some((before, seat(before)?))) {
            // In there, or on the way.
            Some((before, seat)) if before != room && seat.sent => {
                Origin { from: Some(before.clone()), given_up: None }
            }
            Some((before, seat)) => {
                let given_up = (before != room).then(|| before.clone());
                Origin { from: seat.from.clone().filter(|from| from != room), given_up }
            }
            None => Origin::default(),
        }
    }

    /// The player's seat in this room is not needed any more: he has another, and goes there from the
    /// lobby, or from here by this route.
    pub(crate) fn move_on(&self, room: &RoomId, player: &PlayerId, to: Option<Route>) {
        self.send_about(room, player, |seat| ToRoom::Move { seat, to });
    }

    /// Takes a player's seats back: the player was kicked, or asked to leave.
    pub fn release(&mut self, player: &PlayerId, reason: &LeaveReason) {
        for room in self.rooms_of(player) {
            let reason = reason.clone();
            self.send_about(room, player, |seat| ToRoom::Release { seat, reason });
        }
        // From now on, though the room has yet to hear of it: he is not sent back there, nor told twice.
        self.seated.remove(player);
    }

    /// Takes back the seat that was just given to a player: he stays where he has one until now.
    pub(crate) fn revert(&mut self, player: &PlayerId, from: Option<RoomId>) {
        let Some(room) = self.seated.get(player).cloned() else {
            return;
        };
        let reason = LeaveReason::Expired;
        self.send_about(&room, player, |seat| ToRoom::Release { seat, reason });
        // When the room has heard of it he has the seat again from which he came, if that is still there.
        let seat = self.rooms.get_mut(&room).and_then(|entry| entry.seats.get_mut(player));
        if let (Some(seat), Some(_)) = (seat, &from) {
            (seat.sent, seat.from) = (false, from);
        }
    }

    /// Tells a player who is in a room that he was not given a seat in another.
    pub(crate) fn notify_refused(&self, player: &PlayerId, refusal: &Refusal) {
        for room in self.rooms_of(player) {
            let told = |seat| ToRoom::Refused { seat, refusal: refusal.clone() };
            self.send_about(room, player, told);
        }
    }

    /// Where the player has a seat, and the room in which he still is until he can go there.
    fn rooms_of(&self, player: &PlayerId) -> impl Iterator<Item = &RoomId> {
        let room = self.seated.get(player);
        let seat = room.and_then(|room| self.rooms.get(room)?.seats.get(player));
        room.into_iter().chain(seat.and_then(|seat| seat.from.as_ref()))
    }

    /// Sends a frame about a player's seat in this room, if he has one there.
    fn send_about(&self, room: &RoomId, player: &PlayerId, frame: impl FnOnce(u64) -> ToRoom) {
        if let Some(entry) = self.rooms.get(room)
            && let Some(seat) = entry.seats.get(player)
        {
            entry.send(&frame(seat.number));
        }
    }

    /// A room waits for players: those who have not been sent elsewhere since.
    pub(super) fn reserved(&mut self, room: &RoomId, join: u64) -> Option<RoomNotice> {
        let Reservation { first, players, requesters, .. } = self.take_join(room, join)?;
        let entry = self.rooms.get_mut(room)?;
        let seated = &self.seated;
        let go = |player: Player| {
            // A seat that was given up stands here until the room has heard of it.
            seated.get(&player.id).filter(|seated| *seated == room)?;
            let seat = entry.seats.get_mut(&player.id).filter(|seat| seat.join == join)?;
            seat.sent = true;
            let to = Route { room: room.clone(), ticket: seat.ticket.clone() };
            let first = first.as_ref() == Some(&player.id);
            Some(Placement { player, first, to, from: seat.from.take() })
        };
        // Who has asked twice is sent once, and refused nothing.
        let gone = !players.iter().any(|player| seated.get(&player.id) == Some(room));
        let players = players.into_iter().filter_map(go).collect();
        Some(RoomNotice::Reroute { players, room: room.clone(), gone, requesters })
    }

    pub(super) fn take_join(&mut self, room: &RoomId, join: u64) -> Option<Reservation> {
        // A room has no say about another's.
        self.joins.get(&join).filter(|join| join.room == *room)?;
        self.joins.remove(&join)
    }

    pub(super) fn fail_joins(&mut self, room: &RoomId, refusal: &Refusal) -> Vec<RoomNotice> {
        let joins = self.joins.extract_if(|_, join| join.room == *room);
        joins.map(|(_, join)| refused(join, refusal.clone())).collect()
    }

    /// Frees a seat, unless it has been given again since.
    pub(super) fn vacate(&mut self, room: &RoomId, number: u64) -> Option<Seat> {
        let entry = self.rooms.get_mut(room)?;
        let seat = entry.seats.values().find(|seat| seat.number == number)?;
        let id = seat.player.id.clone();
        let seat = entry.seats.remove(&id)?;
        self.unseat(&seat, room);
        Some(seat)
    }

    /// The player has no seat in this room any more; he may have one in another.
    pub(super) fn unseat(&mut self, seat: &Seat, room: &RoomId) {
        let id = &seat.player.id;
        if self.seated.get(id) != Some(room) {
            return;
        }
        let still_in =
            |from: &&RoomId| self.rooms.get(from).is_some_and(|entry| entry.seats.contains_key(id));
        match seat.from.as_ref().filter(still_in) {
            Some(from) => self.seated.insert(id.clone(), from.clone()),
            None => self.seated.remove(id),
        };
    }
}
