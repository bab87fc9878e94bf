//! The seats of a room, found by player, by number, and by the time at which they expire.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use crate::room::core::sync::Sent;
use crate::socketio::ConnId;
use crate::types::{Player, PlayerId};

/// A player's place in the room, from its reservation until they leave.
pub(super) struct Seat<Profile> {
    /// The lobby's number. A new reservation for the same player has a higher one.
    pub number: u64,
    pub player: Player<Profile>,
    /// What the current connection has been sent of the room's state.
    pub sent: Sent,
    /// The last announcement that the current connection has been sent, or need not be.
    pub told: u64,
    pub state: SeatState,
    /// When the ticket that the player got while connected expires. If they leave before they use
    /// it, the seat is reserved again.
    pub next_ticket_expires: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SeatState {
    /// The player has not come yet; their ticket expires at this time.
    Reserved(Instant),
    Connected(ConnId),
    /// The connection is lost; the grace period of `on_disconnect` ends at this time.
    Away(Instant),
}

impl SeatState {
    fn until(self) -> Option<Instant> {
        match self {
            SeatState::Reserved(until) | SeatState::Away(until) => Some(until),
            SeatState::Connected(_) => None,
        }
    }
}

pub(super) struct SeatMap<Profile> {
    seats: BTreeMap<PlayerId, Seat<Profile>>,
    by_number: HashMap<u64, PlayerId>,
    /// Seats without a connection.
    by_expiry: BTreeSet<(Instant, PlayerId)>,
}

impl<Profile> SeatMap<Profile> {
    pub fn new() -> Self {
        SeatMap { seats: BTreeMap::new(), by_number: HashMap::new(), by_expiry: BTreeSet::new() }
    }

    pub fn len(&self) -> usize {
        self.seats.len()
    }

    pub fn players(&self) -> impl Iterator<Item = &PlayerId> {
        self.seats.keys()
    }

    pub fn get(&self, id: &PlayerId) -> Option<&Seat<Profile>> {
        self.seats.get(id)
    }

    /// For all but the number and the state, which [`update`](Self::update) changes.
    pub fn get_mut(&mut self, id: &PlayerId) -> Option<&mut Seat<Profile>> {
        self.seats.get_mut(id)
    }

    pub fn by_number(&self, number: u64) -> Option<&Seat<Profile>> {
        self.seats.get(self.by_number.get(&number)?)
    }

    pub fn insert(&mut self, seat: Seat<Profile>) {
        let id = seat.player.id.clone();
        self.by_number.insert(seat.number, id.clone());
        self.by_expiry.extend(seat.state.until().map(|until| (until, id.clone())));
        self.seats.insert(id, seat);
    }

    pub fn remove(&mut self, id: &PlayerId) -> Option<Seat<Profile>> {
        let seat = self.seats.remove(id)?;
        self.by_number.remove(&seat.number);
        seat.state.until().map(|until| self.by_expiry.remove(&(until, id.clone())));
        Some(seat)
    }

    /// Changes a seat. Returns whether there is one.
    pub fn update(&mut self, id: &PlayerId, change: impl FnOnce(&mut Seat<Profile>)) -> bool {
        let seat = self.remove(id);
        seat.map(|mut seat| {
            change(&mut seat);
            self.insert(seat);
        })
        .is_some()
    }

    /// The seats that expire, in that order.
    pub fn expiring(&self) -> impl Iterator<Item = (Instant, &Seat<Profile>)> {
        self.by_expiry.iter().filter_map(|(until, id)| Some((*until, self.seats.get(id)?)))
    }
}
