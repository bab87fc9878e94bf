//! What hooks queue with the room's context; it goes out when the hook has returned.

use std::rc::Rc;

use crate::{
    process::channel::FromRoom,
    socketio::events::{self, Encoded},
    types::{LeaveReason, PlayerId, RoomId},
};

/// What a hook queued.
pub(crate) enum Output {
    Send { to: PlayerId, event: Rc<Encoded> },
    Broadcast { event: Rc<Encoded>, except: Option<PlayerId>, volatile: bool },
    Sync,
    SendToLobby { player: PlayerId, why: LeaveReason },
    SendToRoom { player: PlayerId, room: RoomId },
    Ban { player: PlayerId, reason: String },
    Frame(FromRoom),
    Close,
}

pub(crate) fn encode(event: &impl serde::Serialize) -> Option<Rc<Encoded>> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok().map(Rc::new)
}
