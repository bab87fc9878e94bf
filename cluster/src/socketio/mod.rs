//! Socket.IO connections and events.

mod connection;
pub(crate) mod events;
pub(crate) mod namespace;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::connection::{Ack, Peer, TestPeer};
pub(crate) use self::connection::{
    Conn, ConnId, FromClient, Message, REFUSALS, RawEvent, Responder, refused, reroute,
};
pub(crate) use self::events::{Encoded, LOBBY_REQUESTS, encode};
pub(crate) use self::namespace::EventLimiter;
