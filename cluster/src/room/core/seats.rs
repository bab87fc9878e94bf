//! The seats of a room: what the lobby gives and takes, what connections do with them, and which
//! hooks that calls.

use std::iter::once;

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use crate::process::{FromRoom, ReservedSeat};
use crate::room::core::Core;
use crate::room::core::sync::Sent;
use crate::room::{Output, Room};
use crate::runtime::later;
use crate::socketio::{ConnId, refused, reroute};
use crate::types::{AnyPlayer, LeaveReason, Player, PlayerId, Refusal, Route};

/// A player's place in the room, from its reservation until they leave.
pub(super) struct Seat<Profile> {
    /// The lobby's number. A new reservation for the same player has a higher one.
    pub number: u64,
    pub player: Player<Profile>,
    /// What the current connection has been sent of the room's state.
    pub sent: Sent,
    state: SeatState,
    /// When the ticket that the player got while connected expires. If they leave before they use
    /// it, the seat is reserved again.
    next_ticket_expires: Option<Instant>,
}

enum SeatState {
    /// The player has not come yet; their ticket expires at this time.
    Reserved(Instant),
    Connected(ConnId),
    /// The connection is lost; the grace period of `on_disconnect` ends at this time.
    Away(Instant),
}

impl<R: Room> Core<R> {
    /// Reserves seats for players who come together: for all of them, or for none. A player who has
    /// a seat keeps it, under the new number.
    pub fn reserve(&mut self, join: u64, seats: Vec<ReservedSeat>) {
        let mut new = Vec::new();
        for reserved in &seats {
            let player = reserved.player.clone().typed::<R::Profile>();
            if let Some(seat) = self.seats.get_mut(&player.id) {
                seat.number = reserved.seat;
                continue;
            }
            if let Some(options) = reserved.options.clone() {
                let options = serde_json::from_value(options).unwrap_or_default(); // checked by the lobby
                self.room.join_options.borrow_mut().insert(player.id.clone(), options);
            }
            new.push((reserved.seat, player));
        }
        // The lobby has checked both already, but the room may have been locked since.
        let admitted = if !new.is_empty() && self.room.is_locked() {
            Err(Refusal::ROOM_LOCKED)
        } else if self.seats.len() + new.len() > self.room.capacity() {
            Err(Refusal::ROOM_FULL)
        } else {
            new.iter().try_for_each(|(_, player)| self.admit(player))
        };
        if let Err(refusal) = admitted {
            for (seat, player) in new {
                self.room.join_options.borrow_mut().remove(&player.id);
                self.frame(FromRoom::Left { seat, reason: LeaveReason::Expired });
            }
            return self.frame(FromRoom::ReserveRefused { join, refusal });
        }
        let now = self.now();
        let until = now + self.ticket_ttl;
        for ReservedSeat { ticket, player, .. } in seats {
            self.tickets.add(ticket, player.id.clone(), now, until);
            if let Some(seat) = self.seats.get_mut(&player.id) {
                match &mut seat.state {
                    SeatState::Reserved(old) | SeatState::Away(old) => {
                        *old = until.max(*old);
                    }
                    SeatState::Connected(_) => seat.next_ticket_expires = Some(until),
                }
            }
        }
        for (number, player) in new {
            self.insert_reserved(number, player, until);
        }
        self.frame(FromRoom::Reserved { join });
    }

    fn insert_reserved(&mut self, number: u64, player: Player<R::Profile>, until: Instant) {
        self.room.expected.borrow_mut().insert(player.id.clone(), player.clone());
        let (sent, state) = (Sent::default(), SeatState::Reserved(until));
        let seat = Seat { number, player, sent, state, next_ticket_expires: None };
        self.seats.insert(seat.player.id.clone(), seat);
        self.empty_since = None;
    }

    fn admit(&mut self, player: &Player<R::Profile>) -> Result<(), Refusal> {
        if let Some(reason) = self.room.banned.borrow().get(&player.id) {
            return Err(Refusal::banned(reason));
        }
        self.hook("on_admit", |game, room| game.on_admit(room, player))
            .unwrap_or(Err(Refusal::INTERNAL))
    }

