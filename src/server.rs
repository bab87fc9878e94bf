//! People: who may enter the lobby, and what they ask there. The lobby calls the hooks one at a
//! time. The hooks for rooms are in `room_manager.rs`.

use cluster::{Answer, Lobby, LobbyContext, Player, readable_line, refuse};

use crate::messages::{LobbyEvent, LobbyRequest, Options};
use crate::room::Arena;

/// Coins that win a round.
pub const GOAL: u32 = 10;

/// The lobby's state.
#[derive(Default)]
pub struct Server {
    pub games_played: u32,
}

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = LobbyRequest;
        type Event = LobbyEvent;
    }

    // HOOK: a request of a player. The structure answers `play` and `join`.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: LobbyRequest,
    ) -> Answer {
        let LobbyRequest::Create { title } = request;
        let bad_title = refuse("bad_title", "A title is a line of 1 to 40 characters.");
        let title = readable_line(&title, 40).ok_or(bad_title)?.to_owned();
        let options = Options { title, goal: GOAL };
        let room = lobby.create::<Arena>(from, None, options)?;
        lobby.join(from, &room)
    }
}
