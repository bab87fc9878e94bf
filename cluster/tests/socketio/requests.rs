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

/// Refused rather than dropped: a client that sends more believes that it was read.
#[tokio::test]
async fn further_arguments_of_an_event_are_not_dropped_silently() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    let token = ann.token.clone();
    let join = json!({ "room": room });
    for event in [
        json!(["join", join, "x"]),
        json!(["join", join, null]),
        json!(["play", {}, {}]),
        json!(["leave_room", null, 1]),
        json!(["watch_rooms", {}, 1]),
        json!(["unwatch_rooms", {}, 1]),
        json!(["register", { "name": "Ann" }, 1]),
        json!(["logout", { "token": token }, 1]),
        json!(["list", {}, 1]),
    ] {
        refuses(ann.lobby(), event).await;
    }
    assert!(!ann.lobby().unheard().contains(&"reroute"), "none has had an effect");
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    let mut client = ann.enter("join", join).await;
    for event in [json!(["echo", { "n": 1 }, 2]), json!(["leave_room", null, null])] {
        refuses(&mut client, event).await;
    }
    client.send(r#"42["echo",{"n":1},2,3]"#.to_owned());
    let refused = client.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!("echo"), &json!("bad_message")));
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

/// The same for fields of the cluster's own requests.
#[tokio::test]
async fn what_the_clusters_own_requests_do_not_know_is_not_dropped_silently() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    for event in [
        json!(["join", { "room": room, "code": "AAAAAA" }]),
        json!(["join", { "room": room, "seat": 1 }]),
        json!(["join", { "room": 1 }]),
        json!(["join", 1]),
        json!(["join", room]),
        json!(["play", { "kin": "game" }]),
        json!(["leave_room", { "room": room }]),
        json!(["leave_room", "1"]),
        json!(["watch_rooms", { "kind": "game" }]),
        json!(["unwatch_rooms", 7]),
        json!(["logout", { "token": "a.b.c", "all": true }]),
    ] {
        refuses(ann.lobby(), event).await;
    }
    for twice in [r#"{"room":"1","room":"1"}"#, r#"{"room":"1","code":null,"code":null}"#] {
        ann.lobby().send(format!(r#"42["join",{twice}]"#));
        assert_eq!(ann.lobby().event("refused").await["code"], "bad_message", "{twice}");
    }
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    let mut client = ann.enter("join", json!({ "room": room })).await;
    refuses(&mut client, json!(["leave_room", { "room": room }])).await;
}

/// Each of these is valid for one part of the way and not for another.
#[tokio::test]
async fn unusual_json_is_refused_and_harms_nobody() {
    let cluster = start_game(&[]).await;
    let mut room = cluster.player("Ann").await.enter("create", json!({})).await;
    room.event("joined").await;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = "n".repeat(60_000);
    for (event, data, code) in [
        ("echo", r#"{"n":1e999}"#, "bad_message"),
        ("echo", r#"{"n":18446744073709551616}"#, "bad_message"),
        ("echo", r#"{"n":-1}"#, "bad_message"),
        ("echo", r#"{"n":1,"n":2}"#, "bad_message"),
        ("echo", &deep, "bad_message"),
        ("print", r#"{"text":"\ud800"}"#, "bad_message"),
        ("no", r#""\ud800""#, "unknown_event"),
        (&long, "{}", "unknown_event"),
    ] {
        room.send(format!(r#"42["{event}",{data}]"#));
        let refused = room.event("refused").await;
        assert_eq!(refused["code"], code, "{data}");
        assert!(refused.to_string().len() < 2_000, "a long name is not sent back in full");
    }
    assert_eq!(room.ask("echo", json!({ "n": u64::MAX })).await, Ok(json!(u64::MAX)));
    assert_eq!(room.ask("print", json!({ "text": "a\0b" })).await, Ok(json!({})));
}

/// Sends `[name, data …]`, which is `bad_message`.
async fn refuses(client: &mut Client, event: Value) {
    let answer = client.ask_raw(event.clone()).await;
    assert_eq!(answer["error"]["code"], "bad_message", "{event}");
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