    /// A player connects with their ticket: they join or reconnect.
    pub fn connected(&mut self, conn: ConnId, id: &PlayerId) {
        let Some(seat) = self.seats.get_mut(id) else {
            // The reservation expired after the ticket was redeemed.
            return self.output.push_back(Output::HangUp(conn));
        };
        let (player, number) = (seat.player.clone(), seat.number);
        let before = std::mem::replace(&mut seat.state, SeatState::Connected(conn));
        seat.sent = Sent::default();
        // Another reservation may have come between the redemption of this ticket and now.
        seat.next_ticket_expires = self.tickets.until(id);
        self.conns.insert(conn, id.clone());
        self.room.connections.borrow_mut().insert(id.clone(), conn);
        self.frame(FromRoom::Connected { seat: number });
        if let SeatState::Connected(old) = before {
            self.conns.remove(&old);
            self.dismiss(old);
        }
        if let SeatState::Reserved(_) = before {
            let players = self.room.players();
            self.room.players.replace(players.iter().chain(once(&player)).cloned().collect());
            self.room.expected.borrow_mut().remove(id);
            self.send_joined(conn, &player);
            self.emit_others(id, "player_joined", json!({ "player": player }));
            info!(player = %player.name, id = %player.id, "joined");
            self.hook("on_join", |game, room| game.on_join(room, &player));
        } else {
            self.send_joined(conn, &player);
            self.emit_others(id, "player_reconnected", json!({ "player": player }));
            info!(player = %player.name, id = %player.id, "reconnected");
            self.hook("on_reconnect", |game, room| game.on_reconnect(room, &player));
        }
    }

    /// A connection has ended: the player left (`asked`), or it was lost.
    pub fn disconnected(&mut self, conn: ConnId, asked: bool) {
        let Some(player) = self.player_at(conn) else { return };
        self.conns.remove(&conn);
        self.room.connections.borrow_mut().remove(&player.id);
        if asked {
            return self.leave(&player.id, LeaveReason::Left);
        }
        let grace = self.hook("on_disconnect", |game, room| game.on_disconnect(room, &player));
        let Some(grace) = grace.flatten() else {
            return self.leave(&player.id, LeaveReason::Dropped);
        };
        let until = later(self.now(), grace);
        // Without a seat, `on_disconnect` has kicked them.
        if let Some(seat) = self.seats.get_mut(&player.id) {
            seat.state = SeatState::Away(until);
            let seat = seat.number;
            let grace_ms = grace.as_millis().try_into().unwrap_or(u64::MAX);
            self.frame(FromRoom::Disconnected { seat, grace_ms });
            self.emit_others(&player.id, "player_disconnected", json!({ "player": player }));
            info!(player = %player.name, id = %player.id, ?grace, "connection lost; seat kept");
        }
    }

    /// The lobby takes a seat back: it kicked the player, it stopped a redirect loop, or they sent
    /// `leave_room` in the lobby.
    pub fn release(&mut self, number: u64, reason: LeaveReason) {
        if let Some((id, conn)) = self.seat(number) {
            // `leave_room` came from a newer window in the lobby, so this one is dismissed.
            if let (Some(conn), LeaveReason::Left) = (conn, &reason) {
                self.dismiss(conn);
            }
            self.seats.entry(id.clone()).and_modify(|seat| seat.next_ticket_expires = None);
            self.leave(&id, reason);
        }
    }

    /// The player has a seat in another room. Without a route the lobby reroutes their newer
    /// window, which is in the lobby, or they never came.
    pub fn transferred(&mut self, number: u64, to: Option<Route>) {
        if let Some((id, conn)) = self.seat(number) {
            match (conn, to) {
                (Some(conn), Some(route)) => self.emit(&[conn], "reroute", reroute(&route)),
                (Some(conn), None) => self.dismiss(conn),
                (None, _) => {}
            }
            self.leave(&id, LeaveReason::Moved);
        }
    }

    /// A player has another profile.
    pub fn set_profile(&mut self, number: u64, profile: Value) {
        let Some((id, _)) = self.seat(number) else { return };
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Player { id: _, name, .. } = seat.player.clone();
        seat.player = AnyPlayer { id: id.clone(), name, profile }.typed();
        let player = seat.player.clone();
        let players = self.room.players();
        let changed =
            |other: &Player<_>| if other.id == id { player.clone() } else { other.clone() };
        self.room.players.replace(players.iter().map(changed).collect());
        self.room.expected.borrow_mut().entry(id).and_modify(|other| *other = player.clone());
        self.emit(&self.room.recipients(None), "player_changed", json!({ "player": player }));
    }

    /// The player was refused a seat in another room.
    pub fn refused(&mut self, number: u64, refusal: &Refusal) {
        if let Some((_, Some(conn))) = self.seat(number) {
            self.emit(&[conn], "refused", refused("reroute", refusal));
        }
    }

    fn seat(&self, number: u64) -> Option<(PlayerId, Option<ConnId>)> {
        let (id, seat) = self.seats.iter().find(|(_, seat)| seat.number == number)?;
        let conn = if let SeatState::Connected(conn) = seat.state { Some(conn) } else { None };
        Some((id.clone(), conn))
    }

    /// Ends a connection in favour of a newer one; its page stays where it is.
    fn dismiss(&mut self, conn: ConnId) {
        self.emit(&[conn], "refused", refused("connect", &Refusal::REPLACED));
        self.output.push_back(Output::HangUp(conn));
    }

