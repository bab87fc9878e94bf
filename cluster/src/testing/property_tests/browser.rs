//! Packets from a client: random events.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::socketio::events::RESERVED;
use crate::socketio::{RawEvent, events};
use crate::testing::property_tests::{config, mutated_text};
use crate::types::RoomId;

/// Requests to a lobby.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its shape is looked at")]
enum Ask {
    Play,
    Create { title: String },
    Join { room: RoomId },
}

/// Requests to a room.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its shape is looked at")]
enum Say {
    Steer { x: f32, y: f32 },
    Text(String),
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_packet_is_a_request_or_a_refusal(text in packet()) {
        let RawEvent { name, data, .. } = RawEvent::parse(&text, vec![], true);
        match data {
            Ok(data) => {
                is_request_or_refusal::<Ask>(&name, data.as_deref())?;
                is_request_or_refusal::<Say>(&name, data.as_deref())?;
            }
            Err(refusal) => {
                let parts = serde_json::from_str::<Vec<Value>>(&text).unwrap_or_default();
                let is_event = parts.first().is_some_and(Value::is_string) && parts.len() <= 2;
                prop_assert!(!is_event, "{parts:?}");
                prop_assert_eq!(refusal.code(), "bad_message");
            }
        }
    }
}

fn packet() -> impl Strategy<Value = String> {
    let ours = [events::names::<Ask>(), events::names::<Say>()].into_iter().flatten().flatten();
    let names: Vec<String> = ours.chain(RESERVED).map(|name| (*name).to_owned()).collect();
    let name = prop_oneof![6 => select(names).prop_map(Value::from), 1 => json_value()];
    let good = (name, vec(json_value(), 0..3))
        .prop_map(|(name, data)| Value::Array([vec![name], data].concat()).to_string())
        .boxed();
    let deep = (select(vec!["[", "{\"a\":", "[{\"\":"]), 1..3000_usize)
        .prop_map(|(open, depth)| format!(r#"["play",{}"#, open.repeat(depth)));
    let changed = mutated_text(good.clone());
    prop_oneof![4 => good, 4 => changed, 2 => "\\PC{0,60}", 1 => deep]
}

fn json_value() -> impl Strategy<Value = Value> {
    let keys = "room|title|x|y|text|name|id|[a-z]{1,3}|\\PC{0,3}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let object = vec((keys, inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn is_request_or_refusal<T: DeserializeOwned>(
    name: &str,
    data: Option<&RawValue>,
) -> Result<(), TestCaseError> {
    let known = events::names::<T>().expect("an enum").contains(&name);
    match events::decode::<T>(name, data) {
        Ok(_) => prop_assert!(known, "{name}"),
        Err(refusal) => {
            prop_assert_eq!(refusal.code(), if known { "bad_message" } else { "unknown_event" });
            prop_assert!(refusal.to_string().len() < 1000, "{refusal}");
        }
    }
    Ok(())
}
