//! The output that hooks queue in the room's context.

use std::rc::Rc;

use crate::{
    process::channel::FromRoom,
    socketio::events::{self, Encoded},
    types::{LeaveReason, PlayerId, RoomId},
};

/// Output of a hook, applied when the hook returns.
pub(crate) enum Output {
    Send { to: PlayerId, event: Rc<Encoded> },
    Broadcast { event: Rc<Encoded>, except: Option<PlayerId>, volatile: bool },
    Sync,
    SendToLobby { player: PlayerId, reason: LeaveReason },
    SendToRoom { player: PlayerId, room: RoomId },
    Ban { player: PlayerId, message: String },
    Frame(FromRoom),
    Close,
}

pub(crate) fn encode(event: &impl serde::Serialize) -> Option<Rc<Encoded>> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok().map(Rc::new)
}
