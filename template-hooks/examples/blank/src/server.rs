//! People: who may enter the lobby, and what they ask there. The lobby calls the hooks one at a
//! time. The hooks for rooms are in `room_manager.rs`.

use cluster::{Answer, Arrival, Identity, Lobby, LobbyContext, Player, Refusal, Registration, ok};
use tracing::info;

use crate::messages::{LobbyEvent, LobbyRequest};

#[derive(Default)]
pub struct Server {
    // HOOK: the lobby's state.
    pub hellos: u32,
}

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = LobbyRequest;
        type Event = LobbyEvent;
    }

    // HOOK: the lobby starts, before the first connection. Default: nothing.
    async fn on_start(&mut self, lobby: &LobbyContext<Self>) -> Result<(), Refusal> {
        info!(seats = lobby.settings().seats, "on_start");
        Ok(())
    }

    // HOOK: authenticates a registration. Default: anyone with a proper name is a new player.
    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        info!(name = form.name, "on_register");
        Identity::new(&form.name)
    }

    // HOOK: a request of a player. Default: refused as unknown.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: LobbyRequest,
    ) -> Answer {
        info!(player = %from.name, ?request, "on_request");
        match request {
            LobbyRequest::Wave => {
                lobby.broadcast(LobbyEvent::News { text: format!("{} waves", from.name) });
            }
        }
        ok()
    }

    // HOOK: a player is in the lobby now. Default: back into the room that keeps a seat for them.
    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival<Self>) {
        info!(player = %player.name, returned = ?how.returned, seat = ?how.seat, "on_arrive");
        lobby.send_back(player);
    }

    // HOOK: a player has left the lobby, for a room or altogether. Default: nothing.
    fn on_leave(&mut self, _lobby: &LobbyContext<Self>, player: &Player) {
        info!(player = %player.name, "on_leave");
    }

    // HOOK: the lobby is about to stop, before its rooms drain. Default: nothing.
    fn on_stop(&mut self, _lobby: &LobbyContext<Self>) {
        info!("on_stop");
    }
}
