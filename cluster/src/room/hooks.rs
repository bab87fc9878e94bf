//! The hooks of a room. `src/room.rs` implements them; `event_loop.rs` calls them.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Bytes,
    room::context::RoomContext,
    types::{Answer, LeaveReason, Message, Player, Refusal},
};

/// One room: its state and its hooks.
///
/// Hooks are called one at a time, in the order of events, by the task that owns the state. A hook
/// must not block: use [`RoomContext::spawn`] for futures and [`RoomContext::compute`] for
/// CPU-bound work. A hook that takes longer than `--heartbeat-timeout` gets the room killed as
/// hung. A panic ends this room and no other; with `--on-room-panic continue` it ends only the
/// hook, and the request is refused with `internal`.
///
/// Limits: stdout and stderr reach the lobby's log with 200 lines a second each, in bursts of
/// 2,000. The lobby reads 2,000 messages a second, in bursts of 10,000; a room with 4,096 more
/// queued crashes. An allocation beyond `--room-memory` fails and ends the process.
#[allow(unused_variables, reason = "the names of the arguments are documentation")]
pub trait Room: Sized + 'static {
    /// What the lobby creates the room with. Public: it is in the list of rooms.
    type Options: Serialize + DeserializeOwned + Clone + Default + Message;
    /// Browser to room: an enum. A variant's name in snake_case is the event's name.
    type Request: DeserializeOwned + Message;
    /// Room to browser: an enum as above.
    type Event: Serialize + Message;
    /// Lobby to room.
    type FromLobby: Serialize + DeserializeOwned;
    /// Room to lobby.
    type ToLobby: Serialize + DeserializeOwned;

    /// Makes the room's state. Players are admitted afterwards. A refusal ends the room and answers
    /// those who wait for it. Must finish within `--ready-timeout` (5 s).
    fn on_open(
        options: Self::Options,
        room: &RoomContext<Self>,
    ) -> impl Future<Output = Result<Self, Refusal>>;

    /// A player sent a request. The requests of one player arrive in order. Default: refuses with
    /// `unknown_event`.
    fn on_message(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player sent bytes: the page's event `binary`. Default: refuses with `unknown_event`.
    fn on_binary(&mut self, room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        Err(Refusal::unknown_event("binary"))
    }

    /// Decides whether a player gets a seat. Called before they come, when a seat is free. Default:
    /// yes.
    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        Ok(())
    }

    /// The state of the room as this player sees it. Sent when they join or reconnect, before
    /// `on_join` or `on_reconnect`, and to everyone by [`RoomContext::sync`]. Default: nothing.
    fn snapshot(&self, room: &RoomContext<Self>, to: &Player) -> Option<Self::Event> {
        None
    }

    /// A player has joined: once for each player, before their first request. The others have been
    /// sent `player_joined`. Default: nothing.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player's connection is lost; [`RoomContext::is_here`] is false. `Some(grace)` keeps the
    /// seat for so long; if the player does not reconnect, `on_leave` follows. Default: `None`,
    /// they leave at once.
    fn on_disconnect(&mut self, room: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        None
    }

    /// A player has a new connection: after `on_disconnect`, or in another window. Default:
    /// nothing.
    fn on_reconnect(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player has left for good and is no longer in `players`. Called exactly once for each
    /// `on_join`, also for everyone who is there when the room ends. Default: nothing.
    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, reason: LeaveReason) {}

    /// Called at the rate of [`RoomContext::tick_rate`]. `dt` is the measured time since the last
    /// tick. After a stall at most two missed ticks are made up for; [`RoomContext::tick_delay`]
    /// says how late this one is. Default: nothing.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {}

    /// A message of the lobby's `tell`. Default: nothing.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, message: Self::FromLobby) {}

    /// The lobby wants the room to end within `left`; then it is closed. Nobody new joins. Call
    /// [`RoomContext::close`] when done. Default: wait until the players have left or the time is up.
    fn on_drain(&mut self, room: &RoomContext<Self>, left: Duration) {}

    /// The last hook: everyone has left. Default: nothing.
    fn on_dispose(self) -> impl Future<Output = ()> {
        async {}
    }
}
