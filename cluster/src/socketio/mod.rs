//! Socket.IO connections and events.

pub(crate) mod connection;
pub(crate) mod events;
pub(crate) mod namespace;
pub(crate) mod packet;
