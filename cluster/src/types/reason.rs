//! Why a player left a room, and how a room ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a player left a room for good; [`Room::on_leave`](crate::Room::on_leave) and the page get
/// it.
///
/// On the wire `{ code, message? }`, as in `{ "code": "left" }` and `{ "code": "kicked", "message":
/// "Please be kind." }`. Displayed, it is the message, or else the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", content = "message", rename_all = "snake_case")]
pub enum LeaveReason {
    /// The player asked to leave.
    Left,
    /// The connection was lost, and the player did not return within the grace period of
    /// `on_disconnect`.
    Dropped,
    /// The player did not join before their ticket expired.
    Expired,
    /// The room called `close()`.
    Finished,
    /// The room was empty for too long, or the lobby closed it with this message.
    Closed(String),
    /// The player went to another room.
    Moved,
    /// The room called `send_to_lobby` with this message.
    Sent(String),
    /// The room or the lobby called `kick` or `ban` with this message.
    Kicked(String),
    /// A hook panicked, or the room's process died or broke the protocol.
    Crashed,
    /// The room stopped responding and was killed: it sent no heartbeat, did not read its messages,
    /// or did not end after `close`.
    Hung,
    /// The room did not start.
    NeverReady,
}

impl fmt::Display for LeaveReason {
    /// The message; without one, the code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        let text = wire.get("message").unwrap_or(&wire["code"]);
        f.write_str(text.as_str().unwrap_or_default())
    }
}

/// How a room ended; [`RoomManager::on_room_exit`](crate::RoomManager::on_room_exit) gets it.
/// Displayed, it completes the sentence "The room …", such as `crashed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// The room called `close()`. All that it sent with `tell_lobby` before has arrived.
    Finished,
    /// The room was empty for too long, or the lobby closed it.
    Closed,
    /// A hook panicked, or the process died or broke the protocol. The text is for the log.
    Crashed(String),
    /// The room stopped responding and was killed: it sent no heartbeat, did not read its messages,
    /// or did not end after `close`.
    Hung,
    /// The room did not become ready in time, or refused to open. The text is for the log.
    NeverReady(String),
}

impl Exit {
    /// The code for programs, in snake_case, and the reason for which the room's players left it.
    pub(crate) fn code_and_reason(&self) -> (&'static str, LeaveReason) {
        match self {
            Exit::Finished => ("finished", LeaveReason::Finished),
            Exit::Closed => ("closed", LeaveReason::Closed("The room was closed.".to_owned())),
            Exit::Crashed(_) => ("crashed", LeaveReason::Crashed),
            Exit::Hung => ("hung", LeaveReason::Hung),
            Exit::NeverReady(_) => ("never_ready", LeaveReason::NeverReady),
        }
    }
}

impl fmt::Display for Exit {
    /// Completes the sentence "The room …", such as `crashed`, without the text for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exit::NeverReady(_) => "never became ready",
            other => other.code_and_reason().0,
        })
    }
}
