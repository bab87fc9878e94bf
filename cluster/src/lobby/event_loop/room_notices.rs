//! What rooms said, and that they have ended: which hook is called, and who is told.

use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{
    lobby::{event_loop::EventHandler, hooks::Lobby},
    rooms::{Placement, Requester, RoomNotice},
    runtime::clock,
    types::{Exit, LeaveReason, Player, Refusal, RoomId},
};

impl<L: Lobby> EventHandler<'_, L> {
    /// A room said something, or ended.
    pub(super) fn on_notice(&mut self, notice: RoomNotice) {
        match notice {
            RoomNotice::Ready(room) => {
                let on_room_ready = self.context.kind(room.kind).on_room_ready;
                self.hook("on_room_ready", |lobby, context| on_room_ready(lobby, context, room));
            }
            RoomNotice::Reroute { players, room, gone, requesters } => {
                let answer = match gone {
                    true => Err(Refusal::ROOM_GONE),
                    false => Ok(json!({ "room": room })),
                };
                let asked = answer_all(requesters, &answer);
                players.into_iter().for_each(|rerouted| self.reroute(rerouted, asked));
            }
            RoomNotice::Refused { first, players, refusal, requesters } => {
                // The first of them may have asked, and waits for the answer; the others are told.
                let asked = answer_all(requesters, &Err(refusal.clone()));
                let asker = first.filter(|_| asked);
                for player in players.iter().filter(|player| Some(&player.id) != asker.as_ref()) {
                    self.context.notify_refused(&player.id, &refusal);
                }
            }
            RoomNotice::SendOn(player, room) => self.context.reroute(&player, &room),
            RoomNotice::Joined(player) => {
                let mut sessions = self.context.sessions.borrow_mut();
                sessions.take_exit_notice(&player);
                sessions.mark_stale(&player);
            }
            RoomNotice::Out { player, room, reason, sent } => self.out(player, room, reason, sent),
            RoomNotice::Message(room, message) => {
                let on_room_message = self.context.kind(room.kind).on_room_message;
                let id = room.id.clone();
                let read = self.hook("on_room_message", |lobby, context| {
                    on_room_message(lobby, context, room, &message)
                });
                if let Some(Err(error)) = read {
                    let what = format!("said nonsense: {error}");
                    let _ = self.context.rooms.borrow_mut().kill(&id, Exit::Crashed(what));
                }
            }
            RoomNotice::Exited(room, exit) => {
                let on_room_exit = self.context.kind(room.kind).on_room_exit;
                self.hook("on_room_exit", |lobby, context| {
                    on_room_exit(lobby, context, room, exit);
                });
            }
        }
    }

    /// A player is out of a room, or on the way back to it.
    fn out(&mut self, player: Player, room: RoomId, reason: LeaveReason, sent: bool) {
        let mut sessions = self.context.sessions.borrow_mut();
        let conn = sessions.conn_of(&player.id).map(|conn| conn.id);
        // One who is on his way from there to another room is not back.
        let back = self.context.seat_of(&player).is_none_or(|seat| seat == room);
        // Where he was before is no news either, if the room that he moved to has died since.
        let moved = reason == LeaveReason::Moved && sessions.has_exit_notice(&player.id);
        if sent && back && !moved {
            sessions.add_exit_notice(player.id, room, reason);
        }
        drop(sessions);
        if let Some(conn) = conn {
            self.arrive(conn);
        }
    }

    /// Sends a player on his way, from here or from the room in which he is.
    fn reroute(&mut self, Placement { player, first, to, from }: Placement, asked: bool) {
        if !asked && !self.context.redirects.borrow_mut().allow(&player.id, clock::now()) {
            warn!(player = %player.name, id = %player.id, "goes round in circles; stopped");
            self.context.rooms.borrow_mut().revert(&player.id, from);
            return self.context.notify_refused(&player.id, &Refusal::REROUTE_LOOP);
        }
        let rooms = self.context.rooms.borrow();
        let sessions = self.context.sessions.borrow();
        // Who has asked did so here.
        let conn = match &from {
            Some(_) if !(asked && first) => sessions.newest_conn_of(&player.id),
            _ => sessions.conn_of(&player.id),
        };
        info!(player = %player.name, id = %player.id, room = %to.room, "rerouted");
        match (conn, from) {
            (Some(conn), from) => {
                conn.reroute(&to);
                if let Some(from) = from {
                    rooms.move_on(&from, &player.id, None);
                }
            }
            (None, Some(from)) => rooms.move_on(&from, &player.id, Some(to)),
            (None, None) => {}
        }
    }
}

/// Tells those who wait; whether one of them has asked.
fn answer_all(requesters: Vec<Requester>, answer: &Result<Value, Refusal>) -> bool {
    let told = requesters.into_iter().map(|Requester { tell, asked }| {
        let heard = tell.send(answer.clone()).is_ok();
        asked && heard
    });
    told.fold(false, |any, asked| any | asked)
}
