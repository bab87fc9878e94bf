//! Bytes on the channel, in pieces of any size.

use clap::Parser as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::config::{Settings, Size};
use crate::process::channel::{CHUNK, MAX_FRAME};
use crate::process::{FromRoom, ReservedSeat, RoomSpec, ToRoom, Usage, VERSION, channel};
use crate::testing::property_tests::{RUNTIME, config, mutated};
use crate::types::{AnyPlayer, Exit, LeaveReason, PlayerId, Refusal, RoomId, Route};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_lobby_survives_any_frames_of_a_room(
        bytes in stream(frames_from_room()), pieces in vec(1..20_000_usize, 1..8),
    ) {
        hear::<FromRoom>(&bytes, &pieces)?;
    }

    #[test]
    fn a_room_survives_any_frames_of_the_lobby(
        bytes in stream(frames_to_room()), pieces in vec(1..20_000_usize, 1..8),
    ) {
        hear::<ToRoom>(&bytes, &pieces)?;
    }
}

/// Arbitrary bytes, and frames that are valid, mutated, long or endless.
fn stream(good: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let good = vec(select(good), 0..8).prop_map(|frames| frames.concat().into_bytes());
    let near = MAX_FRAME - 2..MAX_FRAME + 2;
    let long = (near, any::<bool>(), good.clone()).prop_map(|(length, is_json, before)| {
        let text =
            if is_json { format!("\"{}\"", "x".repeat(length - 2)) } else { "[".repeat(length) };
        [before, text.into_bytes(), b"\n\"beat\"\n".to_vec()].concat()
    });
    let endless = (MAX_FRAME..4 * MAX_FRAME, any::<u8>()).prop_map(|(n, byte)| vec![byte; n]);
    prop_oneof![
        8 => mutated(good.clone()),
        4 => good,
        4 => vec(any::<u8>(), 0..300),
        4 => vec(select(b"{}[]\":,\\ntfu0-9e.\n".to_vec()), 0..100),
        1 => long,
        1 => endless,
    ]
}

