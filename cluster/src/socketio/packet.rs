//! An event as it arrives, before it is parsed.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::value::RawValue;
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::FromMessageParts;
use socketioxide::socket::Socket;

use crate::Bytes;
use crate::socketio::events::BINARY;
use crate::types::Refusal;

/// The number of a connection, unique in this process.
pub(crate) type ConnId = u64;

/// The name of an event, and its first argument as JSON.
#[derive(Debug)]
pub(crate) struct RawEvent {
    pub name: String,
    /// An error if the packet is not JSON.
    pub data: Result<Option<Box<RawValue>>, Refusal>,
    /// The attachment of a binary event.
    pub binary: Option<Bytes>,
    /// The size of text and attachments.
    pub bytes: usize,
    pub wants_ack: bool,
}

impl FromMessageParts<LocalAdapter> for RawEvent {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        packet: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let (text, attached) = match packet {
            socketioxide_core::Value::Str(text, attached) => (text.as_str(), attached.take()),
            socketioxide_core::Value::Bytes(_) => ("", None),
        };
        let bytes = text.len() + attached.iter().flatten().map(Bytes::len).sum::<usize>();
        let first = attached.and_then(|mut attached| attached.pop_front());
        Ok(RawEvent { bytes, ..RawEvent::parse(text, first, ack.is_some()) })
    }
}

impl RawEvent {
    /// Parses a packet's text: `["name", data, …]`.
    pub fn parse(text: &str, attachment: Option<Bytes>, wants_ack: bool) -> RawEvent {
        let (name, data) = match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Ok(parts) => {
                let mut parts = parts.into_iter();
                let name = parts.next().and_then(|name| serde_json::from_str(name.get()).ok());
                (name.unwrap_or_default(), Ok(parts.next()))
            }
            Err(error) => (String::new(), Err(Refusal::bad_message(error))),
        };
        let binary = attachment.filter(|_| name == BINARY);
        RawEvent { name, data, binary, bytes: text.len(), wants_ack }
    }
}
