//! What a room says, and that it has ended: what the manager makes of it, and what is left to do for the
//! lobby's loop.

use serde_json::value::RawValue;
use tracing::{info, warn};

use crate::{
    process::{channel::FromRoom, supervisor::ProcessEvent},
    rooms::{
        AnyRoom, Entry, Rooms, State,
        seats::{Placement, Requester, Reservation, Seat},
    },
    types::{Exit, LeaveReason, Player, PlayerId, Refusal, RoomId},
};

/// What the lobby's loop has to do, after a room said something or ended.
pub(crate) enum RoomNotice {
    Ready(AnyRoom),
    /// The room waits for these players: tell them where it is.
    Reroute {
        players: Vec<Placement>,
        room: RoomId,
        /// Nobody waits for this room any more: they have been sent elsewhere since.
        gone: bool,
        requesters: Vec<Requester>,
    },
    /// The seats that these players, or one of them, asked for are not to be had.
    Refused {
        first: Option<PlayerId>,
        players: Vec<Player>,
        refusal: Refusal,
        requesters: Vec<Requester>,
    },
    Joined(PlayerId),
    /// A room sends a player on to another one.
    SendOn(Player, RoomId),
    /// A player is not in the room any more, or on his way back to it.
    Out {
        player: Player,
        room: RoomId,
        reason: LeaveReason,
        sent: bool,
    },
    Message(AnyRoom, Box<RawValue>),
    Exited(AnyRoom, Exit),
}

impl Rooms {
    /// Takes in what a room's process said, or that it ended.
    pub(crate) fn process(&mut self, news: ProcessEvent) -> Vec<RoomNotice> {
        self.changed = true;
        match news {
            ProcessEvent::Frame(room, frame, _permit) => self.said(&room, frame),
            ProcessEvent::Exited(room, exit) => self.ended(&room, exit),
        }
    }

    fn said(&mut self, room: &RoomId, frame: FromRoom) -> Vec<RoomNotice> {
        let alive = |entry: &&mut Entry| entry.state != State::Killed;
        let Some(entry) = self.rooms.get_mut(room).filter(alive) else {
            return vec![];
        };
        match frame {
            FromRoom::Ready if entry.opened => vec![],
            FromRoom::Ready => self.ready(room).into_iter().collect(),
            FromRoom::Failed(refusal) => {
                entry.state = State::Ending;
                (entry.opened, entry.expected_exit) = (true, true);
                let seats: Vec<u64> = entry.seats.values().map(|seat| seat.number).collect();
                seats.into_iter().for_each(|seat| drop(self.vacate(room, seat)));
                self.fail_joins(room, &refusal)
            }
            FromRoom::Reserved { join } => self.reserved(room, join).into_iter().collect(),
            FromRoom::ReserveRefused { join, refusal } => {
                let join = self.take_join(room, join);
                join.map(|join| refused(join, refusal)).into_iter().collect()
            }
            FromRoom::Joined { seat } => {
                let player = entry.player_in(seat);
                player.map(|player| RoomNotice::Joined(player.id.clone())).into_iter().collect()
            }
            FromRoom::Dropped { seat } => {
                let seat = entry.seats.values().find(|reserved| reserved.number == seat);
                seat.map(|seat| out(seat, room, LeaveReason::Dropped)).into_iter().collect()
            }
            FromRoom::Left { seat, reason } => {
                let seat = self.vacate(room, seat);
                seat.map(|seat| out(&seat, room, reason)).into_iter().collect()
            }
            FromRoom::SendOn { seat, room: to } => {
                let player = entry.player_in(seat).cloned();
                let player = player.filter(|player| self.is_in(&player.id, room));
                player.map(|player| RoomNotice::SendOn(player, to)).into_iter().collect()
            }
            FromRoom::Message(message) => vec![RoomNotice::Message(entry.info(room), message)],
            FromRoom::Locked(locked) => {
                entry.locked_itself = locked;
                vec![]
            }
            FromRoom::Crashed { .. } | FromRoom::Finished | FromRoom::Closed => {
                entry.state = State::Ending;
                self.routes.close(room);
                vec![]
            }
            FromRoom::Warm | FromRoom::Heartbeat => vec![],
        }
    }

    fn ready(&mut self, room: &RoomId) -> Option<RoomNotice> {
        let entry = self.rooms.get_mut(room)?;
        info!(%room, "room ready");
        entry.opened = true;
        if entry.state == State::Opening {
            entry.state = State::Ready;
        }
        self.routes.open(room.clone(), entry.process.sender.clone());
        Some(RoomNotice::Ready(entry.info(room)))
    }

    /// Whether this room may send the player on: not if they have gone elsewhere meanwhile.
    fn is_in(&self, player: &PlayerId, room: &RoomId) -> bool {
        let is_here = |seated: &RoomId| {
            let waits = || self.rooms.get(seated)?.seats.get(player)?.from.as_ref();
            seated == room || waits() == Some(room)
        };
        self.seated.get(player).is_some_and(is_here)
    }

    fn ended(&mut self, room: &RoomId, exit: Exit) -> Vec<RoomNotice> {
        if self.pool.remove(room) {
            warn!(%room, ?exit, "a warm room ended");
            self.died_at_start(None);
            return vec![];
        }
        self.routes.close(room);
        let Some(mut entry) = self.rooms.remove(room) else {
            return vec![];
        };
        if !entry.opened && !entry.expected_exit {
            self.died_at_start(entry.about.host.clone());
        }
        let mut notices = Vec::new();
        for seat in std::mem::take(&mut entry.seats).into_values() {
            self.unseat(&seat, room);
            notices.push(out(&seat, room, exit.leave_reason()));
        }
        notices.extend(match &exit {
            Exit::NeverReady(why) => self.fail_joins(room, &Refusal::no_room(why)),
            _ => self.fail_joins(room, &Refusal::ROOM_GONE),
        });
        match &exit {
            Exit::Finished | Exit::Closed => info!(%room, %exit, "room ended"),
            Exit::Crashed(what) => warn!(%room, what, "room crashed"),
            Exit::Hung => warn!(%room, "room hung and was killed"),
            Exit::NeverReady(why) => warn!(%room, why, "room never became ready"),
        }
        notices.push(RoomNotice::Exited(entry.info(room), exit));
        notices
    }
}

fn out(seat: &Seat, room: &RoomId, reason: LeaveReason) -> RoomNotice {
    let (player, room) = (seat.player.clone(), room.clone());
    RoomNotice::Out { player, room, reason, sent: seat.sent }
}

pub(super) fn refused(join: Reservation, refusal: Refusal) -> RoomNotice {
    let Reservation { first, players, requesters, .. } = join;
    RoomNotice::Refused { first, players, refusal, requesters }
}
