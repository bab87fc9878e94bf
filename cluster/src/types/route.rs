//! The way of a player to a room.

use serde::{Deserialize, Serialize};

use crate::types::player::RoomId;

/// Where a player finds a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Route {
    pub room: RoomId,
    pub ticket: String,
}

/// Where a room's browsers connect to.
pub(crate) fn path_of(room: &RoomId) -> String {
    format!("/rooms/{room}/socket.io")
}