fn frames_from_room() -> Vec<String> {
    let seat = 7;
    let refusal = crate::refuse("no", "No \"\\ \n.");
    let raw = || RawValue::from_string(r#"{"n":[1,2.5e3,"ä\u0000"]}"#.to_owned()).expect("JSON");
    lines(&[
        FromRoom::Warm,
        FromRoom::Ready,
        FromRoom::Failed(refusal.clone()),
        FromRoom::Heartbeat(Usage { tick_delay_ms: 7, ..Usage::default() }),
        FromRoom::Reserved { join: u64::MAX },
        FromRoom::ReserveRefused { join: 1, refusal },
        FromRoom::Connected { seat },
        FromRoom::Disconnected { seat, grace_ms: 5_000 },
        FromRoom::Left { seat, reason: LeaveReason::Left },
        FromRoom::Transfer { seat, room: RoomId("2".into()) },
        FromRoom::Message(raw()),
        FromRoom::Listed(json!({ "score": [1, 2] })),
        FromRoom::Locked(true),
        FromRoom::Ending(Exit::Crashed("on_tick panicked".into())),
        FromRoom::Ending(Exit::Finished),
        FromRoom::Ending(Exit::Closed),
    ])
}

fn frames_to_room() -> Vec<String> {
    let settings = Settings::try_parse_from(["lobby"]).expect("the defaults");
    let raw = || RawValue::from_string(r#"{"title":"ä"}"#.to_owned()).expect("JSON");
    let profile = json!({ "color": "ä" });
    let player = AnyPlayer { id: PlayerId("p1".into()), name: "Ann".into(), profile };
    let profile = json!(null);
    let options = Some(json!("red"));
    let spec = RoomSpec {
        kind: "arena".into(),
        capacity: 8,
        memory: Size(1 << 30),
        seed: 1,
        host: Some(player.id.clone()),
        code: Some("AB".into()),
    };
    let route = Route {
        room: RoomId("2".into()),
        url: String::new(),
        path: "/p".into(),
        ticket: "t".into(),
    };
    lines(&[
        ToRoom::Setup {
            version: VERSION,
            room: RoomId("1".into()),
            settings: settings.into(),
            lease: None,
        },
        ToRoom::Open { options: raw(), spec },
        ToRoom::Reserve {
            join: 1,
            seats: vec![ReservedSeat { seat: 1, ticket: "t".into(), player, options }],
        },
        ToRoom::Release { seat: 1, reason: LeaveReason::Kicked("out".into()) },
        ToRoom::Transfer { seat: 1, to: Some(route) },
        ToRoom::Profile { seat: 1, profile },
        ToRoom::Refused { seat: 1, refusal: Refusal::ROOM_FULL },
        ToRoom::Message(raw()),
        ToRoom::Drain { remaining_ms: 5, reason: "update".into() },
        ToRoom::Note(raw()),
        ToRoom::Describe,
        ToRoom::Socket,
    ])
}

fn lines(frames: &[impl Serialize]) -> Vec<String> {
    let line = |frame| serde_json::to_string(frame).expect("a frame") + "\n";
    frames.iter().map(line).collect()
}

/// Sends the bytes in these pieces. The other end must receive each frame up to the first invalid
/// line, and buffer no more than one frame.
fn hear<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    pieces: &[usize],
) -> Result<(), TestCaseError> {
    let text = |frame: &T| serde_json::to_string(frame).expect("it was read");
    let (mut expected, mut rest) = (Vec::new(), bytes);
    let mut is_broken = false;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let frame = serde_json::from_slice::<T>(&rest[..end]).ok().filter(|_| end < MAX_FRAME);
        rest = &rest[end + 1..];
        let Some(frame) = frame else {
            is_broken = true;
            break;
        };
        expected.push(text(&frame));
    }
    is_broken |= rest.len() >= MAX_FRAME;
    RUNTIME.block_on(async {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let (_sender, mut receiver) = channel::open(near);
        receiver.sockets = Some(Vec::new());
        let say = async {
            let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
            while let (Some(piece), false) = (pieces.next(), rest.is_empty()) {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                // Nothing is read after the first invalid line.
                if far.write_all(now).await.is_err() {
                    return;
                }
                rest = later;
                tokio::task::yield_now().await;
            }
            let _ = far.shutdown().await;
        };
        let listen = async {
            let mut heard = Vec::new();
            loop {
                let frame = receiver.recv::<T>().await;
                prop_assert!(
                    receiver.buffer.capacity() <= 2 * (MAX_FRAME + CHUNK),
                    "{}",
                    receiver.buffer.capacity()
                );
                match frame {
                    Ok(Some(frame)) => heard.push(text(&frame)),
                    Ok(None) => break prop_assert!(!is_broken, "it passed what is no frame"),
                    Err(error) => break prop_assert!(is_broken, "{error:#}"),
                }
            }
            prop_assert_eq!(heard, expected);
            drop((receiver, _sender));
            Ok(())
        };
        tokio::join!(listen, say).0
    })
}

/// As when a hook passes on a browser's JSON verbatim.
#[test]
fn line_breaks_between_the_tokens_of_a_message_do_not_end_its_frame() {
    RUNTIME.block_on(async {
        let (near, far) = UnixStream::pair().expect("a pair");
        let ((sender, _), (_, mut receiver)) = (channel::open(near), channel::open(far));
        let text = "{\r\n  \"text\": \"a\\nb\",\n\n  \"n\": [1,\n2]\n}";
        let message = RawValue::from_string(text.to_owned()).expect("JSON");
        sender.send(&ToRoom::Message(message)).expect("space");
        let Ok(Some(ToRoom::Message(heard))) = receiver.recv().await else { panic!("no frame") };
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(parse(heard.get()), parse(text));
    });
}
