//! Messages between lobby and room, as JSON text that is passed on without being parsed.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The largest message between lobby and room; the rest of a frame fits beside it.
const MAX_RAW: usize = 60 * 1024;

/// What one of them says to the other, as JSON text that is passed on without looking inside.
pub(crate) fn to_raw(value: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    let raw = serde_json::value::to_raw_value(value)?;
    let bytes = raw.get().len();
    anyhow::ensure!(bytes <= MAX_RAW, "{bytes} bytes are over the limit of {MAX_RAW}");
    Ok(raw)
}

/// Bytes of a reason or a message for a person.
const MAX_TEXT: usize = 1024;

/// A text that fits into a frame: the beginning of a longer one.
pub(crate) fn short(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// What [`to_raw`] wrote, as a value again.
pub(crate) fn from_raw<T: DeserializeOwned>(raw: &RawValue) -> anyhow::Result<T> {
    Ok(serde_json::from_str(raw.get())?)
}
