//! People: who may enter the lobby, and what they ask there. The lobby calls the hooks one at a
//! time. The hooks for rooms are in `room_manager.rs`.

use cluster::axum::{Router, routing::get};
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
        type Profile = (); // what all see of a player; if it is a struct: `Player<Profile>`
        type Account = (); // from `on_register` to `on_arrive`
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

    // HOOK: may this player watch who is where, by `watch_players`? Default: refused.
    fn on_watch_players(
        &mut self,
        _lobby: &LobbyContext<Self>,
        from: &Player,
    ) -> Result<(), Refusal> {
        info!(player = %from.name, "on_watch_players");
        Err(Refusal::NOT_ALLOWED)
    }

    // HOOK: routes beside the page, such as a webhook, or here GET /hellos. Default: none.
    fn routes(lobby: cluster::LobbyHandle<Self>) -> Router {
        info!("routes");
        let hellos = async move || lobby.call(|server, _| server.hellos.to_string()).await;
        Router::new().route("/hellos", get(hellos))
    }

    // HOOK: the same for requests that come from pages of other origins. Default: none.
    fn cross_origin_routes(_lobby: cluster::LobbyHandle<Self>) -> Router {
        info!("cross_origin_routes");
        Router::new()
    }

    // HOOK: the lobby is about to stop, before its rooms drain. Default: nothing.
    fn on_stop(&mut self, _lobby: &LobbyContext<Self>) {
        info!("on_stop");
    }
}
