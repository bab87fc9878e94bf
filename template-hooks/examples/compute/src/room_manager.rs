//! Rooms: workers that compute rows of pictures. No player is ever in one.

use cluster::{Exit, LobbyContext, Player, Refusal, RoomId, RoomInfo, RoomManager, refuse};
use tracing::info;

use crate::messages::{How, LobbyEvent, ToLobby};
use crate::room::Worker;
use crate::server::Server;

// HOOK: the kinds of rooms, and the names that pages call them. `play` means the first.
cluster::kinds!(Server: Worker = "worker");

impl RoomManager<Worker> for Server {
    // HOOK: which room does a player get?
    fn pick(&mut self, _: &LobbyContext<Self>, _: &Player) -> Result<RoomId, Refusal> {
        Err(refuse("no_seats", "The workers' rooms have no seats; ask the lobby to render."))
    }

    // HOOK: a message of a worker.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<Worker>,
        message: ToLobby,
    ) {
        match message {
            ToLobby::Row { row, shades } => {
                let Some((player, complete)) = self.board.row(&room.id, row) else { return };
                lobby.send(&player, LobbyEvent::Row { row, shades, room: room.id.clone() });
                if complete {
                    self.end(lobby, &player, How::Complete);
                }
            }
            ToLobby::Free => {
                self.board.free(&room.id);
                self.hand_out(lobby);
            }
            ToLobby::Total { rows, busy_ms } => {
                info!(room = %room.id, rows, busy_ms, "idle worker ends");
            }
        }
    }

    // HOOK: a worker has ended. Another one gets its unfinished rows.
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Worker>, exit: Exit) {
        info!(room = %room.id, ?exit, "worker ended");
        self.board.lose(&room.id);
        self.hand_out(lobby);
    }
}
