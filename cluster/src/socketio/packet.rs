//! An event as it comes over a browser's connection, not parsed yet, and bytes as they go out.

use std::{convert::Infallible, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use socketioxide::{adapter::LocalAdapter, handler::FromMessageParts, socket::Socket};

use crate::{Bytes, socketio::events::BINARY, types::Refusal};

/// Numbers connections of this process.
pub(crate) type ConnId = u64;

/// Bytes that Socket.IO sends beside the event's text.
pub(crate) struct Attached<'a>(pub &'a [u8]);

impl Serialize for Attached<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

/// An event as it came: its name and its first argument, both as text.
#[derive(Debug)]
pub(crate) struct RawEvent {
    pub name: String,
    /// `Err`: not JSON.
    pub data: Result<Option<Box<RawValue>>, Refusal>,
    /// What came beside the text, if it was the event for it.
    pub binary: Option<Bytes>,
    /// All that came, in bytes.
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
    /// A packet is `["name", data, …]`; Socket.IO has read its name already.
    pub fn parse(text: &str, attached: Option<Bytes>, wants_ack: bool) -> RawEvent {
        match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Ok(parts) => {
                let mut parts = parts.into_iter();
                let name = parts.next().and_then(|name| serde_json::from_str(name.get()).ok());
                let name: String = name.unwrap_or_default();
                let binary = attached.filter(|_| name == BINARY);
                RawEvent { name, data: Ok(parts.next()), binary, bytes: text.len(), wants_ack }
            }
            Err(error) => RawEvent {
                name: String::new(),
                data: Err(Refusal::bad_message(error)),
                binary: None,
                bytes: text.len(),
                wants_ack,
            },
        }
    }
}
