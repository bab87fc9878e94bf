//! Turns the output that hooks queued, and the room's own events, into effects.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::{
    process::channel::FromRoom,
    room::{
        core::{
            Core, Effect,
            seats::{Place, Seat},
        },
        hooks::Room,
        output::{Output, encode},
    },
    socketio::{events::Encoded, packet::ConnId},
    types::{LeaveReason, Player, PlayerId, Refusal},
};

/// A room's id is a number. A longer text may come from a browser and not fit into a frame.
const MAX_ROOM_ID: usize = 64;

impl<R: Room> Core<R> {
    pub(super) fn flush(&mut self) {
        // One at a time, since leaving calls a hook, which may queue more.
        for output in self.room.out.take() {
            match output {
                Output::Send { to, event } => {
                    if let Some(Seat { place: Place::Here(conn), .. }) = self.seats.get(&to) {
                        self.effects.push(Effect::Emit { to: *conn, event, volatile: false });
                    }
                }
                Output::Broadcast { event, except, volatile } => {
                    self.emit_all(&event, except.as_ref(), volatile);
                }
                Output::Sync => {
                    for (conn, player) in self.here() {
                        self.snapshot(conn, &player);
                    }
                }
                Output::SendToLobby { player, reason } => self.leave(&player, reason),
                Output::SendToRoom { player, room } => {
                    let seat = self.seats.get(&player).map(|seat| seat.number);
                    if let Some(seat) = seat.filter(|_| room.0.len() > MAX_ROOM_ID) {
                        self.refused(seat, &Refusal::NO_SUCH_ROOM);
                    } else if let Some(seat) = seat {
                        self.frame(FromRoom::SendOn { seat, room });
                    }
                }
                Output::Ban { player, message } => {
                    self.banned.insert(player.clone(), message.clone());
                    self.leave(&player, LeaveReason::Kicked(message));
                }
                Output::Frame(frame) => self.frame(frame),
                Output::Close => {
                    self.ending.get_or_insert(LeaveReason::Finished);
                }
            }
        }
    }

    pub(super) fn welcome(&mut self, conn: ConnId, player: &Player) {
        let room = &self.room;
        let (id, code, players) = (room.id(), room.code(), &*room.players());
        let away = players.iter().map(|player| &player.id).filter(|id| !room.is_here(id));
        let away: Vec<&PlayerId> = away.collect();
        let joined = json!({
            "room": id, "code": code, "host": room.host(),
            "you": player, "players": players, "away": away,
        });
        self.tell(conn, "joined", joined);
        self.snapshot(conn, player);
    }

    pub(super) fn snapshot(&mut self, to: ConnId, player: &Player) {
        let event = self.hooks.call("snapshot", || self.game.snapshot(&self.room, player));
        if let Some(event) = event.flatten().as_ref().and_then(encode) {
            self.effects.push(Effect::Emit { to, event, volatile: false });
        }
    }

    pub(super) fn tell(&mut self, to: ConnId, name: &str, data: Value) {
        if let Some(event) = own_event(name, data) {
            self.effects.push(Effect::Emit { to, event, volatile: false });
        }
    }

    pub(super) fn tell_others(&mut self, except: &PlayerId, name: &str, data: Value) {
        if let Some(event) = own_event(name, data) {
            self.emit_all(&event, Some(except), false);
        }
    }

    pub(super) fn emit_all(
        &mut self,
        event: &Rc<Encoded>,
        except: Option<&PlayerId>,
        volatile: bool,
    ) {
        for (to, id) in &self.conns {
            if Some(id) != except {
                self.effects.push(Effect::Emit { to: *to, event: event.clone(), volatile });
            }
        }
    }

    pub(super) fn frame(&mut self, frame: FromRoom) {
        self.effects.push(Effect::Frame(frame));
    }
}

/// An event of the cluster itself.
fn own_event(name: &str, data: Value) -> Option<Rc<Encoded>> {
    let data = serde_json::value::to_raw_value(&data).ok()?;
    Some(Rc::new(Encoded::Json { name: name.to_owned(), data }))
}
