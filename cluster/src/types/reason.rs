//! Why a player left a room, and how a room ended.

use std::fmt;

use serde::Serialize;

/// Why a player left a room for good. On the wire its text, which is the reason that his page gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// He asked to.
    Left,
    /// His connection was lost, and he did not return within the grace that `on_disconnect` gave.
    Dropped,
    /// He had a seat and never came to take it.
    Expired,
    /// The room called `close()`.
    Finished,
    /// The room was empty for too long, or the lobby closed it for this reason.
    Closed(String),
    /// He is on his way to another room.
    Moved,
    /// A reason of your own, given to `send_to_lobby`.
    Sent(String),
    /// Put out by the room or the lobby, with `kick` or `ban`, for this reason.
    Kicked(String),
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Leave::Left => "left",
            Leave::Dropped => "dropped",
            Leave::Expired => "expired",
            Leave::Finished => "finished",
            Leave::Moved => "moved",
            Leave::Closed(reason) | Leave::Sent(reason) | Leave::Kicked(reason) => reason,
        })
    }
}

impl Serialize for Leave {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// How a room ended; `on_room_exit` gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The room called `close()`. What it told the lobby before has arrived.
    Finished,
    /// It was empty for too long, or the lobby closed it.
    Closed,
    /// The process died, or broke the protocol. The text is for the log.
    Crashed(String),
    /// It gave no sign of life for too long and was killed.
    Hung,
    /// It did not become ready in time, or said why it cannot.
    NeverReady(String),
}

impl Exit {
    /// The reason that the room's players are told.
    pub fn reason(&self) -> &'static str {
        match self {
            Exit::Finished => "finished",
            Exit::Closed => "closed",
            Exit::Crashed(_) => "crashed",
            Exit::Hung => "hung",
            Exit::NeverReady(_) => "never_ready",
        }
    }
}
