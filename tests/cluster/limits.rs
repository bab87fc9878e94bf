//! Limits: of rooms, ports and sizes. What is beyond one is refused, and nothing else suffers.

use std::{net::TcpListener, time::Duration};

use serde_json::{Value, json};

use crate::{
    helpers::Cluster,
    raw::{Raw, request, status},
};

#[tokio::test]
async fn one_room_more_than_allowed_is_refused() {
    let cluster = Cluster::unruly(&["--max-rooms", "2"]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("the first");
    ann.ask("open", json!({})).await.expect("the second");
    assert_eq!(ann.ask("open", json!({})).await, Err("no_room".into()));
    ann.ask("close", json!({ "room": room })).await.expect("its room");
    ann.lobby().event("exited").await;
    ann.ask("open", json!({})).await.expect("there is a place again");
}

#[tokio::test]
async fn rooms_take_the_free_ports_of_their_range_and_then_there_are_none() {
    let (taken, low) = three_ports();
    let range = format!("{low}-{}", low + 2);
    let cluster = Cluster::unruly(&["--room-ports", &range, "--pool", "0"]).await;
    let mut ports: Vec<u16> = Vec::new();
    for name in ["Ann", "Bob"] {
        let mut player = cluster.player(name).await;
        let reroute = player.seat("play", json!({})).await;
        let port = reroute["url"].as_str().and_then(|url| url.rsplit(':').next()?.parse().ok());
        ports.push(port.expect("a port"));
    }
    assert_eq!(ports, [low + 1, low + 2], "the first is taken by somebody else");
    let mut cid = cluster.player("Cid").await;
    assert_eq!(cid.ask("play", json!({})).await, Err("no_room".into()));
    cluster.logged(&format!("error: no free port in {range}")).await;
    assert_eq!(cid.ask("seat_of", json!({})).await, Ok(Value::Null));
    drop(taken);
    cid.enter("play", json!({})).await;
}

/// Three ports in a row of which the first is taken by us and the others are free.
fn three_ports() -> (TcpListener, u16) {
    // Below those that the system gives out by itself.
    let bind = |port| TcpListener::bind(("127.0.0.1", port)).ok();
    let start = 20_000 + (std::process::id() % 1000) as u16 * 10;
    let found = (start..).find_map(|low| Some((bind(low)?, bind(low + 1)?, bind(low + 2)?, low)));
    found.map(|(taken, _, _, low)| (taken, low)).expect("free ports")
}

#[tokio::test]
async fn a_message_over_64_kib_ends_only_its_own_connection() {
    let cluster = Cluster::unruly(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let large = json!({ "text": "x".repeat(65 * 1024) });
    let mut visitor = cluster.visitor().await;
    visitor.emit("register", large.clone());
    visitor.end().await;

    let mut anns = ann.enter("play", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.ask("print", json!({ "text": "x".repeat(60 * 1024) })).await.expect("small enough");
    bobs.emit("print", large);
    bobs.end().await;
    assert_eq!(anns.event("player_left").await["player"], bob.you);
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn who_says_more_than_may_wait_is_told_and_cut() {
    let cluster = Cluster::unruly(&[]).await;
    let mut ann = cluster.player("Ann").await;
    ann.lobby().emit("block", json!({ "ms": 3000 }));
    (0..1100).for_each(|_| ann.lobby().emit("list", json!({})));
    assert_eq!(ann.lobby().event("refused").await["code"], "too_fast");
    assert!(ann.lobby().end().await);
    ann.back().await;
    ann.ask("list", json!({})).await.expect("the lobby lives");
}

#[tokio::test]
async fn one_connection_more_than_allowed_waits_until_another_ends() {
    let cluster = Cluster::unruly(&["--max-connections", "2", "--header-timeout", "1m"]).await;
    let silent = [Raw::connect(&cluster.url).await, Raw::connect(&cluster.url).await];
    let mut third = Raw::connect(&cluster.url).await;
    third.send(&request("GET", "/dev", &[])).await;
    let early = tokio::time::timeout(Duration::from_millis(300), third.head()).await;
    assert!(early.is_err(), "{early:?}");
    drop(silent);
    assert_eq!(status(&third.head().await), 200);
}

#[tokio::test]
async fn however_many_connect_rooms_find_open_files() {
    // The least with which it starts.
    let cluster = Cluster::unruly_with_open_files(84, &["--max-rooms", "4"]).await;
    let mut ann = cluster.player("Ann").await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Raw::connect(&cluster.url).await);
    }
    for _ in 0..4 {
        ann.ask("open", json!({})).await.expect("a room");
        ann.lobby().event("ready").await;
    }
    let failed =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("cannot"));
    assert!(!cluster.lines().iter().any(failed), "nothing failed for want of open files");
}
