//! Plain serde enums as Socket.IO events: the variant, in snake_case, is the event's name, and what
//! it holds is the event's data. No data, `null` and `{}` are the same to a variant that needs none, and no data
//! and `null` are the same to all.

use anyhow::{Context as _, bail, ensure};
use serde::{
    Deserializer, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, VariantAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use crate::{Bytes, types::Refusal};

/// Events of Socket.IO and of the cluster: no enum of a user's may have a variant of such a name.
pub(crate) const RESERVED: &[&str] = &[
    BINARY,
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "joined",
    "player_dropped",
    "player_joined",
    "player_left",
    "player_returned",
    "refused",
    "reroute",
    "rooms",
    "welcome",
];

/// Requests that the lobby answers itself, reserved in its requests alone.
pub(crate) const LOBBY_REQUESTS: &[&str] =
    &["join", "leave_room", "logout", "play", "register", "unwatch_rooms", "watch_rooms"];

/// The event that carries bytes.
pub(crate) const BINARY: &str = "binary";

/// One event, written once and sent to any number of connections.
#[derive(Debug)]
pub(crate) enum Encoded {
    Json { name: String, data: Box<RawValue> },
    Binary(Bytes),
}

/// Writes an enum's variant as an event. serde_json writes it as `"name"` or `{"name":data}`, without spaces
/// or escapes in the name: taking that text apart avoids a second pass over the data.
pub(crate) fn encode(event: &impl Serialize) -> anyhow::Result<Encoded> {
    let text = serde_json::to_string(event).context("an event cannot be written as JSON")?;
    let (name, data) = if let Some(rest) = text.strip_prefix("{\"") {
        let (name, data) = rest.split_once("\":").context("an event must be an enum's variant")?;
        (name, &data[..data.len() - 1])
    } else if let Some(name) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        (name, "{}")
    } else {
        bail!("an event must be an enum's variant, and this is {text}");
    };
    ensure!(!RESERVED.contains(&name), "the event name '{name}' is taken by the cluster");
    Ok(Encoded::Json { name: name.to_owned(), data: RawValue::from_string(data.to_owned())? })
}

/// Reads an event as a variant of `T`. Refuses with `unknown_event` or `bad_message`.
pub(crate) fn decode<T: DeserializeOwned>(
    name: &str,
    data: Option<&RawValue>,
) -> Result<T, Refusal> {
    let data = data.map_or("null", RawValue::get);
    T::deserialize(Event { name, data }).map_err(|error| {
        if names::<T>().unwrap_or_default().contains(&name) {
            Refusal::bad_message(error)
        } else {
            Refusal::unknown_event(name)
        }
    })
}

/// The names of all variants of `T`; `None` if it is no enum.
pub(crate) fn names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut names = None;
    let _ = T::deserialize(Names(&mut names));
    names
}

/// Refuses an enum that uses a reserved name, or one of `taken`, and what is no enum. It may be empty.
pub(crate) fn check_names<T: DeserializeOwned>(taken: &[&str]) -> anyhow::Result<()> {
    let kind = std::any::type_name::<T>();
    let names = names::<T>();
    let names =
        names.with_context(|| format!("{kind} must be an enum with a variant for each event"))?;
    match names.iter().find(|name| RESERVED.contains(name) || taken.contains(name)) {
        Some(name) => bail!("{kind}: the event name '{name}' is taken by the cluster"),
        None => Ok(()),
    }
}

struct Event<'a> {
    name: &'a str,
    data: &'a str,
}

impl<'de> Deserializer<'de> for Event<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> de::EnumAccess<'de> for Event<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Self::Error> {
        let name: de::value::StrDeserializer<'_, Self::Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Event<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        match serde_json::from_str::<Option<serde_json::Map<String, serde_json::Value>>>(self.data)
        {
            Ok(map) if map.as_ref().is_none_or(|map| map.is_empty()) => Ok(()),
            _ => Err(de::Error::custom("this event carries no data")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Self::Error> {
        if self.data == "null" {
            return seed.deserialize(NoData);
        }
        let mut json = serde_json::Deserializer::from_str(self.data);
        let value = seed.deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.data).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.or_empty()).deserialize_map(visitor)
    }
}

impl<'a> Event<'a> {
    /// For what has fields: no data is an object without any.
    fn or_empty(&self) -> &'a str {
        if self.data == "null" { "{}" } else { self.data }
    }
}

/// No data, or `null`: an object without fields to what has fields, and `null` to all else, so that an `Option`
/// or a `Value` is not mistaken for something.
struct NoData;

impl<'de> Deserializer<'de> for NoData {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str("null").deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        // A `RawValue` is one by name only: serde_json knows it.
        if name.starts_with('$') {
            return serde_json::Deserializer::from_str("null")
                .deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str("{}").deserialize_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct enum identifier ignored_any
    }
}

/// Asks a type which variants it has, and reads nothing.
struct Names<'a>(&'a mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = Some(variants);
        Err(de::Error::custom("only the names were asked for"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
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
        let text = |event: &Request| match encode(event).unwrap() {
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
        enum Nothing {}
        assert!(check_names::<Request>(&[]).is_ok());
        assert!(check_names::<Nothing>(&[]).is_ok());
        assert_eq!(decode::<Nothing>("play", None).unwrap_err().code(), "unknown_event");
        assert!(check_names::<Bad>(&[]).unwrap_err().to_string().contains("'welcome'"));
        assert!(check_names::<String>(&[]).is_err());
    }
}
