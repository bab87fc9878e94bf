//! One room: the game logic. The hooks are called one at a time. The lobby's log has their output.

use std::time::Duration;

use cluster::{Answer, Bytes, LeaveReason, Player, Refusal, Room, RoomContext, ok};
use tracing::{debug, info};

use crate::messages::{Options, RoomEvent, RoomRequest, RoomState, ToLobby, ToRoom};

#[derive(Default)]
pub struct Game {
    hellos: u32,
    // HOOK: the room's state.
}

impl Room for Game {
    cluster::room_types! {
        type Options = Options;
        type Listing = (); // shown in the list of rooms: `set_listing`
        type Profile = (); // as in `server.rs`
        type JoinOptions = (); // comes with a seat: `join_with` in the lobby, `join_options` here
        type Request = RoomRequest;
        type Event = RoomEvent;
        type State = RoomState;
        type FromLobby = ToRoom;
        type ToLobby = ToLobby;
    }

    // HOOK: the room opens, or refuses to. No default.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        info!(seats = room.capacity(), ?options, "on_open");
        // room.set_tick_rate(30);
        Ok(Game::default())
    }

    // HOOK: may this player have a seat? One is free. Default: yes.
    fn on_admit(&mut self, _room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        info!(player = %player.name, "on_admit");
        Ok(())
    }

    // HOOK: what all pages show of the room: after `sync`, a join, a return. Default: nothing.
    fn state(&self, _: &RoomContext<Self>) -> Option<RoomState> {
        info!("state");
        Some(RoomState { hellos: self.hellos })
    }

    // HOOK: what only this player's page shows, sent with the state. Default: nothing.
    fn snapshot(&self, _: &RoomContext<Self>, to: &Player) -> Option<RoomEvent> {
        info!(player = %to.name, "snapshot");
        None
    }

    // HOOK: a player has joined: once, before any of their messages. Default: nothing.
    fn on_join(&mut self, _room: &RoomContext<Self>, player: &Player) {
        info!(player = %player.name, "on_join");
    }

    // HOOK: a request of a player. Default: refused as unknown.
    fn on_request(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player,
        request: RoomRequest,
    ) -> Answer {
        info!(player = %from.name, ?request, "on_request");
        match request {
            RoomRequest::Hello => {
                self.hellos += 1;
                room.sync();
                room.broadcast(RoomEvent::Greeting { text: format!("{} says hello", from.name) });
                room.tell_lobby(ToLobby::Hello { from: from.name.clone() })?;
            }
        }
        ok()
    }

    // HOOK: binary data of a player. Default: refused as unknown.
    fn on_binary(&mut self, _room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        info!(player = %from.name, bytes = data.len(), "on_binary");
        Err(Refusal::unknown_event("binary"))
    }

    // HOOK: a player lost the connection. `Some(grace)` keeps the seat. Default: they leave.
    fn on_disconnect(&mut self, _room: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        info!(player = %player.name, "on_disconnect");
        None
    }

    // HOOK: a player reconnected, or came from another window. Default: nothing.
    fn on_reconnect(&mut self, _room: &RoomContext<Self>, player: &Player) {
        info!(player = %player.name, "on_reconnect");
    }

    // HOOK: a player has left for good: once for each `on_join`. Default: nothing.
    fn on_leave(&mut self, _room: &RoomContext<Self>, player: &Player, why: LeaveReason) {
        info!(player = %player.name, %why, "on_leave");
    }

    // HOOK: a tick, at the rate set by `set_tick_rate`. Default: nothing.
    fn on_tick(&mut self, _room: &RoomContext<Self>, dt: Duration) {
        debug!(?dt, "on_tick"); // `RUST_LOG=debug` shows it
    }

    // HOOK: a message of the lobby's `tell`. Default: nothing.
    fn on_lobby_message(&mut self, _room: &RoomContext<Self>, message: ToRoom) {
        info!(received = ?message, "on_lobby_message");
    }

    // HOOK: a graceful shutdown. Default: wait until all have left, at most for `left`.
    fn on_drain(&mut self, _room: &RoomContext<Self>, left: Duration) {
        info!(?left, "on_drain");
    }

    // HOOK: everyone has left; the process ends. Default: nothing.
    async fn on_dispose(self) {
        info!("on_dispose");
    }
}
