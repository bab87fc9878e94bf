//! The lobby: gives the rows of pictures to rooms that compute them, and passes on what they have. Edit
//! the hooks; the loop in `cluster/lobby_loop.rs` calls them one at a time.

mod board;

use std::{num::NonZero, thread::available_parallelism};

use cluster::{
    Answer, Cluster, Exit, Info, Lobby, Player, PlayerId, Refusal, RoomId, done, refuse,
};
use tracing::{info, warn};

use crate::{
    messages::{How, LobbyEvent, LobbyRequest, Options, Outcome, ToLobby, ToRoom},
    room::Worker,
};
use board::Board;

/// Pictures at once: with more, none of them would get on.
const MAX_PICTURES: usize = 16;

#[derive(Default)]
pub struct Server {
    board: Board,
}

impl Lobby for Server {
    type Room = Worker;
    type Request = LobbyRequest;
    type Event = LobbyEvent;

    // HOOK: the lobby begins.
    async fn on_start(_: &Cluster<Self>) -> Result<Self, Refusal> {
        Ok(Server::default())
    }

    // HOOK: what do players want?
    fn on_request(&mut self, lobby: &Cluster<Self>, from: &Player, asked: LobbyRequest) -> Answer {
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
        done()
    }

    // HOOK: a player is not here any more.
    fn on_leave(&mut self, lobby: &Cluster<Self>, player: &Player) {
        self.end(lobby, &player.id, How::Cancelled);
    }

    // HOOK: a room says something.
    fn on_room_message(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, message: ToLobby) {
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
        }
    }

    // HOOK: a room has ended. If it was in the middle of something, another one does the rest.
    fn on_room_exit(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, exit: Exit<Outcome>) {
        info!(room = %room.id, ?exit, "worker gone");
        self.board.lose(&room.id);
        self.hand_out(lobby);
    }

    // HOOK: the lobby ends.
    fn on_stop(&mut self, _: &Cluster<Self>) {
        self.board = Board::default();
    }
}

impl Server {
    fn end(&mut self, lobby: &Cluster<Self>, player: &PlayerId, how: How) {
        let Some(busy) = self.board.end(player) else { return };
        lobby.send(player, LobbyEvent::Ended { how });
        // Each says `Free` when it has stopped. One that is gone hears nothing, here and below; then
        // `on_room_exit` follows.
        busy.iter().for_each(|worker| drop(lobby.tell(worker, ToRoom::Cancel)));
    }

    /// Work for everyone who has none. Who is free first gets the next band.
    fn hand_out(&mut self, lobby: &Cluster<Self>) {
        while self.board.has_bands()
            && let Some(worker) = self.board.free_worker().or_else(|| self.hire(lobby))
            && let Some((view, rows)) = self.board.give(&worker)
        {
            let _ = lobby.tell(&worker, ToRoom::Compute { view, rows });
        }
        self.board.hopeless().iter().for_each(|player| self.end(lobby, player, How::Failed));
    }

    /// Opens one more room, without seats, if there is a processor for it.
    fn hire(&self, lobby: &Cluster<Self>) -> Option<RoomId> {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let patience_ms = lobby.settings().empty_timeout.as_millis() as u64;
        (self.board.workers() < processors)
            .then(|| lobby.create(None, 0, Options { patience_ms }))?
            .inspect_err(|error| warn!(%error, "no worker can be hired"))
            .ok()
    }
}
