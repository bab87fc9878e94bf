//! Messages between client and room, and room and lobby, arrive completely and in order.

use cluster::testing::eventually;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

#[tokio::test]
async fn ten_thousand_messages_arrive_in_order() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let mut room = cluster.player("Ann").await.enter("create", json!({})).await;
    // A connection's queue is bounded; waiting for an answer now and then keeps it short.
    for thousand in 0..10 {
        (0..1000).for_each(|n| room.emit("log", json!({ "n": thousand * 1000 + n })));
        room.ask("later", json!({ "n": 0 })).await.expect("still there");
    }
    let logged = room.ask("logged", json!({})).await.expect("the numbers");
    assert_eq!(logged, json!((0..10_000).collect::<Vec<u64>>()));
}

#[tokio::test]
async fn the_last_events_of_a_leaving_player_arrive_despite_heavy_outbound_traffic() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    for round in 0..20 {
        let bobs = match &bob.lobby {
            Some(_) => bob.enter("join", json!({ "room": room })).await,
            None => bob.back_into("join", json!({ "room": room })).await,
        };
        anns.event("player_joined").await;
        // The room sends much to a player who has already left.
        (0..500).for_each(|n| anns.emit("echo", json!({ "n": n })));
        (0..100).for_each(|n| bobs.emit("log", json!({ "n": round * 100 + n })));
        bobs.leave().await;
        assert_eq!(anns.event("player_left").await["reason"], json!({ "code": "left" }));
        anns.ask("later", json!({ "n": 0 })).await.expect("still there");
    }
    let logged = anns.ask("logged", json!({})).await.expect("the numbers");
    assert_eq!(logged, json!((0..2000).collect::<Vec<u64>>()));
}

#[tokio::test]
async fn the_messages_of_each_of_two_players_stay_in_order() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    for n in 0..500 {
        anns.emit("log", json!({ "n": n }));
        bobs.emit("log", json!({ "n": 1000 + n }));
    }
    bobs.ask("logged", json!({})).await.expect("the numbers");
    let logged = anns.ask("logged", json!({})).await.expect("the numbers");
    let numbers = logged.as_array().unwrap().iter().filter_map(Value::as_u64);
    let (bobs, anns): (Vec<_>, Vec<_>) = numbers.partition(|n| *n >= 1000);
    assert_eq!(anns, (0..500).collect::<Vec<_>>());
    assert_eq!(bobs, (1000..1500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flood_harms_only_the_connection_that_it_comes_from() {
    // Heartbeats of a flooded room are not under test here.
    let cluster = start_game(&["--heartbeat-timeout", "20s"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    // As much as a throttled connection sends in minutes, all at once.
    (0..50_000).for_each(|n| bobs.emit("log", json!({ "n": n })));
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    drop(bobs);
    assert_eq!(anns.event("player_left").await["player"], bob.you);
    assert_eq!(anns.ask("echo", json!({ "n": 2 })).await, Ok(json!(2)));
    bobs = bob.back_into("join", json!({ "room": room })).await;
    // The flood still counts, for a moment.
    assert_eq!(bobs.ask_patiently("echo", json!({ "n": 3 })).await, Ok(json!(3)));
}

#[tokio::test]
async fn messages_to_a_room_that_is_not_ready_are_delivered_later() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut boss = cluster.player("Boss").await;
    let mut client = ann.enter("create", json!({ "tell": ["one", "two"] })).await;
    let room = client.event("joined").await["room"].take();
    assert_eq!(client.event("told").await, json!({ "texts": ["one", "two"] }));
    boss.ask("tell", json!({ "room": room, "text": "three" })).await.expect("its room");
    assert_eq!(client.event("told").await, json!({ "texts": ["one", "two", "three"] }));
    let refused = boss.ask("tell", json!({ "room": "99", "text": "?" })).await;
    assert_eq!(refused, Err("no_such_room".into()));
}

#[tokio::test]
async fn messages_of_a_room_reach_the_lobby_in_order() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    assert_eq!(boss.lobby().event("ready").await, json!({ "room": room }));
    (0..500).for_each(|n| client.emit("tell_lobby", json!({ "text": n.to_string() })));
    for n in 0..500 {
        let said = json!({ "room": room, "text": n.to_string() });
        assert_eq!(boss.lobby().event("said").await, said);
    }
}

#[tokio::test]
async fn a_message_too_large_for_the_channel_is_refused_and_harms_nobody() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    let refused = client.ask("tell_lobby", json!({ "text": "x".repeat(62 * 1024) })).await;
    assert_eq!(refused, Err("internal".into()));
    client.emit("tell_lobby", json!({ "text": "small" }));
    assert_eq!(boss.lobby().event("said").await["text"], "small");
    let refused = boss.ask("tell", json!({ "room": room, "text": "x".repeat(62 * 1024) })).await;
    assert_eq!(refused, Err("internal".into()));
    boss.ask("tell", json!({ "room": room, "text": "small" })).await.expect("its room");
    while client.event("told").await != json!({ "texts": ["small"] }) {}
}

#[tokio::test]
async fn the_output_of_a_room_is_in_the_lobbys_log_with_its_id() {
    let cluster = start_game(&[]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    client.ask("print", json!({ "text": "hello" })).await.expect("printed");
    for (text, level) in [("hello on stdout", "INFO"), ("hello on stderr", "WARN")] {
        let line = cluster.logged(text).await;
        assert_eq!((&line["room"], &line["level"]), (&room, &json!(level)));
    }
}

#[tokio::test]
async fn the_panic_message_of_a_room_is_logged() {
    let cluster = start_game(&[]).await;
    let client = cluster.player("Ann").await.enter("create", json!({})).await;
    client.emit("panic", json!({}));
    eventually("the place and the message, in one line", || {
        let place = |line: &Value| {
            let text = line["message"].as_str().unwrap_or_default();
            text.contains("game/room.rs:") && text.contains("as asked")
        };
        cluster.lines().iter().any(place).then_some(())
    })
    .await;
}
