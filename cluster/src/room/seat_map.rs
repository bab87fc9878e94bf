//! The seats of a room, found by player, by number, by connection, and by the time at which they
//! expire.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::rc::Rc;

use tokio::time::Instant;

use crate::socketio::{ConnId, Encoded};
use crate::types::{Player, PlayerId};

/// A player's place in the room, from its reservation until they leave.
pub(super) struct Seat<Profile> {
    /// The lobby's number. A new reservation for the same player has a higher one.
    pub number: u64,
    pub player: Player<Profile>,
    /// The player's current connection; `None` while they are on the way or away.
    pub conn: Option<ConnId>,
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

/// What a connection has been sent. A new connection has been sent nothing.
#[derive(Default)]
pub(super) struct Sent {
    /// The last announcement that it has been sent, or need not be.
    pub announcement: u64,
    /// The version of the room's state.
    pub version: u64,
    pub snapshot: Option<Rc<Encoded>>,
}

/// The seats by player.
#[derive(Default)]
pub(super) struct SeatMap<P> {
    seats: BTreeMap<PlayerId, Seat<P>>,
    by_number: HashMap<u64, PlayerId>,
    /// As many as there are connected players.
    pub by_conn: HashMap<ConnId, PlayerId>,
    /// Seats that expire.
    by_expiry: BTreeSet<(Instant, PlayerId)>,
}

impl<P> SeatMap<P> {
    /// The seat of this number, for changes to the player.
    pub fn by_number(&mut self, number: u64) -> Option<&mut Seat<P>> {
        self.seats.get_mut(self.by_number.get(&number)?)
    }

    /// The seat of the player with this connection, for changes to what it has been sent.
    pub fn by_conn(&mut self, conn: ConnId) -> Option<&mut Seat<P>> {
        self.seats.get_mut(self.by_conn.get(&conn)?)
    }

    /// The seats that expire, in that order.
    pub fn expiring(&self) -> impl Iterator<Item = &Seat<P>> {
        self.by_expiry.iter().filter_map(|(_, id)| self.seats.get(id))
    }

    pub fn insert(&mut self, seat: Seat<P>) {
        let id = &seat.player.id;
        self.by_number.insert(seat.number, id.clone());
        self.by_conn.extend(seat.conn.map(|conn| (conn, id.clone())));
        self.by_expiry.extend(seat.expires.map(|until| (until, id.clone())));
        self.seats.insert(id.clone(), seat);
    }

    pub fn remove(&mut self, id: &PlayerId) -> Option<Seat<P>> {
        let seat = self.seats.remove(id)?;
        self.by_number.remove(&seat.number);
        seat.conn.map(|conn| self.by_conn.remove(&conn));
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
}

impl<P> Deref for SeatMap<P> {
    type Target = BTreeMap<PlayerId, Seat<P>>;

    fn deref(&self) -> &Self::Target {
        &self.seats
    }
}
