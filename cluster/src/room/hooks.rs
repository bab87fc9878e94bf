//! The hooks of a room. `src/room.rs` implements them; `core/` calls them, except for `on_open`
//! (`process.rs`).

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Bytes;
use crate::room::RoomContext;
use crate::types::{Answer, LeaveReason, Message, Player, Refusal};

/// One room: its state, and its hooks.
///
/// Hooks are called one at a time, in the order of events, by the task that owns the state. A hook
/// must not block: use [`RoomContext::spawn`] for futures and [`RoomContext::compute`] for heavy
/// work. If a hook takes longer than the heartbeat timeout, the room is killed as hung. If it
/// panics, the room crashes; with `--on-room-panic continue` only the request fails, with
/// `internal`.
///
/// Limits: the lobby logs 200 lines a second from each of a room's stdout and stderr, with bursts
/// of 2,000, and counts the rest. It reads 2,000 messages a second from a room, with bursts of
/// 10,000; a room with 4,096 messages, or 8 MiB, that the lobby has not read crashes. An allocation
/// beyond `--room-memory` fails and ends the room.
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Room: Sized + 'static {
    /// Options that the lobby sets at creation. They are public in the list of rooms.
    type Options: Serialize + DeserializeOwned + Clone + Default + Message;
    /// Browser to room: an enum; a variant's name in snake_case is the event's name.
    type Request: DeserializeOwned + Message;
    /// Room to browser: an enum as above.
    type Event: Serialize + Message;
    /// Lobby to room.
    type FromLobby: Serialize + DeserializeOwned;
    /// Room to lobby.
    type ToLobby: Serialize + DeserializeOwned;

    /// Creates the room's state. Players are admitted when this returns, which must be within the
    /// ready timeout (5 s). A refusal ends the room and goes to those who asked for it.
    fn on_open(
        options: Self::Options,
        room: &RoomContext<Self>,
    ) -> impl Future<Output = Result<Self, Refusal>>;

    /// Handles a request. Requests of one player arrive in the order in which they were sent.
    /// Default: refuses it as unknown.
    fn on_message(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// Handles bytes, which a page sends as the event `binary`. Default: refuses them as unknown.
    fn on_binary(&mut self, room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        Err(Refusal::unknown_event("binary"))
    }

    /// Decides whether a player may take a seat, before they connect. Called only while a seat is
    /// free. Default: yes.
    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns all that a player needs to see the current state, and sends nothing itself. Sent
    /// before `on_join` and `on_reconnect` (which may call [`RoomContext::sync`] if they change
    /// it), and to everyone by `sync`. Default: nothing is sent.
    fn snapshot(&self, room: &RoomContext<Self>, to: &Player) -> Option<Self::Event> {
        None
    }

    /// A player joined: once for each player, before their first request. The others have been sent
    /// `player_joined`. Default: nothing.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player's connection was lost; `is_here` is false already. `Some(grace)` keeps the seat for
    /// that time, after which `on_leave` follows unless they reconnect. Default: `None`, the player
    /// leaves at once.
    fn on_disconnect(&mut self, room: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        None
    }

    /// A player has a new connection: after `on_disconnect`, or from another window. Default:
    /// nothing.
    fn on_reconnect(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player left for good and is not among `players` any more. Called exactly once for each
    /// `on_join`, also for those who are in the room when it ends, unless the room crashes or is
    /// killed: then no hook is called. Default: nothing.
    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, reason: LeaveReason) {}

    /// Called at the rate set with [`RoomContext::set_tick_rate`]; `dt` is the measured time since
    /// the last tick. Ticks missed in a delay of up to two periods are made up for; after a longer
    /// stall they are skipped. [`RoomContext::tick_delay`] is how late this one is. Default:
    /// nothing.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {}

    /// A message of the lobby, sent with `tell`. Default: nothing.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, message: Self::FromLobby) {}

    /// The lobby drains the room: no new players come, and the room is closed after `left`, or as
    /// soon as no seat is taken. [`RoomContext::close`] ends it sooner. Default: nothing.
    fn on_drain(&mut self, room: &RoomContext<Self>, left: Duration) {}

    /// The last hook, after everyone has left. Not called in a room that crashes or is killed.
    /// Default: nothing.
    fn on_dispose(self) -> impl Future<Output = ()> {
        async {}
    }
}
