//! The seats of a room: reserved and released by the lobby, taken and left by connections, with the
//! hooks for each.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    process::channel::{FromRoom, ReservedSeat},
    room::{
        core::{Core, Effect},
        hooks::Room,
    },
    runtime::clock::later,
    socketio::{connection::refused, packet::ConnId},
    types::{LeaveReason, Player, PlayerId, Refusal, Route},
};

pub(super) struct Seat {
    /// The lobby's number. A later reservation for the same player has a higher one.
    pub number: u64,
    pub player: Player,
    pub place: Place,
    /// The order of joining.
    pub joined: Option<u64>,
    /// Reserved again while the player was here: until when that ticket is valid.
    pub again: Option<Instant>,
}

pub(super) enum Place {
    /// Waits for the ticket.
    Reserved {
        until: Instant,
    },
    Here(ConnId),
    /// The connection is lost; the grace period runs.
    Away {
        until: Instant,
    },
}

impl<R: Room> Core<R> {
    /// The lobby reserves seats for players who join together: all or none. A player who has a seat
    /// keeps it.
    pub fn reserve(&mut self, join: u64, seats: Vec<ReservedSeat>) {
        let mut new = Vec::new();
        for reserved in &seats {
            match self.seats.get_mut(&reserved.player.id) {
                Some(seat) => seat.number = reserved.seat,
                None => new.push((reserved.seat, reserved.player.clone())),
            }
        }
        let admitted = self.has_room_for(new.len());
        let admitted = admitted.and_then(|()| new.iter().try_for_each(|(_, who)| self.admit(who)));
        if let Err(refusal) = admitted {
            for (seat, _) in new {
                self.frame(FromRoom::Left { seat, reason: LeaveReason::Expired });
            }
            return self.frame(FromRoom::ReserveRefused { join, refusal });
        }
        let now = self.now();
        let until = now + self.ticket_ttl;
        for (number, player) in new {
            let place = Place::Reserved { until };
            let seat = Seat { number, player, place, joined: None, again: None };
            self.seats.insert(seat.player.id.clone(), seat);
            self.empty_since = None;
        }
        for ReservedSeat { ticket, player, .. } in seats {
            if let Some(seat) = self.seats.get_mut(&player.id) {
                match &mut seat.place {
                    Place::Reserved { until: old } | Place::Away { until: old } => {
                        *old = until.max(*old);
                    }
                    Place::Here(_) => seat.again = Some(until),
                }
            }
            self.tickets.add(ticket, player.id, now, until);
        }
        self.update_expected();
        self.frame(FromRoom::Reserved { join });
    }

    /// The lobby has checked this, but the room may have locked itself since.
    pub(super) fn has_room_for(&self, new: usize) -> Result<(), Refusal> {
        if new > 0 && self.room.is_locked() {
            Err(Refusal::ROOM_LOCKED)
        } else if self.seats.len() + new > self.room.capacity() {
            Err(Refusal::ROOM_FULL)
        } else {
            Ok(())
        }
    }

    pub(super) fn admit(&mut self, player: &Player) -> Result<(), Refusal> {
        if let Some(reason) = self.banned.get(&player.id) {
            return Err(Refusal::banned(reason));
        }
        self.hook("on_admit", |game, room| game.on_admit(room, player))
            .unwrap_or(Err(Refusal::INTERNAL))
    }

    /// A connection has redeemed its ticket: a player joins or reconnects.
    pub fn connected(&mut self, conn: ConnId, id: &PlayerId) {
        let Some(seat) = self.seats.get_mut(id) else {
            // The seat expired just as its ticket was redeemed.
            return self.effects.push(Effect::HangUp(conn));
        };
        let player = seat.player.clone();
        let number = seat.number;
        let before = std::mem::replace(&mut seat.place, Place::Here(conn));
        // A later reservation may have overtaken this connection; its ticket stays valid.
        seat.again = self.tickets.until(id);
        self.conns.insert(conn, id.clone());
        self.room.set_away(id, false);
        self.frame(FromRoom::Joined { seat: number });
        if let Place::Here(old) = before {
            self.conns.remove(&old);
            self.effects.push(Effect::Dismiss(old, Refusal::REPLACED));
        }
        if let Place::Reserved { .. } = before {
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
            self.hook("on_reconnect", |game, room| game.on_reconnect(room, &player));
        }
    }

