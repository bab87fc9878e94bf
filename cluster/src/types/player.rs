//! Players and rooms, by their ids.

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
    /// Who a player is, for days: the subject of the token. Never a socket id.
    PlayerId
);
text_id!(
    /// One room: one process, one session of play or work.
    RoomId
);

/// A registered person, the same in the lobby and in rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct Player {
    /// The same for as long as their token lives.
    pub id: PlayerId,
    /// As the person typed it, checked by `on_register`. Show it as text, never as HTML.
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

/// A player is the smallest party.
impl AsRef<[Player]> for Player {
    fn as_ref(&self) -> &[Player] {
        std::slice::from_ref(self)
    }
}
