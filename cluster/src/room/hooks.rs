//! The hooks of a room. `src/room.rs` implements them; `event_loop.rs` calls them.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Bytes,
    room::context::RoomContext,
    types::{Answer, LeaveReason, Message, Player, Refusal},
};

/// One room: its state, and what it does when something happens.
///
/// Hooks are called one at a time, in the order in which things on_notice, by the task that owns the
/// state. A hook must not wait: give work away with [`RoomContext::spawn`] (futures) or [`RoomContext::compute`] (heavy
/// work). A hook that takes longer than the heartbeat timeout gets its room killed as hung; one that
/// panics ends the room, and no other, or with `--on-room-panic continue` not even that: who has asked is
/// refused with `internal`.
///
/// What a room prints is in the lobby's log: 2,000 lines at once and 200 in a second; the others are counted. It
/// may say 10,000 things at once to the lobby and 2,000 in a second; more of it waits, and one with
/// 4,096 waiting crashes. An allocation beyond `--room-memory` fails and ends it.
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Room: Sized + 'static {
    /// What kind of room this is: given by the lobby at creation. Anybody may read it in the list of
    /// rooms.
    type Options: Serialize + DeserializeOwned + Clone + Default + Message;
    /// Browser to room: an enum; a variant's name in snake_case is the event's name.
    type Request: DeserializeOwned + Message;
    /// Room to browser: an enum as above.
    type Event: Serialize + Message;
    /// Lobby to room.
    type FromLobby: Serialize + DeserializeOwned;
    /// Room to lobby.
    type ToLobby: Serialize + DeserializeOwned;

    /// The room begins. Players are let in when this is done; a refusal ends the room and is told to
    /// whoever waits for it. Must be done within the ready timeout (5 s).
    fn on_open(
        options: Self::Options,
        room: &RoomContext<Self>,
    ) -> impl Future<Output = Result<Self, Refusal>>;

    /// A request of a player. Those of one player come in the order in which they were sent. Default:
    /// refused as unknown.
    fn on_message(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player sends bytes: his page's event `binary`. Default: refused as unknown.
    fn on_binary(&mut self, room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        Err(Refusal::unknown_event("binary"))
    }

    /// May this player have a seat? Called before he comes; there is a free seat. Default: yes.
    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        Ok(())
    }

    /// All that a player needs to see the room as it is now. Sent when he joins or returns, before
    /// `on_join` or `on_reconnect` (which may `sync` if they change what it shows), and to everyone by
    /// [`RoomContext::sync`]. Default: nothing.
    fn snapshot(&self, room: &RoomContext<Self>, to: &Player) -> Option<Self::Event> {
        None
    }

    /// A player is in the room: once a player, before anything that he says. The others have been told
    /// `player_joined`. Default: nothing.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player's connection is lost: `is_here` is false already. `Some(grace)` keeps his seat for so long; if he does not return,
    /// `on_leave` follows. Default: `None`, he leaves at once.
    fn on_disconnect(&mut self, room: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        None
    }

    /// A player is here with a new connection: after `on_disconnect`, or from another window. Default: nothing.
    fn on_reconnect(&mut self, room: &RoomContext<Self>, player: &Player) {}

    /// A player is out of the room for good, and not among its `players` any more: exactly once for each
    /// `on_join`, also for all who are there when the room ends. Default: nothing.
    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, why: LeaveReason) {}

    /// Called at the rate set with [`RoomContext::tick_rate`]; `dt` is the time since the last tick, measured.
    /// A room that was busy makes up for two ticks at most and skips the others; [`RoomContext::tick_delay`]
    /// tells how late this one is. Default: nothing.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {}

    /// The lobby says something, with `tell`. Default: nothing.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, said: Self::FromLobby) {}

    /// The lobby wants the room to end within `left`, after which it closes; nobody new comes. Call
    /// `room.close()` when done. Default: wait until the players have left, or the time is up.
    fn on_drain(&mut self, room: &RoomContext<Self>, left: Duration) {}

    /// The last hook: everyone has left. Default: nothing.
    fn on_dispose(self) -> impl Future<Output = ()> {
        async {}
    }
}