    /// A connection has ended: closed by the player (`asked`), or lost.
    pub fn disconnected(&mut self, conn: ConnId, asked: bool) {
        let Some(player) = self.player_of(conn) else {
            return;
        };
        self.conns.remove(&conn);
        if asked {
            return self.leave(&player.id, LeaveReason::Left);
        }
        self.room.set_away(&player.id, true);
        let grace = self.hook("on_disconnect", |game, room| game.on_disconnect(room, &player));
        let Some(grace) = grace.flatten() else {
            return self.leave(&player.id, LeaveReason::Dropped);
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

    /// The lobby takes a seat back: the player was kicked, or asked in the lobby to leave.
    pub fn release(&mut self, number: u64, reason: LeaveReason) {
        if let Some((id, conn)) = self.seat(number) {
            // The player asked in the lobby; a connection that is still here is an older window.
            if let (Some(conn), LeaveReason::Left) = (conn, &reason) {
                self.effects.push(Effect::Dismiss(conn, Refusal::REPLACED));
            }
            self.seats.entry(id.clone()).and_modify(|seat| seat.again = None);
            self.leave(&id, reason);
        }
    }

    /// The player has a seat in another room. Without a route they go there from the lobby, and a
    /// connection that is still here is an older window.
    pub fn transfer(&mut self, number: u64, to: Option<Route>) {
        let Some((id, conn)) = self.seat(number) else {
            return;
        };
        if let Some(conn) = conn {
            self.effects.push(match to {
                Some(route) => Effect::SendOn(conn, route),
                None => Effect::Dismiss(conn, Refusal::REPLACED),
            });
        }
        self.leave(&id, LeaveReason::Moved);
    }

    /// The player was refused a seat in another room.
    pub fn refused(&mut self, number: u64, refusal: &Refusal) {
        if let Some((_, Some(conn))) = self.seat(number) {
            self.tell(conn, "refused", refused("reroute", refusal));
        }
    }

    pub(super) fn seat(&self, number: u64) -> Option<(PlayerId, Option<ConnId>)> {
        let (id, seat) = self.seats.iter().find(|(_, seat)| seat.number == number)?;
        let conn = if let Place::Here(conn) = seat.place { Some(conn) } else { None };
        Some((id.clone(), conn))
    }

    /// Frees a seat: the player has left for good, or never came.
    pub(super) fn leave(&mut self, id: &PlayerId, reason: LeaveReason) {
        let Some(Seat { number, player, place, joined, again }) = self.seats.remove(id) else {
            return;
        };
        let left = matches!(reason, LeaveReason::Left | LeaveReason::Dropped);
        if let Some(until) = again.filter(|until| left && *until > self.now()) {
            // The lobby reserved the seat again before it knew of this: the player leaves and comes
            // back.
            let place = Place::Reserved { until };
            let seat = Seat { number, player: player.clone(), place, joined: None, again: None };
            self.seats.insert(id.clone(), seat);
            self.update_expected();
        } else {
            self.frame(FromRoom::Left { seat: number, reason: reason.clone() });
            self.tickets.forget(id);
        }
        self.room.set_away(id, false);
        // Unless the connection itself has ended.
        if let Place::Here(conn) = place
            && self.conns.remove(&conn).is_some()
        {
            if !matches!(reason, LeaveReason::Moved | LeaveReason::Left) {
                self.tell(conn, "reroute", json!({ "to": "lobby", "reason": reason }));
            }
            self.effects.push(Effect::HangUp(conn));
        }
        if joined.is_some() {
            self.update_players();
            let news = json!({ "player": player, "reason": reason });
            self.tell_others(id, "player_left", news);
            tracing::info!(player = %player.name, id = %player.id, %reason, "left");
            self.hook("on_leave", |game, room| game.on_leave(room, &player, reason));
        } else {
            self.update_expected();
            tracing::info!(player = %player.name, id = %player.id, %reason, "never came");
        }
        if self.seats.is_empty() {
            self.empty_since = Some(self.now());
        }
    }

    pub(super) fn player_of(&self, conn: ConnId) -> Option<Player> {
        let seat = self.seats.get(self.conns.get(&conn)?)?;
        Some(seat.player.clone())
    }

    pub(super) fn here(&self) -> Vec<(ConnId, Player)> {
        let conns = self.conns.iter();
        conns.filter_map(|(conn, id)| Some((*conn, self.seats.get(id)?.player.clone()))).collect()
    }

    /// Seats without a connection: when they expire, and the reason then.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&PlayerId, Instant, LeaveReason)> {
        // The common case, without a look at each seat.
        let all_here = self.conns.len() == self.seats.len();
        let seats = (!all_here).then_some(&self.seats).into_iter().flatten();
        seats.filter_map(|(id, seat)| match seat.place {
            Place::Reserved { until } => Some((id, until, LeaveReason::Expired)),
            Place::Away { until } => Some((id, until, LeaveReason::Dropped)),
            Place::Here(_) => None,
        })
    }

    pub(super) fn overdue(&self, now: Instant) -> Vec<(PlayerId, LeaveReason)> {
        let overdue = self.waiting().filter(|(_, until, _)| *until <= now);
        overdue.map(|(id, _, reason)| (id.clone(), reason)).collect()
    }

    pub(super) fn update_players(&mut self) {
        let joined = self.seats.values().filter_map(|seat| Some((seat.joined?, &seat.player)));
        let in_order: BTreeMap<u64, &Player> = joined.collect();
        self.room.set_players(in_order.into_values().cloned().collect());
    }

    pub(super) fn update_expected(&mut self) {
        let reserved =
            self.seats.values().filter(|seat| matches!(seat.place, Place::Reserved { .. }));
        self.room.set_expected(reserved.map(|seat| seat.player.clone()).collect());
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        process::channel::RoomAbout,
        room::{context::RoomContext, tickets::Tickets},
        types::{Answer, RoomId, ok},
    };

    struct Game;

    impl Room for Game {
        type Options = ();
        type Request = ();
        type Event = ();
        type FromLobby = ();
        type ToLobby = ();

        async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
            Ok(Game)
        }

        fn on_message(&mut self, _: &RoomContext<Self>, _: &Player, (): ()) -> Answer {
            ok()
        }
    }

