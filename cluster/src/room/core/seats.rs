//! The seats of a room: what the lobby gives and takes, what connections do with them, and which
//! hooks that calls.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tracing::info;

use crate::process::channel::MAX_PARTY;
use crate::process::{FromRoom, Part, ReservedSeat, TakenSeat};
use crate::room::core::Core;
use crate::room::seat_map::{Seat, Sent};
use crate::room::{Output, Room};
use crate::runtime::later;
use crate::socketio::{ConnId, refused, reroute};
use crate::types::{LeaveReason, Player, PlayerId, Refusal, Route};

impl<R: Room> Core<R> {
    /// Reserves seats for players who come together: for all of them, or for none. A player who has
    /// a seat keeps it, under the new number.
    pub fn reserve(&mut self, join: u64, seats: Vec<ReservedSeat>) {
        let mut new = Vec::new();
        for reserved in &seats {
            let renumber = |seat: &mut Seat<_>| seat.number = reserved.seat;
            if self.room.seats.get_mut().update(&reserved.player.id, renumber).is_some() {
                continue;
            }
            let player = reserved.player.clone().typed::<R::Profile>();
            // The lobby has checked that they parse.
            let options = reserved.options.clone().and_then(|it| serde_json::from_value(it).ok());
            self.room.join_options.get_mut().insert(player.id.clone(), options.unwrap_or_default());
            new.push((reserved.seat, player));
        }
        // The lobby has checked both already, but the room may have been locked since.
        let admitted = if !new.is_empty() && self.room.is_locked() {
            Err(Refusal::ROOM_LOCKED)
        } else if self.room.seats.get_mut().len() + new.len() > self.room.capacity() {
            Err(Refusal::ROOM_FULL)
        } else {
            new.iter().try_for_each(|(_, player)| self.admit(player))
        };
        if let Err(refusal) = admitted {
            for (seat, player) in new {
                self.room.join_options.get_mut().remove(&player.id);
                self.frame(FromRoom::Left { seat, reason: LeaveReason::Expired });
            }
            return self.frame(FromRoom::ReserveRefused { join, refusal });
        }
        let until = self.now() + self.ticket_ttl;
        for ReservedSeat { ticket, player, .. } in seats {
            self.tickets.add(ticket, player.id.clone(), until);
            self.room.seats.get_mut().update(&player.id, |seat| match &mut seat.expires {
                Some(old) => *old = until.max(*old),
                None => seat.next_ticket_expires = Some(until),
            });
        }
        for (number, player) in new {
            self.insert_reserved(number, player, until);
        }
        self.frame(FromRoom::Reserved { join });
    }

    /// Describes the room to a lobby that goes on with it.
    pub fn describe(&mut self) {
        let Some(note) = self.note.clone() else {
            // The lobby ended before it had told the room what it is.
            return self.drain(Duration::ZERO, "The server has stopped.".to_owned());
        };
        self.frame(FromRoom::Described(Part::Note(note)));
        let now = self.now();
        let left = |until: Instant| until.saturating_duration_since(now).as_millis() as u64;
        let taken = |seat: &Seat<R::Profile>| {
            let (player, left_ms) = (seat.player.erased().ok()?, seat.expires.map(left));
            Some(TakenSeat { seat: seat.number, player, joined: seat.joined, left_ms })
        };
        let mut seats = self.room.seats.get_mut().values().filter_map(taken).collect::<Vec<_>>();
        while !seats.is_empty() {
            let part = seats.drain(..seats.len().min(MAX_PARTY)).collect();
            self.frame(FromRoom::Described(Part::Seats(part)));
        }
        let (listing, locked) = (self.room.listing.borrow().clone(), self.room.is_locked());
        self.frame(FromRoom::Described(Part::End { listing, locked }));
    }

    fn insert_reserved(&mut self, number: u64, player: Player<R::Profile>, until: Instant) {
        let (conn, sent, joined, expires) = (None, Sent::default(), false, Some(until));
        let seat = Seat { number, player, conn, sent, joined, expires, next_ticket_expires: None };
        self.room.seats.get_mut().insert(seat);
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
        let connected = self.room.seats.get_mut().update(id, |seat| {
            (seat.expires, seat.sent) = (None, Sent::default());
            // Another reservation may have come between the redemption of this ticket and now.
            seat.next_ticket_expires = self.tickets.until(id);
            let is_new = !std::mem::replace(&mut seat.joined, true);
            (seat.player.clone(), seat.number, is_new, seat.conn.replace(conn))
        });
        let Some((player, seat, is_new, old)) = connected else {
            // The reservation expired after the ticket was redeemed.
            return self.output.push_back(Output::HangUp(conn));
        };
        self.frame(FromRoom::Connected { seat });
        if let Some(old) = old {
            self.dismiss(old);
        }
        if is_new {
            Rc::make_mut(self.room.players.get_mut()).push(player.clone());
        }
        let name = if is_new { "player_joined" } else { "player_reconnected" };
        self.announce(name, &json!({ "player": player }));
        self.send_joined(conn, &player);
        if is_new {
            info!(player = %player.name, id = %player.id, "joined");
            self.hook("on_join", |game, room| game.on_join(room, &player));
        } else {
            info!(player = %player.name, id = %player.id, "reconnected");
            self.hook("on_reconnect", |game, room| game.on_reconnect(room, &player));
        }
    }

