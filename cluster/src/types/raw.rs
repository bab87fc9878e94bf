//! Messages between lobby and room: JSON text that is passed on unparsed.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The largest message between lobby and room; the rest of a frame fits beside it.
const MAX_RAW: usize = 60 * 1024;

/// A message as JSON text.
pub(crate) fn to_raw(value: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    let raw = serde_json::value::to_raw_value(value)?;
    let bytes = raw.get().len();
    anyhow::ensure!(bytes <= MAX_RAW, "{bytes} bytes are over the limit of {MAX_RAW}");
    Ok(raw)
}

/// The longest message for a player, in bytes.
const MAX_TEXT: usize = 1024;

/// The text, cut to its first 1,024 bytes.
pub(crate) fn short(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Parses what [`to_raw`] wrote.
pub(crate) fn from_raw<T: DeserializeOwned>(raw: &RawValue) -> anyhow::Result<T> {
    Ok(serde_json::from_str(raw.get())?)
}
