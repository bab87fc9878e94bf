//! Handles frames and exits of room processes: updates the registry, and leaves notices for the
//! lobby's event loop.

use std::time::Duration;

use serde_json::value::RawValue;
use tracing::{info, warn};

use crate::process::{FromRoom, ProcessEvent, Usage};
use crate::rooms::seats::{Seat, SeatPlace};
use crate::rooms::{AnyRoom, Entry, Rooms, State};
use crate::runtime::{clock, later};
use crate::types::{AnyPlayer, Exit, LeaveReason, PlayerId, Refusal, RoomId, Route};

/// What the lobby's event loop has to do after a room sent a frame or exited.
pub(crate) enum RoomNotice {
    /// Calls this hook for the room.
    Hook(AnyRoom, RoomHook),
    /// Sends a player by this route to the room that has confirmed their seat, from the lobby or
    /// from the room `from`. `asked`: they requested it, and are in the lobby.
    Reroute { player: AnyPlayer, to: Route, from: Option<RoomId>, asked: bool },
    /// Tells a player that a room refused them a seat.
    Refused(PlayerId, Refusal),
    /// The player has connected to the room.
    Connected(PlayerId),
    /// Reroutes a player to another room, on behalf of the room that they are in.
    Transfer(AnyPlayer, RoomId),
    /// The player left the room, or lost their connection to it. `rerouted`: they had been rerouted
    /// to it.
    Gone { player: AnyPlayer, room: RoomId, reason: LeaveReason, rerouted: bool },
}

/// A hook of the room manager, and what it gets beside the room.
pub(crate) enum RoomHook {
    Ready,
    Adopted,
    Message(Box<RawValue>),
    Joined(AnyPlayer),
    Left(AnyPlayer, LeaveReason),
    Exit(Exit),
}

impl RoomHook {
    pub fn name(&self) -> &'static str {
        match self {
            RoomHook::Ready => "on_room_ready",
            RoomHook::Adopted => "on_room_adopted",
            RoomHook::Message(_) => "on_room_message",
            RoomHook::Joined(_) => "on_player_joined",
            RoomHook::Left(..) => "on_player_left",
            RoomHook::Exit(_) => "on_room_exit",
        }
    }
}

impl Rooms {
    /// Handles an event of a room's process.
    pub(crate) fn process(&mut self, event: ProcessEvent) -> Vec<RoomNotice> {
        match event {
            ProcessEvent::Frame(room, frame, _permit) => {
                use FromRoom::{Ending, Failed, Listed, Locked};
                if let Failed(_) | Listed(_) | Locked(_) | Ending(_) = frame {
                    self.touch(&room);
                }
                self.handle_frame(&room, frame);
            }
            ProcessEvent::Exited(room, exit, usage) => self.handle_exit(&room, exit, usage),
            // The first is of a reload that has failed, the second is the event loop's.
            ProcessEvent::Paused(..) | ProcessEvent::Adopted(..) => {}
            ProcessEvent::Drain(rooms, left) => {
                for room in rooms {
                    self.pool.warm.retain(|(id, _)| *id != room);
                    let _ = self.close(&room, left, "The server is stopping.");
                }
            }
        }
        std::mem::take(&mut self.notices)
    }

    fn handle_frame(&mut self, room: &RoomId, frame: FromRoom) {
        let alive = |entry: &&mut Entry| entry.status.state != State::Killed;
        let Some(entry) = self.rooms.get_mut(room).filter(alive) else { return };
        match frame {
            FromRoom::Ready if !entry.status.opened => {
                info!(%room, "room ready");
                entry.status.opened = true;
                self.routes.open(room.clone(), entry.process.sender.clone());
                self.notices.push(RoomNotice::Hook(entry.info(), RoomHook::Ready));
            }
            FromRoom::Failed(refusal) => {
                entry.status.state = State::Ending;
                entry.status.opened = true;
                let players = std::mem::take(&mut entry.status.players);
                players.values().for_each(|player| drop(self.unseat(player, room)));
                self.refuse_joins(room, &refusal);
            }
            FromRoom::Heartbeat(usage) => entry.room.usage.update(usage),
            FromRoom::Reserved { join } => self.confirm_join(room, join),
            FromRoom::ReserveRefused { join, refusal } => self.refuse_join(room, join, &refusal),
            FromRoom::Connected { seat } => {
                let Some(seat) = self.seat_mut(room, seat) else { return };
                let before = std::mem::replace(&mut seat.place, SeatPlace::Connected);
                let player = seat.player.clone();
                self.notices.push(RoomNotice::Connected(player.id.clone()));
                let joined = self.find(room).filter(|_| before == SeatPlace::Expected);
                let hook = joined.map(|room| RoomNotice::Hook(room, RoomHook::Joined(player)));
                self.notices.extend(hook);
            }
            FromRoom::Disconnected { seat, grace_ms } => {
                let Some(seat) = self.seat_mut(room, seat) else { return };
                let grace = Duration::from_millis(grace_ms);
                seat.place = SeatPlace::Away { until: later(clock::now(), grace) };
                let (player, rerouted) = (seat.player.clone(), seat.rerouted);
                let (room, reason) = (room.clone(), LeaveReason::Dropped);
                self.notices.push(RoomNotice::Gone { player, room, reason, rerouted });
            }
            FromRoom::Left { seat, reason } => {
                if let Some((seat, room)) = self.vacate(room, seat).zip(self.find(room)) {
                    self.left(seat, room, reason);
                }
            }
            FromRoom::Listed(listing) => entry.room.listing = listing,
            FromRoom::Transfer { seat, room: to } => {
                let player = self.seat_mut(room, seat).map(|seat| seat.player.clone());
                let player = player.filter(|player| self.rooms_of(&player.id).any(|id| id == room));
                self.notices.extend(player.map(|player| RoomNotice::Transfer(player, to)));
            }
            FromRoom::Message(message) => {
                self.notices.push(RoomNotice::Hook(entry.info(), RoomHook::Message(message)));
            }
            FromRoom::Locked(locked) => entry.status.locked_by_room = locked,
            FromRoom::Ending(_) => {
                self.routes.close(room);
                entry.status.state = State::Ending;
                entry.status.players_at_end = Some(self.seats.players_in(room));
            }
            _ => {} // of the supervisor, or of a host
        }
    }

