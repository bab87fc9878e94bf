//! The seats of a room, found by player, by number, and by the time at which they expire.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use crate::room::core::sync::Sent;
use crate::types::{Player, PlayerId};

/// A player's place in the room, from its reservation until they leave.
pub(super) struct Seat<Profile> {
    /// The lobby's number. A new reservation for the same player has a higher one.
    pub number: u64,
    pub player: Player<Profile>,
    /// What the current connection has been sent.
    pub sent: Sent,
    /// Whether the player has come. Until then the seat is reserved.
    pub joined: bool,
    /// When the seat expires: a reservation with its ticket, a seat without a connection at the end
    /// of the grace period of `on_disconnect`. `None` while the player is connected.
    pub expires: Option<Instant>,
    /// When the ticket that the player got while connected expires. If they leave before they use
    /// it, the seat is reserved again.
    pub next_ticket_expires: Option<Instant>,
}

#[derive(Default)]
pub(super) struct SeatMap<P> {
    seats: BTreeMap<PlayerId, Seat<P>>,
    by_number: HashMap<u64, PlayerId>,
    /// Seats without a connection.
    by_expiry: BTreeSet<(Instant, PlayerId)>,
}

impl<P> SeatMap<P> {
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    pub fn players(&self) -> impl Iterator<Item = &PlayerId> {
        self.seats.keys()
    }

    pub fn get(&self, id: &PlayerId) -> Option<&Seat<P>> {
        self.seats.get(id)
    }

    /// For all but the number and the expiry, which [`update`](Self::update) changes.
    pub fn get_mut(&mut self, id: &PlayerId) -> Option<&mut Seat<P>> {
        self.seats.get_mut(id)
    }

    pub fn by_number(&self, number: u64) -> Option<&Seat<P>> {
        self.seats.get(self.by_number.get(&number)?)
    }

    pub fn insert(&mut self, seat: Seat<P>) {
        let id = seat.player.id.clone();
        self.by_number.insert(seat.number, id.clone());
        self.by_expiry.extend(seat.expires.map(|until| (until, id.clone())));
        self.seats.insert(id, seat);
    }

    pub fn remove(&mut self, id: &PlayerId) -> Option<Seat<P>> {
        let seat = self.seats.remove(id)?;
        self.by_number.remove(&seat.number);
        seat.expires.map(|until| self.by_expiry.remove(&(until, id.clone())));
        Some(seat)
    }

    /// Changes a seat, if there is one. Returns what `f` returns.
    pub fn update<T>(&mut self, id: &PlayerId, f: impl FnOnce(&mut Seat<P>) -> T) -> Option<T> {
        let mut seat = self.remove(id)?;
        let result = f(&mut seat);
        self.insert(seat);
        Some(result)
    }

    /// The seats that expire, in that order.
    pub fn expiring(&self) -> impl Iterator<Item = &Seat<P>> {
        self.by_expiry.iter().filter_map(|(_, id)| self.seats.get(id))
    }
}
