//! Socket.IO on the wire, in the lobby and in a room: what the protocol's public test suite checks
//! over websockets, and where these servers differ from the reference (`docs/wire.md` lists it).

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::common::start_game;
use crate::common::wire::{Place, Wire, places};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

#[tokio::test]
async fn a_client_connects_to_the_main_namespace() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.open().await;
        let open: Value = serde_json::from_str(&wire.text().await[1..]).expect("JSON");
        wire.send(&place.connect).await;
        let connected = wire.text().await;
        let connected = connected.strip_prefix("40").expect("it is connected");
        // Connection state recovery would add `pid`.
        assert_eq!(connected, json!({ "sid": open["sid"] }).to_string(), "{}", place.name);
        let first = format!(r#"42["{}",{{"#, place.first);
        assert!(wire.text().await.starts_with(&first), "{}", place.name);
    }
}

#[tokio::test]
async fn the_lobby_connects_a_client_with_any_valid_payload() {
    let cluster = start_game(&[]).await;
    let [lobby, _] = places(&cluster).await;
    for auth in ["{}", "null", r#"{"token":null}"#, r#"{"token":"a.b.c","more":[1]}"#, "[]", "7"] {
        let mut wire = lobby.open().await;
        wire.send(&format!("40{auth}")).await;
        wire.until(r#"40{"sid":""#).await;
        wire.until(r#"42["welcome""#).await;
    }
}

/// It would make a player a stranger, or waste a ticket.
#[tokio::test]
async fn a_payload_that_is_no_json_is_not_dropped_silently() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        for auth in ["{", "abc", r#"{"token":"a.b.c""#] {
            let mut wire = place.open().await;
            wire.send(&format!("40{auth}")).await;
            wire.until("0").await;
            assert_eq!(wire.text().await, r#"44{"message":"bad_message"}"#, "{}", place.name);
        }
        place.connected().await;
    }
}

#[tokio::test]
async fn another_namespace_is_refused_and_the_main_one_can_still_be_used() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.open().await;
        wire.until("0").await;
        for (connect, namespace) in [("40/random", "/random"), (r#"40/custom,{"a":1}"#, "/custom")]
        {
            wire.send(connect).await;
            let refused = format!(r#"44{namespace},{{"message":"Invalid namespace"}}"#);
            assert_eq!(wire.text().await, refused, "{}", place.name);
        }
        wire.send(&place.connect).await;
        wire.until(&format!(r#"42["{}""#, place.first)).await;
    }
}

#[tokio::test]
async fn a_websocket_on_which_nobody_connects_is_closed() {
    let cluster = start_game(&["--connect-timeout", "2s"]).await;
    for place in places(&cluster).await {
        let (mut silent, mut wrong) = (place.open().await, place.open().await);
        wrong.send("40/random").await;
        silent.rest().await;
        wrong.rest().await;
    }
}

#[tokio::test]
async fn an_event_before_the_connect_ends_the_connection() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        for packet in [r#"42["list"]"#, r#"421["echo",{"n":1}]"#, "4abc", "41", "43", "4"] {
            let mut wire = place.open().await;
            wire.send(packet).await;
            let frames = wire.rest().await;
            assert!(!frames.iter().any(|frame| frame.to_string().starts_with("42")), "{packet}");
        }
        place.connected().await;
    }
}

/// The reference closes the connection.
#[tokio::test]
async fn a_second_connect_is_ignored() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        wire.send(&place.connect).await;
        wire.send("40{}").await;
        refused(&mut wire, "welcome").await;
    }
}

