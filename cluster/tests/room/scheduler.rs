//! Computations, timers, ticks and the empty timeout.

use cluster::testing::{Client, LobbyProcess};
use serde_json::{Value, json};

use crate::common::start_game;

async fn room(cluster: &LobbyProcess) -> Client {
    let mut room = cluster.player("Ann").await.enter("create", json!({})).await;
    room.event("joined").await;
    room
}

/// Waits for the end of a computation. Returns its result and its error.
async fn over(room: &mut Client) -> (Value, Value) {
    let mut over = room.event("over").await;
    (over["sum"].take(), over["why"].take())
}

#[tokio::test]
async fn a_computation_reports_in_order_and_before_its_result() {
    let cluster = start_game(&[]).await;
    let mut room = room(&cluster).await;
    // More than fit into the queue of the room.
    room.ask("parts", json!({ "n": 1000 })).await.expect("given away");
    for n in 1..=1000 {
        assert_eq!(room.event("part").await, json!({ "n": n }));
        assert!(n == 1000 || !room.unheard().contains(&"over"));
    }
    assert_eq!(over(&mut room).await, (json!(500_500), Value::Null));
}

#[tokio::test]
async fn a_cancelled_computation_reports_its_cancellation_last() {
    let cluster = start_game(&[]).await;
    let mut room = room(&cluster).await;
    room.ask("endless", json!({})).await.expect("given away");
    for n in 1..=10 {
        assert_eq!(room.event("part").await, json!({ "n": n }));
    }
    room.ask("cancel_compute", json!({})).await.expect("cancelled");
    assert_eq!(over(&mut room).await, (Value::Null, json!("the computation was cancelled")));
    // Reports that were under way when it was cancelled; none follows its end.
    while room.unheard().contains(&"part") {
        room.event("part").await;
    }
    room.ask("echo", json!({ "n": 1 })).await.expect("still there");
    assert!(!room.unheard().contains(&"part"));
    assert!(!room.unheard().contains(&"over"));
}

#[tokio::test]
async fn computations_take_turns_on_the_processors_and_the_room_stays_responsive() {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let cluster = start_game(&["--heartbeat", "200ms", "--heartbeat-timeout", "2s"]).await;
    let mut room = room(&cluster).await;
    // Longer than the heartbeat timeout, on all processors, and as many queued.
    room.ask("busy", json!({ "jobs": processors, "ms": 3000 })).await.expect("given away");
    room.ask("busy", json!({ "jobs": processors, "ms": 0 })).await.expect("given away");
    room.ask("endless", json!({})).await.expect("given away");
    assert_eq!(room.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "the room answers");
    assert_eq!(over(&mut room).await, (json!(3000), Value::Null), "first come, first served");
    for _ in 1..2 * processors {
        over(&mut room).await;
    }
    room.event("part").await;
    room.ask("cancel_compute", json!({})).await.expect("cancelled");
    assert_eq!(over(&mut room).await.1, "the computation was cancelled");
}

#[tokio::test]
async fn a_queued_computation_can_be_cancelled() {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let cluster = start_game(&[]).await;
    let mut room = room(&cluster).await;
    room.ask("busy", json!({ "jobs": processors, "ms": 60_000 })).await.expect("given away");
    room.ask("endless", json!({})).await.expect("given away");
    // All are cancelled, but those that compute do not check.
    room.ask("cancel_compute", json!({})).await.expect("cancelled");
    assert_eq!(over(&mut room).await, (Value::Null, json!("the computation was cancelled")));
    assert!(!room.unheard().contains(&"part"), "it has not begun");
    room.ask("finish", json!({ "winner": "Ann" })).await.expect("finished");
    assert_eq!(room.event("reroute").await["reason"], json!({ "code": "finished" }));
}

#[tokio::test]
async fn an_interval_timer_repeats_until_it_is_cancelled() {
    let cluster = start_game(&[]).await;
    let mut room = room(&cluster).await;
    room.ask("every", json!({ "ms": 5 })).await.expect("a timer");
    for n in 1..=5 {
        assert_eq!(room.event("echoed").await, json!({ "n": n }));
    }
    room.ask("cancel_timer", json!({})).await.expect("cancelled");
    while room.unheard().contains(&"echoed") {
        room.event("echoed").await;
    }
    // Another timer, longer than the period.
    room.ask("after", json!({ "n": 99, "ms": 100 })).await.expect("a timer");
    assert_eq!(room.event("echoed").await, json!({ "n": 99 }));
}

#[tokio::test]
async fn the_tick_rate_changes_while_the_room_runs() {
    let cluster = start_game(&[]).await;
    let mut room = room(&cluster).await;
    for hz in [1000, 50, 200] {
        room.ask("tick_rate", json!({ "hz": hz })).await.expect("a rate");
        while room.event("ticked").await["hz"] != hz {}
    }
    // A higher tick rate takes effect before the old period is over.
    room.ask("tick_rate", json!({ "hz": 0 })).await.expect("none");
    while room.unheard().contains(&"ticked") {
        room.event("ticked").await;
    }
    room.ask("after", json!({ "n": 1, "ms": 100 })).await.expect("a timer");
    room.event("echoed").await;
    assert!(!room.unheard().contains(&"ticked"), "no tick without a rate");
    room.ask("tick_rate", json!({ "hz": 100 })).await.expect("a rate");
    room.event("ticked").await;
}

#[tokio::test]
async fn a_room_sets_its_empty_timeout() {
    let cluster = start_game(&["--empty-timeout", "300ms"]).await;
    let mut boss = cluster.player("Boss").await;
    let mut rooms = Vec::new();
    for ms in [json!(null), json!(1), json!(60_000)] {
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        rooms.push(client.event("joined").await["room"].take());
        client.ask("empty_timeout", json!({ "ms": ms })).await.expect("a time");
        client.leave().await;
    }
    let plain = boss.ask("open", json!({})).await.expect("a room");
    let mut exited = Vec::new();
    while exited.len() < 2 {
        exited.push(boss.lobby().event("exited").await["room"].take());
    }
    assert!(exited.contains(&rooms[1]) && exited.contains(&plain), "{exited:?} of {rooms:?}");
    for room in [&rooms[0], &rooms[2]] {
        boss.seat("join", json!({ "room": room })).await;
    }
}

#[tokio::test]
async fn the_lobby_spawns_and_computes_too() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    ann.ask("square", json!({ "n": 7 })).await.expect("given away");
    let mut ways = std::collections::BTreeMap::<String, usize>::new();
    while !ways.contains_key("after") || ways.len() < 4 {
        let squared = ann.lobby().event("squared").await;
        assert_eq!(squared["n"], 49);
        *ways.entry(squared["how"].as_str().expect("a way").to_owned()).or_default() += 1;
    }
    assert_eq!((ways["compute"], ways["spawn"], ways["after"]), (1, 1, 1));
    assert!(ways["every"] >= 1, "{ways:?}");
}
