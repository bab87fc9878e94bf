//! One room. Edit the hooks; the loop in `cluster/room_loop.rs` calls them one at a time. What a room
//! logs or prints is in the lobby's log, with the room's id.

use std::time::Duration;

use cluster::{Answer, Bytes, Ctx, Leave, Player, Refusal, Room, done};
use tracing::{debug, info};

use crate::messages::{Options, Outcome, RoomEvent, RoomRequest, ToLobby, ToRoom};

#[derive(Default)]
pub struct Game {
    // HOOK: what does the room know?
}

impl Room for Game {
    type Options = Options;
    type Request = RoomRequest;
    type Event = RoomEvent;
    type Outcome = Outcome;
    type FromLobby = ToRoom;
    type ToLobby = ToLobby;

    // HOOK: the room begins; may refuse. No default.
    async fn on_open(options: Options, room: &Ctx<Self>) -> Result<Self, Refusal> {
        info!(seats = room.capacity(), ?options, "on_open");
        // room.tick_rate(30);
        Ok(Game::default())
    }

    // HOOK: may this player have a seat? There is a free one. Default: yes.
    fn on_admit(&mut self, _room: &Ctx<Self>, player: &Player) -> Result<(), Refusal> {
        info!(player = %player.name, "on_admit");
        Ok(())
    }

    // HOOK: all that a player must know who joins or returns. Default: nothing.
    fn snapshot(&self, _: &Ctx<Self>, to: &Player) -> Option<RoomEvent> {
        info!(player = %to.name, "snapshot");
        None
    }

    // HOOK: a player is here: once, before anything that he says. Default: nothing.
    fn on_join(&mut self, _room: &Ctx<Self>, player: &Player) {
        info!(player = %player.name, "on_join");
    }

    // HOOK: a player asks something. No default.
    fn on_message(&mut self, room: &Ctx<Self>, from: &Player, request: RoomRequest) -> Answer {
        info!(player = %from.name, ?request, "on_message");
        match request {
            RoomRequest::Hello => {
                room.broadcast(RoomEvent::Greeting { text: format!("{} says hello", from.name) });
                room.tell_lobby(ToLobby::Hello { from: from.name.clone() });
            }
        }
        done()
    }

    // HOOK: a player sends bytes. Default: refused as unknown.
    fn on_binary(&mut self, _room: &Ctx<Self>, from: &Player, data: Bytes) -> Answer {
        info!(player = %from.name, bytes = data.len(), "on_binary");
        Err(Refusal::UnknownEvent("binary".to_owned()))
    }

    // HOOK: a player's connection is lost. Default: he leaves; `Some(grace)` keeps his seat so long.
    fn on_drop(&mut self, _room: &Ctx<Self>, player: &Player) -> Option<Duration> {
        info!(player = %player.name, "on_drop");
        None
    }

    // HOOK: a player is here again: after `on_drop`, or from another window. Default: nothing.
    fn on_return(&mut self, _room: &Ctx<Self>, player: &Player) {
        info!(player = %player.name, "on_return");
    }

    // HOOK: a player is gone for good: once for each `on_join`. Default: nothing.
    fn on_leave(&mut self, _room: &Ctx<Self>, player: &Player, why: Leave) {
        info!(player = %player.name, %why, "on_leave");
    }

    // HOOK: so many times a second as `tick_rate` says, above. Default: nothing.
    fn on_tick(&mut self, _room: &Ctx<Self>, dt: Duration) {
        debug!(?dt, "on_tick"); // `RUST_LOG=debug` shows it
    }

    // HOOK: the lobby says something, with `tell`. Default: nothing.
    fn on_lobby_message(&mut self, _room: &Ctx<Self>, message: ToRoom) {
        info!(said = ?message, "on_lobby_message");
    }

    // HOOK: the lobby wants the room to end. Default: wait until all have left, or the time is up.
    fn on_drain(&mut self, _room: &Ctx<Self>, left: Duration) {
        info!(?left, "on_drain");
        // When there is a result: room.close(Outcome {});
    }

    // HOOK: the last one: everyone has left. Default: nothing.
    async fn on_dispose(self) {
        info!("on_dispose");
    }
}