    /// A connection has ended: the player left (`asked`), or it was lost.
    pub fn disconnected(&mut self, conn: ConnId, asked: bool) {
        let Some(player) = self.player_at(conn) else { return };
        self.room.seats.get_mut().update(&player.id, |seat| seat.conn = None);
        if asked {
            return self.leave(&player.id, LeaveReason::Left);
        }
        let grace = self.hook("on_disconnect", |game, room| game.on_disconnect(room, &player));
        let Some(grace) = grace.flatten() else {
            return self.leave(&player.id, LeaveReason::Dropped);
        };
        let until = later(self.now(), grace);
        let keep = |seat: &mut Seat<_>| {
            seat.expires = Some(until);
            seat.number
        };
        // Without a seat, `on_disconnect` has kicked them.
        if let Some(seat) = self.room.seats.get_mut().update(&player.id, keep) {
            let grace_ms = grace.as_millis().try_into().unwrap_or(u64::MAX);
            self.frame(FromRoom::Disconnected { seat, grace_ms });
            self.announce("player_disconnected", &json!({ "player": player }));
            info!(player = %player.name, id = %player.id, ?grace, "connection lost; seat kept");
        }
    }

    /// The lobby takes a seat back: it kicked the player, it stopped a redirect loop, they sent
    /// `leave_room` in the lobby, or they have a seat in another room. The page is sent the route
    /// there, unless the lobby reroutes a newer window.
    pub fn release(&mut self, number: u64, reason: LeaveReason, to: Option<Route>) {
        let Some((id, conn)) = self.seat(number) else { return };
        match (conn, to, &reason) {
            (Some(conn), Some(route), _) => self.emit(conn, "reroute", reroute(&route)),
            // A newer window is in the lobby, where it sent `leave_room` or is rerouted.
            (Some(conn), None, LeaveReason::Left | LeaveReason::Moved) => self.dismiss(conn),
            _ => {}
        }
        self.room.seats.get_mut().update(&id, |seat| seat.next_ticket_expires = None);
        self.leave(&id, reason);
    }

    /// The player was refused a seat in another room.
    pub fn refused(&mut self, number: u64, refusal: &Refusal) {
        if let Some((_, Some(conn))) = self.seat(number) {
            self.emit(conn, "refused", refused("reroute", refusal));
        }
    }

    pub(super) fn seat(&mut self, number: u64) -> Option<(PlayerId, Option<ConnId>)> {
        let seat = self.room.seats.get_mut().by_number(number)?;
        Some((seat.player.id.clone(), seat.conn))
    }

    /// Ends a connection in favour of a newer one; its page stays where it is.
    fn dismiss(&mut self, conn: ConnId) {
        self.emit(conn, "refused", refused("connect", &Refusal::REPLACED));
        self.output.push_back(Output::HangUp(conn));
    }

    /// Ends a player's stay, or their reservation.
    pub(super) fn leave(&mut self, id: &PlayerId, reason: LeaveReason) {
        // They do not wait for the next sync.
        if self.room.sync.due(self.now()).is_some() {
            self.refresh_state();
            self.room.conn_of(id).into_iter().for_each(|conn| self.send_state(conn));
        }
        let Some(seat) = self.room.seats.get_mut().remove(id) else { return };
        let Seat { number, player, conn, joined, next_ticket_expires, .. } = seat;
        let next_ticket = next_ticket_expires.filter(|until| *until > self.now());
        if let (Some(until), LeaveReason::Left | LeaveReason::Dropped) = (next_ticket, &reason) {
            // The lobby sent them here again before it knew that they had left. They leave now, and
            // join with the new ticket.
            self.insert_reserved(number, player.clone(), until);
        } else {
            self.frame(FromRoom::Left { seat: number, reason: reason.clone() });
            self.tickets.revoke(id);
        }
        if let Some(conn) = conn {
            if !matches!(reason, LeaveReason::Moved | LeaveReason::Left) {
                self.emit(conn, "reroute", json!({ "to": "lobby", "reason": reason }));
            }
            self.output.push_back(Output::HangUp(conn));
        }
        if joined {
            Rc::make_mut(self.room.players.get_mut()).retain(|other| other.id != *id);
            self.announce("player_left", &json!({ "player": player, "reason": reason }));
            info!(player = %player.name, id = %player.id, %reason, "left");
            self.hook("on_leave", |game, room| game.on_leave(room, &player, reason));
        } else {
            info!(player = %player.name, id = %player.id, %reason, "did not come");
        }
        if self.room.seats.get_mut().get(id).is_none() {
            self.room.join_options.get_mut().remove(id);
        }
        self.empty_since = self.now();
    }

    pub(super) fn player_at(&mut self, conn: ConnId) -> Option<Player<R::Profile>> {
        Some(self.room.seats.get_mut().by_conn(conn)?.player.clone())
    }

    pub(super) fn expire_seats(&mut self, now: Instant) {
        let expiring = self.room.seats.get_mut().expiring();
        let expired = expiring.take_while(|seat| seat.expires <= Some(now));
        let expired: Vec<_> = expired.map(|seat| (seat.player.id.clone(), seat.joined)).collect();
        for (id, joined) in expired {
            self.leave(&id, if joined { LeaveReason::Dropped } else { LeaveReason::Expired });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test_room::core::{ann, core, reserve};

    /// The player connects, leaves and asks again before the room hears of the first connection.
    #[test]
    fn a_player_who_is_quicker_than_the_room_keeps_their_second_ticket() {
        let (mut core, tickets) = core(1);
        let ann = ann();
        reserve(&mut core, 1, "first", &ann);
        let now = Instant::now();
        tickets.redeem("first", now).unwrap();
        reserve(&mut core, 2, "second", &ann);
        core.connected(1, &ann.id);
        core.disconnected(1, true);
        assert!(core.room.players().is_empty());
        assert_eq!(tickets.redeem("second", now), Ok(ann.id.clone()));
        core.connected(2, &ann.id);
        assert_eq!(&*core.room.players(), std::slice::from_ref(&ann));
        core.disconnected(2, true);
        assert!(core.room.seats.get_mut().is_empty(), "and then they are gone");
    }
}
