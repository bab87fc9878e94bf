//! How a player gets to a room.

use serde::{Deserialize, Serialize};

use crate::types::RoomId;

/// A room, and the ticket to join it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Route {
    pub room: RoomId,
    pub ticket: String,
}

/// The Socket.IO path of a room.
pub(crate) fn path_of(room: &RoomId) -> String {
    format!("/rooms/{room}/socket.io")
}
