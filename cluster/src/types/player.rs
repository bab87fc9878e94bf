//! Players, and the ids of players and rooms.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(debug_assertions, derive(ts_rs::TS))]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Identifies a player in all rooms and across connections: the subject of their token.
    PlayerId
);
text_id!(
    /// Identifies a room, which is one process.
    RoomId
);

/// A registered player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct Player {
    /// Does not change while their token is valid.
    pub id: PlayerId,
    /// The name they typed, checked by `on_register`. Show it as text, never as HTML.
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
