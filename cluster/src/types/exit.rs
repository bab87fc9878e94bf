//! How a room ended.

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
