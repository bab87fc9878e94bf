//! Players, and ids of players and rooms.

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
    /// A player's id: the subject of the token, the same for as long as the token is renewed. Never
    /// a socket id.
    PlayerId
);
text_id!(
    /// A room's id. One room is one process.
    RoomId
);

/// A registered player, the same in the lobby and in rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct Player {
    /// The same for as long as the token is renewed.
    pub id: PlayerId,
    /// As typed by the player and checked by `on_register`. Show it as text, never as HTML.
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

/// A player alone is a party of one.
impl AsRef<[Player]> for Player {
    fn as_ref(&self) -> &[Player] {
        std::slice::from_ref(self)
    }
}
