//! Handles what rooms reported: calls the hook for it, and tells the players concerned.

use tracing::info;

use crate::lobby::Lobby;
use crate::lobby::event_loop::EventHandler;
use crate::rooms::RoomNotice;
use crate::socketio::reroute;
use crate::types::{Exit, LeaveReason, Player, RoomId, Route};

impl<L: Lobby> EventHandler<'_, L> {
    pub(super) fn on_notice(&mut self, notice: RoomNotice) {
        match notice {
            RoomNotice::Ready(room) => {
                let on_room_ready = self.context.kind(room.kind).on_room_ready;
                self.hook("on_room_ready", |lobby, context| on_room_ready(lobby, context, room));
            }
            RoomNotice::Reroute { player, to, from, asked } => {
                self.reroute(&player, to, from, asked);
            }
            RoomNotice::Refused(player, refusal) => self.context.notify_refused(&player, &refusal),
            RoomNotice::SendOn(player, room) => self.context.reroute(&player, &room),
            RoomNotice::Joined(player) => {
                let mut sessions = self.context.sessions.borrow_mut();
                sessions.take_exit_notice(&player);
                sessions.mark_stale(&player);
            }
            RoomNotice::Left { player, room, reason, sent } => {
                self.left(player, room, reason, sent);
            }
            RoomNotice::Message(room, message) => {
                let on_room_message = self.context.kind(room.kind).on_room_message;
                let id = room.id.clone();
                let read = self.hook("on_room_message", |lobby, context| {
                    on_room_message(lobby, context, room, &message)
                });
                if let Some(Err(error)) = read {
                    let what = format!("sent a message that does not parse: {error}");
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

    /// Keeps the reason for a player who is about to return to the lobby.
    fn left(&mut self, player: Player, room: RoomId, reason: LeaveReason, sent: bool) {
        let mut sessions = self.context.sessions.borrow_mut();
        let conn = sessions.conn_of(&player.id).map(|conn| conn.id);
        // A player on the way to another room does not return.
        let returns = self.context.seat_of(&player).is_none_or(|seat| seat == room);
        // The exit of the room that they moved to is the news, not that they moved there.
        let moved = reason == LeaveReason::Moved && sessions.has_exit_notice(&player.id);
        if sent && returns && !moved {
            sessions.add_exit_notice(player.id, room, reason);
        }
        drop(sessions);
        if let Some(conn) = conn {
            self.arrive(conn);
        }
    }

    /// Sends a player to a room, from the lobby or from the room they are in.
    fn reroute(&mut self, player: &Player, to: Route, from: Option<RoomId>, asked: bool) {
        let rooms = self.context.rooms.borrow();
        let sessions = self.context.sessions.borrow();
        // A player who did not ask may be in a room, with a stale connection to the lobby.
        let conn = match from.is_some() && !asked {
            true => sessions.newest_conn_of(&player.id),
            false => sessions.conn_of(&player.id),
        };
        info!(player = %player.name, id = %player.id, room = %to.room, "rerouted");
        match (conn, from) {
            (Some(conn), from) => {
                conn.tell("reroute", &reroute(&to));
                if let Some(from) = from {
                    rooms.transfer(&from, &player.id, None);
                }
            }
            (None, Some(from)) => rooms.transfer(&from, &player.id, Some(to)),
            (None, None) => {}
        }
    }
}
