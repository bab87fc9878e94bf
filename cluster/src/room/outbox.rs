//! What goes out of a room, in the order in which hooks and the core queued it.

use std::rc::Rc;

use crate::process::FromRoom;
use crate::socketio::{ConnId, Encoded};
use crate::types::{LeaveReason, PlayerId, RoomId};

pub(crate) enum Output {
    Emit {
        to: ConnId,
        event: Rc<Encoded>,
        /// May be dropped if the connection is slow.
        volatile: bool,
    },
    HangUp(ConnId),
    /// A frame for the lobby.
    Frame(FromRoom),
    // Hooks queue these two; the core replaces them by what they lead to.
    /// The player returns to the lobby.
    Leave(PlayerId, LeaveReason),
    /// The player is to get a seat in another room.
    Transfer(PlayerId, RoomId),
}
