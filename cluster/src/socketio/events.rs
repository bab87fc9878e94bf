//! Plain serde enums as Socket.IO events: the variant's name in snake_case is the event's name, the
//! variant's content is its data. The data of a unit variant may be absent, `null` or `{}`. For any
//! other variant absent data counts as `null`, and `null` as `{}` if the variant needs an object.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, StrDeserializer};
use serde::{Serialize, de};
use serde_json::value::{RawValue, to_raw_value};

use tracing::error;

use crate::Bytes;
use crate::types::Refusal;

/// Events of Socket.IO and of the cluster. An enum of the user's must not have such a variant.
pub(crate) const RESERVED: &[&str] = &[
    "announcements",
    BINARY,
    "closing",
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "joined",
    "player_changed",
    "player_disconnected",
    "player_joined",
    "player_left",
    "player_reconnected",
    "players",
    "players_changed",
    "profile_changed",
    "refused",
    "reroute",
    "room_state",
    "rooms",
    "rooms_changed",
    "welcome",
];

/// The request by which a player leaves a room: in a room, and from the lobby.
pub(crate) const LEAVE_ROOM: &str = "leave_room";

/// The event that carries bytes.
pub(crate) const BINARY: &str = "binary";

/// An event, serialized once and sent to any number of connections.
#[derive(Debug)]
pub(crate) enum Encoded {
    Json { name: String, data: Box<RawValue> },
    Binary(Bytes),
}

impl Encoded {
    /// One of the cluster's own events.
    pub fn own(name: &str, data: &impl Serialize) -> Encoded {
        let data = to_raw_value(data).expect("the cluster's events serialize");
        Encoded::Json { name: name.to_owned(), data }
    }

    /// The name and the data; `None` for bytes.
    pub fn as_json(&self) -> Option<(&str, &str)> {
        let Encoded::Json { name, data } = self else { return None };
        Some((name, data.get()))
    }
}

/// Serializes a user's event. One that cannot be serialized is logged and not sent.
pub(crate) fn encode(event: &impl Serialize) -> Option<Encoded> {
    try_encode(event).inspect_err(|error| error!(%error, "event not sent")).ok()
}

/// Serializes an enum's variant as an event. serde_json writes it as `"name"` or `{"name":data}`,
/// without spaces or escapes in the name: splitting that text avoids a second pass over the data.
fn try_encode(event: &impl Serialize) -> anyhow::Result<Encoded> {
    let text = serde_json::to_string(event).context("cannot serialize an event as JSON")?;
    let (name, data) = if let Some(rest) = text.strip_prefix("{\"") {
        let (name, data) = rest.split_once("\":").context("an event must be an enum's variant")?;
        (name, &data[..data.len() - 1])
    } else if let Some(name) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        (name, "{}")
    } else {
        bail!("an event must be an enum's variant, and this is {text}");
    };
    ensure!(!RESERVED.contains(&name), "the cluster itself uses the event name '{name}'");
    Ok(Encoded::Json { name: name.to_owned(), data: RawValue::from_string(data.to_owned())? })
}

/// Reads an event as a variant of `T`. Refuses with `unknown_event` or `bad_message`.
pub(crate) fn decode<T: DeserializeOwned>(
    name: &str,
    data: Option<&RawValue>,
) -> Result<T, Refusal> {
    // As a bare string, serde accepts a unit variant and no other.
    if no_data(data).is_ok()
        && let Ok(unit) = T::deserialize(StrDeserializer::<serde_json::Error>::new(name))
    {
        return Ok(unit);
    }
    let data = data.unwrap_or(RawValue::NULL);
    let as_map = |data: &RawValue| {
        T::deserialize(MapAccessDeserializer::new(MapDeserializer::new([(name, data)].into_iter())))
    };
    // `null` comes before `{}`: to an `Option` and a `Value` it has a meaning.
    let mut decoded = as_map(data);
    if data.get() == "null" && decoded.is_err() {
        decoded = serde_json::from_str("{}").and_then(as_map);
    }
    decoded.map_err(|error| {
        if names::<T>().unwrap_or_default().contains(&name) {
            Refusal::bad_message(error)
        } else {
            Refusal::unknown_event(name)
        }
    })
}

/// Refuses all data but `null` and `{}`, which are the same as none.
pub(crate) fn no_data(data: Option<&RawValue>) -> Result<(), Refusal> {
    let text = data.map_or("null", RawValue::get);
    let is_empty_object = text.trim_matches(['{', '}', ' ', '\t', '\r', '\n']).is_empty();
    let is_none = text == "null" || is_empty_object;
    is_none.then_some(()).ok_or_else(|| Refusal::bad_message("this request has no data"))
}

/// The names of all variants of `T`, from serde's error for a variant that does not exist. `None`
/// if `T` is not an enum.
pub(crate) fn names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    T::deserialize(StrDeserializer::<VariantNames>::new("")).err()?.0
}

