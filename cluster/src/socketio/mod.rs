//! One Socket.IO connection and its events, as the loops of the lobby and of a room see them.

pub(crate) mod connection;
pub(crate) mod event_limits;
pub(crate) mod events;
pub(crate) mod namespace;
pub(crate) mod packet;
