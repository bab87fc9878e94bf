//! The lobby: who may enter, where players go, what happens when a room has ended. Edit the hooks; the
//! loop in `cluster/lobby_loop.rs` calls them one at a time.

use cluster::{
    Answer, Arrival, Cluster, Exit, Identity, Info, Lobby, Player, Refusal, Registration,
};
use tracing::info;

use crate::{
    messages::{LobbyEvent, LobbyRequest, Options, Outcome, ToLobby, ToRoom},
    room::Game,
};

#[derive(Default)]
pub struct Server {
    // HOOK: what does the lobby know?
    hellos: u32,
}

impl Lobby for Server {
    type Room = Game;
    type Request = LobbyRequest;
    type Event = LobbyEvent;

    // HOOK: the lobby begins; nobody is connected yet. No default.
    async fn on_start(lobby: &Cluster<Self>) -> Result<Self, Refusal> {
        info!(seats = lobby.settings().seats, "on_start");
        Ok(Server::default())
    }

    // HOOK: somebody registers: who is it? Default: anyone with a proper name is a new player.
    async fn on_register(form: Registration) -> Result<Identity, Refusal> {
        info!(name = form.name, "on_register");
        Identity::new(&form.name)
    }

    // HOOK: a player asks something. No default.
    fn on_request(&mut self, lobby: &Cluster<Self>, from: &Player, asked: LobbyRequest) -> Answer {
        info!(player = %from.name, ?asked, "on_request");
        let seats = lobby.settings().seats;
        match asked {
            // The fullest room first, so that players meet.
            LobbyRequest::Play => {
                lobby.join_or_create(from, |room| Some(room.players), seats, Options {})
            }
        }
    }

    // HOOK: a player is in the lobby now. Default: back into the room that keeps a seat for him.
    fn on_arrive(&mut self, lobby: &Cluster<Self>, player: &Player, how: Arrival) {
        info!(player = %player.name, ?how, "on_arrive");
        lobby.send_back(player);
    }

    // HOOK: a player is not in the lobby any more: in a room, or gone. Default: nothing.
    fn on_leave(&mut self, _lobby: &Cluster<Self>, player: &Player) {
        info!(player = %player.name, "on_leave");
    }

    // HOOK: a room is open now. Default: nothing.
    fn on_room_ready(&mut self, _lobby: &Cluster<Self>, room: &Info<Self>) {
        info!(room = %room.id, "on_room_ready");
    }

    // HOOK: a room says something, with `tell_lobby`. Default: nothing.
    fn on_room_message(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, message: ToLobby) {
        info!(room = %room.id, said = ?message, "on_room_message");
        let ToLobby::Hello { from } = message;
        self.hellos += 1;
        lobby.broadcast(LobbyEvent::News { text: format!("{from} says hello in {}", room.id) });
        // It may have ended meanwhile.
        let _ = lobby.tell(&room.id, ToRoom::Hellos(self.hellos));
    }

    // HOOK: a room has ended; its players are back, or on their way. Default: nothing.
    fn on_room_exit(&mut self, _lobby: &Cluster<Self>, room: &Info<Self>, exit: Exit<Outcome>) {
        info!(room = %room.id, ?exit, "on_room_exit");
    }

    // HOOK: the lobby is about to stop; then its rooms are asked to finish. Default: nothing.
    fn on_stop(&mut self, _lobby: &Cluster<Self>) {
        info!("on_stop");
    }
}
