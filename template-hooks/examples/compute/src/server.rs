//! People: the pictures that they ask for. The lobby calls the hooks one at a time. The workers'
//! hooks are in `room_manager.rs`, the schedule is in `server/board.rs`.

mod board;

use std::num::NonZero;
use std::thread::available_parallelism;

use cluster::{Answer, Lobby, LobbyContext, Player, PlayerId, RoomId, ok, refuse};
use tracing::warn;

use crate::messages::{How, LobbyEvent, LobbyRequest, Options, ToRoom};
use crate::room::Worker;
use board::Board;

/// Concurrent pictures; with more, each would be too slow.
const MAX_PICTURES: usize = 16;

#[derive(Default)]
pub struct Server {
    pub(crate) board: Board,
}

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = LobbyRequest;
        type Event = LobbyEvent;
    }

    // HOOK: a request of a player.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        asked: LobbyRequest,
    ) -> Answer {
        match asked {
            LobbyRequest::Render(view) => {
                view.check()?;
                self.end(lobby, &from.id, How::Cancelled);
                if self.board.pictures() >= MAX_PICTURES {
                    return Err(refuse("busy", "Too many pictures are being drawn right now."));
                }
                lobby.send(from, LobbyEvent::Begun(view.clone()));
                self.board.begin(&from.id, view);
                self.hand_out(lobby);
            }
            LobbyRequest::Cancel => self.end(lobby, &from.id, How::Cancelled),
        }
        ok()
    }

    // HOOK: a player has left the lobby.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
        self.end(lobby, &player.id, How::Cancelled);
    }

    // HOOK: the lobby is about to stop.
    fn on_stop(&mut self, _: &LobbyContext<Self>) {
        self.board = Board::default();
    }
}

impl Server {
    pub fn end(&mut self, lobby: &LobbyContext<Self>, player: &PlayerId, how: How) {
        let Some(busy) = self.board.end(player) else { return };
        lobby.send(player, LobbyEvent::Ended { how });
        // Each sends `Free` when it has stopped. `tell` fails, here and below, if a worker has
        // ended; `on_room_exit` follows.
        busy.iter().for_each(|worker| drop(lobby.tell::<Worker>(worker, ToRoom::Cancel)));
    }

    /// Gives work to every idle worker, and starts more.
    pub fn hand_out(&mut self, lobby: &LobbyContext<Self>) {
        while self.board.has_bands()
            && let Some(worker) = self.board.free_worker().or_else(|| self.hire(lobby))
            && let Some((view, rows)) = self.board.give(&worker)
        {
            let _ = lobby.tell::<Worker>(&worker, ToRoom::Compute { view, rows });
        }
        self.board.hopeless().iter().for_each(|player| self.end(lobby, player, How::Failed));
    }

    /// Opens one more room, without seats, if a processor is free.
    fn hire(&self, lobby: &LobbyContext<Self>) -> Option<RoomId> {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let patience_ms = lobby.settings().empty_timeout.as_millis() as u64;
        (self.board.workers() < processors)
            .then(|| lobby.create::<Worker>(None, 0, Options { patience_ms }))?
            .inspect_err(|error| warn!(%error, "cannot start a worker"))
            .ok()
    }
}
