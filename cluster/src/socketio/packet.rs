//! An event as it arrives, before it is parsed.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::FromMessageParts;
use socketioxide::socket::Socket;

use crate::Bytes;
use crate::socketio::events::BINARY;
use crate::types::Refusal;

/// The number of a connection, unique in this process.
pub(crate) type ConnId = u64;

/// The name of an event, and its argument: JSON, or bytes.
#[derive(Debug)]
pub(crate) struct RawEvent {
    pub name: String,
    /// An error if the packet is malformed: then the event has no effect.
    pub data: Result<Option<Box<RawValue>>, Refusal>,
    /// The bytes of the event `binary`, which has no other data.
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
        let (text, attachments) = match packet {
            socketioxide_core::Value::Str(text, attachments) => (text.as_str(), attachments.take()),
            socketioxide_core::Value::Bytes(_) => ("", None),
        };
        Ok(RawEvent::parse(text, attachments.unwrap_or_default().into(), ack.is_some()))
    }
}

impl RawEvent {
    /// Parses a packet's text, `["name", data]`, and its attachments. What would be dropped
    /// silently is refused.
    pub fn parse(text: &str, mut attachments: Vec<Bytes>, wants_ack: bool) -> RawEvent {
        let bytes = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let parts = serde_json::from_str::<Vec<Box<RawValue>>>(text);
        let mut arguments = parts.map_err(Refusal::bad_message).map(Vec::into_iter);
        let name = arguments.as_mut().ok().and_then(Iterator::next);
        let name = name.and_then(|name| serde_json::from_str::<String>(name.get()).ok());
        let binary = attachments.pop();
        let data = arguments.and_then(|mut arguments| {
            let data = arguments.next();
            if name.is_none() || arguments.next().is_some() {
                return Err(Refusal::bad_message("an event has a name and at most one argument"));
            }
            if binary.is_none() {
                return Ok(data);
            }
            // In the text, this stands for the attachment.
            let data = data.and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
            let is_placeholder = data == Some(json!({ "_placeholder": true, "num": 0 }));
            if name.as_deref() != Some(BINARY) || !attachments.is_empty() || !is_placeholder {
                return Err(Refusal::bad_message("bytes are the only argument of `binary`"));
            }
            Ok(None)
        });
        RawEvent { name: name.unwrap_or_default(), data, binary, bytes, wants_ack }
    }
}
