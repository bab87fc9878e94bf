//! Messages between lobby and room, as JSON text that only the receiver parses.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::error;

use crate::types::Refusal;

/// Bytes of a message between lobby and room, and of the options of a room. A frame has 64 KiB; the rest is for its other fields.
pub(crate) const MAX_RAW: usize = 60 * 1024;

/// Encodes a message. Fails if it is not JSON or too large.
pub(crate) fn to_raw(value: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    let raw = serde_json::value::to_raw_value(value)?;
    let bytes = raw.get().len();
    anyhow::ensure!(bytes <= MAX_RAW, "{bytes} bytes are over the limit of {MAX_RAW}");
    Ok(raw)
}

/// Encodes a message of a hook. One that cannot be sent is logged and refused with `internal`.
pub(crate) fn encode_message(message: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    let raw = to_raw(message).inspect_err(|error| error!(%error, "message not sent"));
    raw.map_err(|_| Refusal::INTERNAL)
}

/// Encodes data that is passed on with a player, a seat or a room. What is longer than this as
/// JSON, or cannot be parsed again, is logged and refused with `internal`.
pub(crate) fn encode_data<T: Serialize + DeserializeOwned>(
    what: &str,
    data: &T,
    max: usize,
) -> Result<Value, Refusal> {
    let encode = || {
        let value = serde_json::to_value(data)?;
        let bytes = value.to_string().len();
        anyhow::ensure!(bytes <= max, "{bytes} bytes are over the limit of {max}");
        T::deserialize(&value)?;
        Ok(value)
    };
    encode().map_err(|error: anyhow::Error| {
        error!(%error, "{what} cannot be passed on");
        Refusal::INTERNAL
    })
}

/// The longest reason or message for people, in bytes.
const MAX_TEXT: usize = 1024;

/// Cuts a text off so that it fits into a frame.
pub(crate) fn truncate(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