    /// Frees a seat, unless it was reserved again.
    pub(super) fn vacate(&mut self, room: &RoomId, number: u64) -> Option<Seat> {
        self.touch(room);
        let player = self.rooms.get_mut(room)?.status.players.remove(&number)?;
        self.unseat(&player, room)
    }

    /// The player has no seat in this room any more, but may have one in another.
    pub(super) fn unseat(&mut self, player: &PlayerId, room: &RoomId) -> Option<Seat> {
        self.touched_players.insert(player.0.clone());
        let seats = self.seats.all.get_mut(player)?;
        let seat = seats.remove(room)?;
        let from = seat.from.clone().filter(|from| seats.contains_key(from));
        if seats.is_empty() {
            self.seats.all.remove(player);
        }
        if self.seats.latest.get(player) == Some(room) {
            match from {
                Some(from) => self.seats.latest.insert(player.clone(), from),
                None => self.seats.latest.remove(player),
            };
        }
        Some(seat)
    }

    fn handle_exit(&mut self, room: &RoomId, exit: Exit, usage: Usage) {
        self.paused.remove(room);
        if self.pool.remove(room) {
            warn!(%room, ?exit, "a warm room ended");
            return self.start_failed(None);
        }
        self.routes.close(room);
        self.touch(room);
        let Some(mut entry) = self.rooms.remove(room) else { return };
        entry.room.usage.update(usage);
        let Usage { cpu, peak_memory, .. } = entry.room.usage;
        let (code, reason) = exit.code_and_reason();
        *self.totals.ended.entry((entry.room.kind.clone(), code)).or_default() += 1;
        let total = self.totals.cpu.entry(entry.room.kind.clone()).or_default();
        *total = total.saturating_add(cpu); // a host may tell anything
        self.report_crash(&entry, &exit);
        let (cpu_s, peak_mib) = (cpu.as_secs_f64(), peak_memory >> 20);
        if !entry.status.opened && !entry.status.expected_exit {
            self.start_failed(entry.room.host.clone());
        }
        for player in std::mem::take(&mut entry.status.players).into_values() {
            if let Some(seat) = self.unseat(&player, room) {
                self.left(seat, entry.info(), reason.clone());
            }
        }
        let refusal = match &exit {
            Exit::NeverReady(_) => Refusal::NO_ROOM,
            _ => Refusal::ROOM_GONE,
        };
        self.refuse_joins(room, &refusal);
        match &exit {
            Exit::Finished | Exit::Closed => info!(%room, %exit, cpu_s, peak_mib, "room ended"),
            Exit::Crashed(what) => warn!(%room, what, cpu_s, peak_mib, "room crashed"),
            Exit::Hung => warn!(%room, cpu_s, peak_mib, "room hung and was killed"),
            Exit::NeverReady(why) => warn!(%room, why, cpu_s, peak_mib, "room never became ready"),
        }
        self.notices.push(RoomNotice::Hook(entry.info(), RoomHook::Exit(exit)));
    }

    /// The player of a seat that was freed has left the room.
    pub(super) fn left(&mut self, seat: Seat, room: AnyRoom, reason: LeaveReason) {
        let Seat { player, place, rerouted, .. } = seat;
        let joined = place != SeatPlace::Expected;
        let hook = joined.then(|| RoomHook::Left(player.clone(), reason.clone()));
        let id = room.id.clone();
        self.notices.push(RoomNotice::Gone { player, room: id, reason, rerouted });
        self.notices.extend(hook.map(|hook| RoomNotice::Hook(room, hook)));
    }
}
