//! Rooms: which one a player gets, what rooms tell the lobby, what happens when one has ended.

use cluster::{Exit, LobbyContext, Player, Refusal, RoomId, RoomInfo, RoomManager};

use crate::{
    messages::{Options, ToLobby},
    queue::Queued,
    room::Duel,
    server::{PAIR, Server},
};

/// Seconds that the first player of a room waits for a second one.
const PATIENCE: u32 = 60;

impl RoomManager<Duel> for Server {
    // HOOK: which room does a player get who wants no place in the queue?
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        self.dequeue(lobby, player);
        // One in which somebody waits; else a new one, to wait there.
        match lobby.fullest::<Duel>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<Duel>(player, PAIR, Options { patience: PATIENCE }),
        }
    }

    // HOOK: a message of a room.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        _: &RoomInfo<Options>,
        message: ToLobby,
    ) {
        let ToLobby::Scores([(first, most), (second, fewer)]) = message;
        let how = if most > fewer { "has beaten" } else { "has drawn with" };
        self.announce(lobby, format!("{first} {how} {second}, {most} : {fewer}"));
    }

    // HOOK: a room has ended.
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Options>, exit: Exit) {
        // Of a finished game the room has told the scores; a closed room saw none.
        if !matches!(exit, Exit::Finished | Exit::Closed) {
            self.announce(
                lobby,
                format!("The game in room {} is over ({exit})", room.id),
            );
        }
    }
}
