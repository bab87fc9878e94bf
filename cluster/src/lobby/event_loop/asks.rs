//! What those who run the lobby ask of its event loop, over HTTP.

use tokio::sync::oneshot;

use crate::lobby::Lobby;
use crate::lobby::event_loop::{EventHandler, Figures};
use crate::types::{Exit, RoomId};

/// How many wait in the queue. Further ones wait for a place, for a second at most.
pub(crate) const MAX_ASKS: usize = 64;

pub(crate) enum Ask {
    /// To kill a room; in development.
    Kill(RoomId),
    /// Why the lobby is not ready for further players.
    Unready(oneshot::Sender<Vec<&'static str>>),
    /// For the metrics.
    Figures(oneshot::Sender<Figures>),
}

impl<L: Lobby> EventHandler<'_, L> {
    pub(super) fn answer(&self, ask: Ask) {
        let rooms = &self.context.rooms;
        match ask {
            Ask::Kill(room) => {
                let exit = Exit::Crashed("killed from the page".to_owned());
                let _ = rooms.borrow_mut().kill(&room, exit);
            }
            Ask::Unready(answer) => drop(answer.send(rooms.borrow().unready())),
            Ask::Figures(answer) => drop(answer.send(self.context.figures())),
        }
    }
}
