//! Requests and answers.

use cluster::testing::Client;
use serde_json::{Value, json};

use crate::common::start_game;

#[tokio::test]
async fn an_unregistered_client_is_refused() {
    let cluster = start_game(&[]).await;
    let mut visitor = cluster.visitor().await;
    for (event, data) in [("list", json!({})), ("join", json!({ "room": "1" })), ("no", json!({}))]
    {
        assert_eq!(visitor.ask(event, data).await, Err("not_registered".into()), "{event}");
    }
    visitor.emit("list", json!({}));
    let refused =
        json!({ "event": "list", "code": "not_registered", "message": "Register first." });
    assert_eq!(visitor.event("refused").await, refused);
}

#[tokio::test]
async fn malformed_events_are_refused_with_and_without_an_ack() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    cannot_understand(ann.lobby(), "join").await;
    cannot_understand(&mut ann.enter("create", json!({})).await, "echo").await;
}

/// Sends an event whose data is missing or malformed; lobby and rooms answer alike.
async fn cannot_understand(client: &mut Client, event: &str) {
    for (event, data, code) in [
        ("fly", json!({}), "unknown_event"),
        (event, json!({}), "bad_message"),
        (event, json!(null), "bad_message"),
        (event, json!({ "n": "one", "room": 1 }), "bad_message"),
        (event, json!([]), "bad_message"),
        (event, json!("text"), "bad_message"),
    ] {
        assert_eq!(client.ask(event, data.clone()).await, Err(code.into()), "{event} {data}");
        client.emit(event, data);
        let refused = client.event("refused").await;
        assert_eq!((&refused["event"], &refused["code"]), (&json!(event), &json!(code)));
        assert!(refused["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[tokio::test]
async fn no_data_and_null_and_an_empty_object_are_the_same() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    for list in [json!(["list"]), json!(["list", null]), json!(["list", {}])] {
        assert_eq!(ann.lobby().ask_raw(list.clone()).await, json!({ "ok": [] }), "{list}");
    }
    let mut room = ann.enter("create", json!({})).await;
    for logged in [json!(["logged"]), json!(["logged", null]), json!(["logged", {}])] {
        assert_eq!(room.ask_raw(logged.clone()).await, json!({ "ok": [] }), "{logged}");
    }
}

#[tokio::test]
async fn an_answer_can_be_immediate_or_deferred() {
    let cluster = start_game(&[]).await;
    let mut room = cluster.player("Ann").await.enter("create", json!({})).await;
    assert_eq!(room.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    assert_eq!(room.event("echoed").await, json!({ "n": 7 }));
    assert_eq!(room.ask("log", json!({ "n": 7 })).await, Ok(json!({})));
    assert_eq!(room.ask("later", json!({ "n": 7 })).await, Ok(json!(7)));
}

#[tokio::test]
async fn timers_and_computations_call_back_and_panics_are_reported() {
    let cluster = start_game(&[]).await;
    let mut room = cluster.player("Ann").await.enter("create", json!({})).await;
    room.ask("after", json!({ "n": 1, "ms": 20 })).await.expect("a timer");
    assert_eq!(room.event("echoed").await, json!({ "n": 1 }));
    for (n, square) in [(7, json!(49)), (0, Value::Null)] {
        room.ask("compute", json!({ "n": n, "ms": 0 })).await.expect("a computation");
        assert_eq!(room.event("computed").await, json!({ "square": square }));
    }
}

#[tokio::test]
async fn a_panic_in_a_lobby_hook_harms_nobody() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    assert_eq!(ann.ask("panic", json!({})).await, Err("internal".into()));
    assert_eq!(ann.ask("list", json!({})).await, Ok(json!([])));
}

#[tokio::test]
async fn invalid_packets_end_at_most_their_own_connection() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let garbage =
        ["42nonsense", "42[", "42[]", "42[5]", "42{}", "9", "451-[\"list\"]", "40", "\u{0}"];
    for packet in garbage {
        let visitor = cluster.visitor().await;
        visitor.send(packet.to_owned());
    }
    let mut room = ann.enter("create", json!({})).await;
    let id = room.event("joined").await["room"].take();
    for packet in garbage {
        let mut guest = cluster.player("Guest").await;
        guest.enter("join", json!({ "room": id })).await.send(packet.to_owned());
        assert_eq!(room.event("player_joined").await["player"], guest.you);
        room.event("player_left").await;
    }
    assert_eq!(room.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert!(bob.ask("list", json!({})).await.is_ok());
}

#[tokio::test]
async fn watchers_of_the_room_list_are_told_of_changes() {
    let cluster = start_game(&["--stop-timeout", "300ms"]).await;
    let (mut ann, mut visitor) = (cluster.player("Ann").await, cluster.visitor().await);
    visitor.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    assert_eq!(visitor.event("rooms").await, json!([]));
    let room = ann.ask("open", json!({ "capacity": 2 })).await.expect("a room");
    let shown = |rooms: &Value| (rooms[0]["room"].clone(), rooms[0]["capacity"].clone());
    while shown(&visitor.event("rooms").await) != (room.clone(), json!(2)) {}
    ann.ask("join", json!({ "room": room })).await.expect("a seat");
    while visitor.event("rooms").await[0]["players"] != 1 {}
    ann.ask("lock", json!({ "room": room, "locked": true })).await.expect("its room");
    while visitor.event("rooms").await[0]["locked"] != true {}
    ann.ask("close", json!({ "room": room })).await.expect("its room");
    while visitor.event("rooms").await != json!([]) {}

    visitor.ask("unwatch_rooms", json!({})).await.expect("no more");
    let mut other = cluster.visitor().await;
    other.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    ann.ask("open", json!({})).await.expect("a room");
    while other.event("rooms").await == json!([]) {}
    // The watcher was told; by the next answer the other client would have been, too.
    visitor.ask("unwatch_rooms", json!({})).await.expect("still none");
    assert!(!visitor.unheard().contains(&"rooms"));
}

#[tokio::test]
async fn a_change_undone_right_after_a_client_starts_to_watch_reaches_it() {
    let cluster = start_game(&[]).await;
    let (mut boss, mut first) = (cluster.player("Boss").await, cluster.visitor().await);
    let room = boss.ask("open", json!({})).await.expect("a room");
    let lock = |locked: bool| json!({ "room": room, "locked": locked });
    first.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    for _ in 0..5 {
        let mut second = cluster.visitor().await;
        boss.ask("lock", lock(true)).await.expect("its room");
        second.ask("watch_rooms", json!({})).await.expect("anyone may watch");
        boss.ask("lock", lock(false)).await.expect("its room");
        while second.event("rooms").await[0]["locked"] != false {}
    }
}
