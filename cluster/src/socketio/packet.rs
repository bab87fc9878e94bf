//! An event as it arrives, before it is parsed.

use std::convert::Infallible;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
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

/// Stands in a packet's text for its only attachment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholder {
    _placeholder: bool,
    num: usize,
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
    /// Parses a packet's text, `["name", data]`, and its attachments.
    pub fn parse(text: &str, attachments: Vec<Bytes>, wants_ack: bool) -> RawEvent {
        let bytes = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let mut event =
            RawEvent { name: String::new(), data: Ok(None), binary: None, bytes, wants_ack };
        if let Err(refusal) = event.read(text, attachments) {
            event.data = Err(refusal);
        }
        event
    }

    fn read(&mut self, text: &str, mut attachments: Vec<Bytes>) -> Result<(), Refusal> {
        let parts: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(Refusal::bad_message)?;
        let mut parts = parts.into_iter();
        let name = parts.next().ok_or_else(|| Refusal::bad_message("the name is missing"))?;
        self.name = serde_json::from_str(name.get()).map_err(Refusal::bad_message)?;
        let data = parts.next();
        // What would be dropped silently is refused.
        if parts.next().is_some() {
            return Err(Refusal::bad_message("an event has at most one argument"));
        }
        self.binary = attachments.pop();
        if self.binary.is_none() {
            self.data = Ok(data);
            return Ok(());
        }
        let stands_for_it = |text: Box<RawValue>| {
            let placeholder = serde_json::from_str::<Placeholder>(text.get());
            placeholder.is_ok_and(|it| it._placeholder && it.num == 0)
        };
        let is_alone = self.name == BINARY && attachments.is_empty();
        match is_alone && data.is_some_and(stands_for_it) {
            true => Ok(()),
            false => Err(Refusal::bad_message("bytes are the only argument of `binary`")),
        }
    }
}