    /// The player has joined, left and asked again before the room handles the first.
    #[test]
    fn a_ticket_that_overtakes_its_predecessor_stays_valid() {
        let about =
            RoomAbout { kind: "test".to_owned(), capacity: 1, seed: 1, host: None, code: None };
        let room = RoomContext::<Game>::new(RoomId("1".into()), about, Duration::from_secs(30));
        let tickets = Arc::new(Tickets::default());
        let mut core = Core::new(Game, room, tickets.clone(), Duration::from_secs(15), None);
        let ann = Player { id: PlayerId("ann".into()), name: "Ann".into() };
        let reserved = |seat, ticket: &str| {
            vec![ReservedSeat { seat, ticket: ticket.to_owned(), player: ann.clone() }]
        };
        core.reserve(1, reserved(1, "first"));
        let now = Instant::now();
        tickets.redeem("first", now).unwrap();
        core.reserve(2, reserved(2, "second"));
        core.connected(1, &ann.id);
        core.disconnected(1, true);
        assert!(core.handle().players().is_empty());
        assert_eq!(tickets.redeem("second", now), Ok(ann.id.clone()));
        core.connected(2, &ann.id);
        assert_eq!(&*core.handle().players(), std::slice::from_ref(&ann));
        core.disconnected(2, true);
        assert_eq!(core.seats.len(), 0, "and then the seat is free");
    }
}
