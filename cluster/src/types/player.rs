//! Players, and the ids of players and rooms.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identifies a player in all rooms and across connections: the subject of their token. 1 to 256
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct PlayerId(pub String);

/// Identifies a room, which is one process: a number as text, such as `7`. A lobby never reuses
/// one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct RoomId(pub String);

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registered player. Methods that take `impl AsRef<PlayerId>` take it, or its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct Player {
    /// The same at each connection, for as long as their token is valid.
    pub id: PlayerId,
    /// Their name, as `on_register` returned it. Show it as text, never as HTML.
    pub name: String,
}

impl AsRef<PlayerId> for PlayerId {
    fn as_ref(&self) -> &PlayerId {
        self
    }
}

impl AsRef<PlayerId> for Player {
    fn as_ref(&self) -> &PlayerId {
        &self.id
    }
}

/// A single player is a party of one.
impl AsRef<[Player]> for Player {
    fn as_ref(&self) -> &[Player] {
        std::slice::from_ref(self)
    }
}

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
