//! Socket.IO connections and events.

mod connection;
pub(crate) mod events;
pub(crate) mod namespace;
mod packet;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::connection::{Ack, Peer, TestPeer};
pub(crate) use self::connection::{
    Conn, FromClient, Message, REFUSALS, Responder, refused, reroute,
};
pub(crate) use self::events::{Encoded, LOBBY_REQUESTS, encode};
pub(crate) use self::namespace::EventLimiter;
pub(crate) use self::packet::{ConnId, RawEvent};
