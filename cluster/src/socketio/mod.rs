//! Socket.IO connections and events.

pub(crate) mod connection;
pub(crate) mod events;
pub(crate) mod namespace;

pub(crate) use self::connection::{
    Conn, ConnId, FromClient, Message, REFUSALS, RawEvent, Responder, refused, reroute,
};
pub(crate) use self::events::{Encoded, encode};
