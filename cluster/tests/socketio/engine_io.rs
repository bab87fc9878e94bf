//! Engine.IO on the wire, in the lobby and in a room: what the protocol's public test suite checks
//! over websockets, and where these servers differ from the reference (`docs/wire.md` lists it).

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::common::raw::{Raw, http, request, status, websocket};
use crate::common::start_game;
use crate::common::wire::places;

const FAST_PINGS: [&str; 4] = ["--ping-interval", "100ms", "--ping-timeout", "10s"];

#[tokio::test]
async fn a_websocket_begins_with_the_handshake() {
    let flags = ["--ping-interval", "7s", "--ping-timeout", "5s", "--max-message", "128k"];
    let cluster = start_game(&flags).await;
    for place in places(&cluster).await {
        let mut ids = HashSet::new();
        for _ in 0..3 {
            let open = place.open().await.text().await;
            let mut open: Value =
                serde_json::from_str(open.strip_prefix('0').expect("type 0")).expect("JSON");
            ids.insert(open["sid"].take().as_str().expect("text").to_owned());
            let expected = json!({
                "sid": null, "upgrades": [], "pingInterval": 7000, "pingTimeout": 5000,
                "maxPayload": 128 * 1024,
            });
            assert_eq!(open, expected, "{}", place.name);
        }
        assert_eq!(ids.len(), 3, "each has an id of its own");
    }
}

/// Polling, upgrades from it, and Engine.IO 3 are among the known differences.
#[tokio::test]
async fn another_version_transport_or_session_is_refused_with_400() {
    let cluster = start_game(&[]).await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for place in places(&cluster).await {
        for query in [
            "",
            "?transport=websocket",
            "?EIO=abc&transport=websocket",
            "?EIO=3&transport=websocket",
            "?EIO=5&transport=websocket",
            "?EIO=4",
            "?EIO=4&transport=abc",
            "?EIO=4&transport=constructor",
            "?EIO=4&transport=__proto__",
            "?EIO=4&transport=polling",
            "?EIO=4&transport=webtransport",
            "?EIO=4&transport=websocket&sid=abc",
        ] {
            let mut raw = Raw::connect(&cluster.url).await;
            raw.send(&request("GET", &format!("{}/{query}", place.path), &upgrade)).await;
            assert_eq!(status(&raw.head().await), 400, "{} {query}", place.name);
        }
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let path = format!("{}/?EIO=4&transport=polling", place.path);
            let (status, _) = http(&cluster.url, method, &path, &[]).await;
            // A room has no other requests than websockets.
            assert!([400, 405, 426].contains(&status), "{} {method}: {status}", place.name);
        }
    }
    cluster.visitor().await;
}

/// The reference refuses the request.
#[tokio::test]
async fn a_websocket_for_an_unknown_session_ends_at_once() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let request = websocket(&place.path, &[]).replace("EIO=4", "EIO=4&sid=AAAAAAAAAAAAAAAA");
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&request).await;
        assert_eq!(status(&raw.head().await), 101, "{}", place.name);
        assert_eq!(raw.rest().await, "", "no frame follows");
    }
}

#[tokio::test]
async fn a_websocket_without_a_slash_and_with_other_parameters_is_accepted_uncompressed() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
        let with_slash = websocket(&place.path, &offer);
        let without = with_slash.replace("/?EIO=4", "?t=Pabc&b64=1&EIO=4");
        for request in [with_slash, without] {
            let mut raw = Raw::connect(&cluster.url).await;
            raw.send(&request).await;
            let head = raw.head().await.to_lowercase();
            assert_eq!(status(&head), 101, "{}", place.name);
            assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
            assert!(!head.contains("sec-websocket-extensions"), "{head}");
            assert!(!head.contains("set-cookie"), "{head}");
        }
    }
}

#[tokio::test]
async fn the_first_ping_comes_at_once() {
    let cluster = start_game(&["--ping-interval", "1h"]).await;
    for place in places(&cluster).await {
        let mut wire = place.open().await;
        assert!(wire.frame().await.is_some_and(|frame| frame.to_string().starts_with('0')));
        assert_eq!(wire.frame().await, Some(Message::text("2")), "{}", place.name);
    }
}

#[tokio::test]
async fn pings_come_again_and_again_and_a_client_that_answers_them_stays() {
    let cluster = start_game(&FAST_PINGS).await;
    for place in places(&cluster).await {
        let mut wire = place.open().await;
        wire.send(&place.connect).await;
        for _ in 0..5 {
            while wire.frame().await.expect("a ping") != Message::text("2") {}
            wire.send("3").await;
        }
        assert!(wire.ask("welcome", Value::Null).await["error"].is_object(), "{}", place.name);
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_disconnected() {
    let cluster = start_game(&["--ping-interval", "100ms", "--ping-timeout", "2s"]).await;
    for place in places(&cluster).await {
        let mut wire = place.open().await;
        wire.send(&place.connect).await;
        while wire.frame().await.is_some() {}
    }
}

#[tokio::test]
async fn a_close_packet_ends_the_connection() {
    let cluster = start_game(&[]).await;
    for mut place in places(&cluster).await {
        let mut wire = place.open().await;
        wire.send("1").await;
        wire.rest().await;
        let mut wire = place.connected().await;
        wire.send("1").await;
        wire.rest().await;
        place.again().await;
        place.connected().await;
    }
}

#[tokio::test]
async fn an_invalid_packet_ends_the_connection() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        for packet in ["abc", "", "0", "5", "6", "7", "b", "bAQID", "2probe", "3probe", "\u{1e}"] {
            let mut wire = place.open().await;
            wire.send(packet).await;
            wire.rest().await;
        }
        let mut wire = place.open().await;
        wire.send_message(Message::binary(vec![1, 2, 3, 4])).await;
        wire.rest().await;
    }
    assert!(!cluster.text().contains("panicked"));
}

#[tokio::test]
async fn websocket_pings_and_closes_are_answered_in_kind() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        wire.send_message(Message::Ping(vec![1, 2, 3].into())).await;
        while wire.frame().await.expect("a pong") != Message::Pong(vec![1, 2, 3].into()) {}
        let close = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
        wire.send_message(Message::Close(Some(close.clone()))).await;
        assert_eq!(wire.rest().await, [Message::Close(Some(close))], "{}", place.name);
    }
}

/// The library has no setting for it. The reference sends 1000 or 1005.
#[tokio::test]
async fn close_frames_of_the_server_carry_no_code() {
    let cluster = start_game(&[]).await;
    let [lobby, _] = places(&cluster).await;
    let mut closes = vec![];
    // Some connections end without one.
    while closes.len() < 10 {
        let mut wire = lobby.connected().await;
        wire.send("4abc").await;
        closes.extend(wire.rest().await.into_iter().filter(Message::is_close));
    }
    assert_eq!(closes, [const { Message::Close(None) }; 10]);
}

#[tokio::test]
async fn text_of_any_language_arrives_in_both_directions() {
    let cluster = start_game(&[]).await;
    let [lobby, _] = places(&cluster).await;
    for name in ["李雷", "Žofie ⛵", "🦀\u{fe0f}"] {
        let answer = lobby.connected().await.ask("register", json!({ "name": name })).await;
        assert_eq!(answer["ok"]["you"]["name"], name);
    }
}