/// Sends an event, and checks that nothing but its refusal comes: the connection works.
async fn refused(wire: &mut Wire, event: &str) {
    wire.send(&format!(r#"42456["{event}"]"#)).await;
    loop {
        let text = wire.text().await;
        match text.starts_with("42") {
            // Such as the snapshot of a room.
            true => continue,
            false => return assert!(text.starts_with(r#"43456[{"error":"#), "{text}"),
        }
    }
}

#[tokio::test]
async fn after_a_disconnect_the_websocket_is_silent_but_for_pings() {
    let cluster = start_game(&["--ping-interval", "100ms"]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        refused(&mut wire, "welcome").await;
        wire.send("41").await;
        for _ in 0..3 {
            assert_eq!(wire.frame().await, Some(Message::text("2")), "{}", place.name);
            wire.send("3").await;
        }
    }
}

#[tokio::test]
async fn an_ack_has_the_id_that_the_client_chose() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        for id in ["0", "1", "456", "9007199254740991", "9223372036854775807"] {
            wire.send(&format!(r#"42{id}["joined",{{}}]"#)).await;
            let answer = wire.until("43").await;
            assert!(answer.starts_with(&format!(r#"43{id}[{{"error":{{"#)), "{answer}");
        }
    }
}

/// The reference passes several arguments on.
#[tokio::test]
async fn an_event_has_one_argument_and_so_has_its_answer() {
    let cluster = start_game(&[]).await;
    let [_, room] = places(&cluster).await;
    let mut wire = room.connected().await;
    wire.send(r#"421["echo",{"n":7}]"#).await;
    assert_eq!(wire.until("43").await, r#"431[{"ok":7}]"#);
    wire.send(r#"422["echo",1,"2",{"3":[true]}]"#).await;
    assert!(wire.until("432").await.contains("bad_message"));
}

/// The reference acknowledges bytes with bytes, if its user wants it.
#[tokio::test]
async fn bytes_are_acknowledged_with_json_and_broadcast_as_an_attachment() {
    let cluster = start_game(&[]).await;
    let [_, room] = places(&cluster).await;
    let mut wire = room.connected().await;
    wire.send(&format!(r#"451-789["binary",{PLACEHOLDER}]"#)).await;
    wire.send_message(Message::binary(vec![1, 2, 3])).await;
    let mut frames = vec![];
    while frames.len() < 3 {
        match wire.frame().await.expect("an answer") {
            Message::Text(text) if text == "2" || text.starts_with("42") => {}
            frame => frames.push(frame),
        }
    }
    frames.sort_by_key(|frame| !frame.to_string().starts_with("43"));
    let announced = format!(r#"451-["binary",{PLACEHOLDER}]"#);
    let expected = [Message::text(r#"43789[{"ok":3}]"#), Message::text(announced)];
    assert_eq!(frames[..2], expected);
    assert_eq!(frames[2], Message::binary(vec![1, 2, 3]));
}

#[tokio::test]
async fn acks_that_nobody_asked_for_are_ignored() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        wire.send(r#"431[{"ok":{}}]"#).await;
        wire.send(&format!("461-1[{PLACEHOLDER}]")).await;
        wire.send_message(Message::binary(vec![1])).await;
        wire.send(r#"42/admin,["list"]"#).await;
        refused(&mut wire, "welcome").await;
    }
}

#[tokio::test]
async fn an_invalid_packet_ends_the_connection() {
    let cluster = start_game(&[]).await;
    for mut place in places(&cluster).await {
        for packet in [
            "4abc",
            "4",
            "47",
            "42",
            "42{}",
            "42[]",
            r#"42"list""#,
            r#"42["list""#,
            r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
            r#"42-1["list"]"#,
            r#"44{"message":"no"}"#,
            r#"45["binary"]"#,
            "43[1]",
            "46[1]",
        ] {
            ends(&mut place, Message::text(packet)).await;
        }
        ends(&mut place, Message::binary(vec![1, 2, 3])).await;
    }
}

/// The reference accepts numbers as names, and escapes in names.
#[tokio::test]
async fn a_name_that_is_not_plain_text_ends_the_connection() {
    let cluster = start_game(&[]).await;
    for mut place in places(&cluster).await {
        for name in ["5", "null", r#"["list"]"#, r#""l\u0069st""#, r#""a\"b""#, r#""\u0000""#] {
            ends(&mut place, Message::text(format!("42[{name}]"))).await;
        }
    }
}

async fn ends(place: &mut Place, packet: Message) {
    let mut wire = place.connected().await;
    wire.send_message(packet).await;
    wire.rest().await;
    place.again().await;
}

/// The reference closes the connection.
#[tokio::test]
async fn a_reserved_name_is_refused() {
    let cluster = start_game(&[]).await;
    for place in places(&cluster).await {
        let mut wire = place.connected().await;
        for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener"] {
            refused(&mut wire, name).await;
        }
    }
}