/// Refuses an enum with a variant whose name is reserved or in `taken`, and a type that is not an
/// enum. An enum without variants is fine.
pub(crate) fn check_names<T: DeserializeOwned>(taken: &[&str]) -> anyhow::Result<()> {
    let kind = std::any::type_name::<T>();
    let why = || format!("{kind} must be an enum with a variant for each event");
    let names = names::<T>().with_context(why)?;
    match names.iter().find(|name| RESERVED.contains(name) || taken.contains(name)) {
        Some(name) => bail!("{kind}: the cluster itself uses the event name '{name}'"),
        None => Ok(()),
    }
}

/// A deserialization error that keeps the names of an enum's variants.
#[derive(Debug, thiserror::Error)]
#[error("not a variant")]
struct VariantNames(Option<&'static [&'static str]>);

impl de::Error for VariantNames {
    fn custom<T: fmt::Display>(_: T) -> Self {
        VariantNames(None)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        VariantNames(Some(expected))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Request {
        Play,
        Steer { x: i32 },
        Chat(String),
        Options {},
        Pick(Option<u8>),
        Any(serde_json::Value),
        Form(Form),
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Form {
        size: u8,
    }

    fn decode_text(name: &str, data: Option<&str>) -> Result<Request, Refusal> {
        let raw = data.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        decode(name, raw.as_deref())
    }

    #[test]
    fn no_data_and_null_and_an_empty_object_are_the_same() {
        for data in [None, Some("null"), Some("{}")] {
            assert_eq!(decode_text("play", data), Ok(Request::Play));
            assert_eq!(decode_text("options", data), Ok(Request::Options {}));
            assert_eq!(decode_text("form", data), Ok(Request::Form(Form::default())));
        }
    }

    #[test]
    fn a_null_is_not_lost_where_it_says_something() {
        for data in [None, Some("null")] {
            assert_eq!(decode_text("pick", data), Ok(Request::Pick(None)));
            assert_eq!(decode_text("any", data), Ok(Request::Any(serde_json::Value::Null)));
            assert!(decode_text("chat", data).is_err());
            let raw = data.map(|text| RawValue::from_string(text.to_owned()).unwrap());
            let raw = decode::<Raw>("any", raw.as_deref()).map(|Raw::Any(raw)| raw.to_string());
            assert_eq!(raw, Ok("null".to_owned()));
        }
        assert_eq!(decode_text("pick", Some("3")), Ok(Request::Pick(Some(3))));
        assert!(decode_text("pick", Some("{}")).is_err());
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Raw {
        Any(Box<RawValue>),
    }

    #[test]
    fn data_becomes_the_variants_fields() {
        assert_eq!(decode_text("steer", Some(r#"{"x":3}"#)), Ok(Request::Steer { x: 3 }));
        assert_eq!(decode_text("chat", Some(r#""hi""#)), Ok(Request::Chat("hi".into())));
    }

    #[test]
    fn what_does_not_parse_is_refused_with_a_code() {
        let code = |name, data| decode_text(name, data).unwrap_err().code().to_owned();
        assert_eq!(code("fly", None), "unknown_event");
        assert_eq!(code("steer", None), "bad_message");
        assert_eq!(code("steer", Some(r#"{"x":"three"}"#)), "bad_message");
        assert_eq!(code("play", Some("7")), "bad_message");
    }

    #[test]
    fn an_event_is_written_as_name_and_data() {
        let text = |event: &Request| match try_encode(event).unwrap() {
            Encoded::Json { name, data } => format!("{name} {data}"),
            Encoded::Binary(_) => unreachable!("an enum is no bytes"),
        };
        assert_eq!(text(&Request::Play), "play {}");
        assert_eq!(text(&Request::Steer { x: 3 }), r#"steer {"x":3}"#);
        assert_eq!(text(&Request::Chat("a\":\"b".into())), r#"chat "a\":\"b""#);
    }

    #[test]
    fn reserved_names_and_plain_types_are_refused() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Bad {
            #[allow(dead_code, reason = "only its name is read")]
            Welcome,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Leave {
            #[allow(dead_code, reason = "only its name is read")]
            LeaveRoom,
        }
        #[derive(Debug, Deserialize)]
        enum Nothing {}
        assert!(check_names::<Request>(&[]).is_ok());
        assert!(check_names::<Nothing>(&[]).is_ok());
        assert_eq!(decode::<Nothing>("play", None).unwrap_err().code(), "unknown_event");
        assert!(check_names::<Bad>(&[]).unwrap_err().to_string().contains("'welcome'"));
        let error = check_names::<Leave>(&["x", LEAVE_ROOM]).unwrap_err().to_string();
        assert!(error.contains("'leave_room'"), "{error}");
        assert!(check_names::<String>(&[]).is_err());
    }
}