    /// Ends a player's stay, or their reservation.
    pub(super) fn leave(&mut self, id: &PlayerId, reason: LeaveReason) {
        let Some(seat) = self.seats.remove(id) else { return };
        let Seat { number, player, state, next_ticket_expires, .. } = seat;
        let on_their_own = matches!(reason, LeaveReason::Left | LeaveReason::Dropped);
        if let Some(until) = next_ticket_expires.filter(|until| on_their_own && *until > self.now())
        {
            // The lobby sent them here again before it knew that they had left. They leave now, and
            // join with the new ticket.
            self.insert_reserved(number, player.clone(), until);
        } else {
            self.frame(FromRoom::Left { seat: number, reason: reason.clone() });
            self.tickets.revoke(id);
        }
        self.room.connections.borrow_mut().remove(id);
        if let SeatState::Connected(conn) = state
            && self.conns.remove(&conn).is_some()
        {
            if !matches!(reason, LeaveReason::Moved | LeaveReason::Left) {
                self.emit(&[conn], "reroute", json!({ "to": "lobby", "reason": reason }));
            }
            self.output.push_back(Output::HangUp(conn));
        }
        if let SeatState::Reserved(_) = state {
            self.room.expected.borrow_mut().remove(id);
            info!(player = %player.name, id = %player.id, %reason, "did not come");
        } else {
            let players = self.room.players();
            let others = players.iter().filter(|other| other.id != *id).cloned();
            self.room.players.replace(others.collect());
            self.emit_others(id, "player_left", json!({ "player": player, "reason": reason }));
            info!(player = %player.name, id = %player.id, %reason, "left");
            self.hook("on_leave", |game, room| game.on_leave(room, &player, reason));
        }
        if !self.seats.contains_key(id) {
            self.room.join_options.borrow_mut().remove(id);
        }
        if self.seats.is_empty() {
            self.empty_since = Some(self.now());
        }
    }

    pub(super) fn player_at(&self, conn: ConnId) -> Option<Player<R::Profile>> {
        Some(self.seats.get(self.conns.get(&conn)?)?.player.clone())
    }

    /// Seats without a connection: when they expire, and the reason for which the player leaves
    /// then.
    pub(super) fn expirations(&self) -> impl Iterator<Item = (&PlayerId, Instant, LeaveReason)> {
        // Usually every seat has a connection; then this need not look at each.
        let all_connected = self.conns.len() == self.seats.len();
        let seats = (!all_connected).then_some(&self.seats).into_iter().flatten();
        seats.filter_map(|(id, seat)| match seat.state {
            SeatState::Reserved(until) => Some((id, until, LeaveReason::Expired)),
            SeatState::Away(until) => Some((id, until, LeaveReason::Dropped)),
            SeatState::Connected(_) => None,
        })
    }

    pub(super) fn expire_seats(&mut self, now: Instant) {
        let expired = self.expirations().filter(|(_, until, _)| *until <= now);
        let expired: Vec<_> = expired.map(|(id, _, reason)| (id.clone(), reason)).collect();
        for (id, reason) in expired {
            self.leave(&id, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        config::Size,
        process::channel::RoomSpec,
        room::{context::RoomContext, tickets::Tickets},
        types::{Answer, RoomId, ok},
    };

    struct Game;

    impl Room for Game {
        cluster::room_types! {
            type Options = ();
            type Request = ();
            type Event = ();
            type FromLobby = ();
            type ToLobby = ();
        }

        async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
            Ok(Game)
        }

        fn on_request(&mut self, _: &RoomContext<Self>, _: &Player, (): ()) -> Answer {
            ok()
        }
    }

    /// The player connects, leaves and asks again before the room hears of the first connection.
    #[test]
    fn a_player_who_is_quicker_than_the_room_keeps_their_second_ticket() {
        let (kind, memory) = ("test".to_owned(), Size(1 << 30));
        let spec = RoomSpec { kind, capacity: 1, memory, seed: 1, host: None, code: None };
        let room = RoomContext::<Game>::new(RoomId("1".into()), spec, Duration::from_secs(30));
        let tickets = Arc::new(Tickets::default());
        let mut core = Core::new(Game, room, tickets.clone(), Duration::from_secs(15), None);
        let ann = Player { id: PlayerId("ann".into()), name: "Ann".into(), profile: () };
        let reserved = |seat, ticket: &str| {
            let (ticket, player) = (ticket.to_owned(), ann.erased().unwrap());
            vec![ReservedSeat { seat, ticket, player, options: None }]
        };
        core.reserve(1, reserved(1, "first"));
        let now = Instant::now();
        tickets.redeem("first", now).unwrap();
        core.reserve(2, reserved(2, "second"));
        core.connected(1, &ann.id);
        core.disconnected(1, true);
        assert!(core.room.players().is_empty());
        assert_eq!(tickets.redeem("second", now), Ok(ann.id.clone()));
        core.connected(2, &ann.id);
        assert_eq!(&*core.room.players(), std::slice::from_ref(&ann));
        core.disconnected(2, true);
        assert_eq!(core.seats.len(), 0, "and then they are gone");
    }
}
