//! Relayed connections, used where handoff is impossible: the lobby's HTTP server already owns the
//! connection, as behind a proxy that reuses its connections, or the system does not support it.

use cluster::testing::{LobbyProcess, eventually};
use futures_util::future::join_all;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::common::raw::{Raw, path_of, status, websocket};
use crate::common::{NO_RATE_LIMITS, start_game, start_game_with};

const PAGE: &str = "GET /dev HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Starts the game with handoff, also where all other tests are relayed.
pub async fn handing_off(flags: &[&str]) -> LobbyProcess {
    start_game_with(flags, &[("CLUSTER_NO_HANDOFF", "")]).await
}

/// The request for the room's websocket.
pub fn upgrade(room: &Value) -> String {
    websocket(&path_of(room), &[])
}

/// `(handed_off, relayed)`, as logged when the lobby stops.
pub async fn counts(mut cluster: LobbyProcess) -> (u64, u64) {
    cluster.signal(Signal::TERM);
    cluster.ended().await;
    let line = cluster.logged("lobby stopped").await;
    let count = |name: &str| line[name].as_u64().expect("a number");
    (count("handed_off"), count("relayed"))
}

#[tokio::test]
async fn relayed_messages_arrive_whole_and_in_order_both_ways() {
    let flags = [
        &["--no-handoff", "--drain-timeout", "100ms", "--stop-timeout", "100ms"],
        &NO_RATE_LIMITS[..],
    ]
    .concat();
    let cluster = start_game(&flags).await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    for n in 0..900 {
        anns.emit("log", json!({ "n": n }));
    }
    let logged = anns.ask("logged", json!({})).await.expect("numbers");
    assert_eq!(logged, json!((0..900).collect::<Vec<_>>()));
    anns.ask("print", json!({ "text": "x".repeat(60 * 1024) })).await.expect("not too large");
    assert_eq!(counts(cluster).await, (0, 1));
}

#[tokio::test]
async fn a_connection_already_served_by_the_lobby_is_relayed() {
    let cluster = handing_off(&["--drain-timeout", "100ms", "--stop-timeout", "100ms"]).await;
    let room = open_room(&cluster).await;
    let mut raw = Raw::connect(&cluster.url).await;
    for _ in 0..2 {
        raw.send(PAGE).await;
        assert_eq!(status(&raw.head().await), 200);
        raw.body(2).await;
    }
    raw.send(&upgrade(&room)).await;
    assert_eq!(status(&raw.head().await), 101);
    // Engine.IO's first packet, in a frame of its own.
    assert!(raw.body(3).await.ends_with('0'));
    assert_eq!(counts(cluster).await, (0, 1));
}

#[tokio::test]
async fn invalid_upgrades_are_refused_and_the_connection_stays_open() {
    let cluster = start_game(&["--no-handoff"]).await;
    let room = open_room(&cluster).await;
    let mut raw = Raw::connect(&cluster.url).await;
    let nowhere = upgrade(&json!("999"));
    let plain = upgrade(&room).replace("Upgrade: websocket\r\n", "");
    for (request, expected) in [(nowhere, 404), (plain, 426), (PAGE.to_owned(), 200)] {
        raw.send(&request).await;
        let head = raw.head().await;
        assert_eq!(status(&head), expected, "{head}");
        let length = head.to_lowercase().split("content-length: ").nth(1).map(|rest| {
            let digits = rest.split("\r\n").next().expect("a line");
            digits.parse::<usize>().expect("a number")
        });
        raw.body(length.expect("a length")).await;
    }
}

#[tokio::test]
async fn a_relayed_connection_ends_with_its_room_and_with_its_client() {
    let cluster = start_game(&["--no-handoff"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = &anns.event("joined").await["room"];
    let bobs = bob.enter("join", json!({ "room": room })).await;
    anns.event("player_joined").await;
    drop(bobs);
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "dropped" } })
    );
    kill_process(cluster.process_of(room).await, Signal::KILL).expect("it runs");
    anns.end().await;
    assert_eq!(
        ann.back().await["returned"],
        json!({ "room": room, "reason": { "code": "crashed" } })
    );
}

#[tokio::test]
async fn an_upgrade_request_with_a_body_is_refused() {
    let cluster = start_game(&["--no-handoff"]).await;
    let room = open_room(&cluster).await;
    for body in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&upgrade(&room).replace("\r\n\r\n", &format!("\r\n{body}\r\n\r\n"))).await;
        assert_eq!(status(&raw.head().await), 400, "{body}");
    }
}

#[tokio::test]
async fn a_hung_room_is_reported_to_the_client_as_bad_gateway() {
    let cluster = start_game(&["--no-handoff"]).await;
    let room = open_room(&cluster).await;
    kill_process(cluster.process_of(&room).await, Signal::STOP).expect("it runs");
    let mut raw = Raw::connect(&cluster.url).await;
    raw.send(&upgrade(&room)).await;
    // The room is killed as hung before it could answer.
    assert_eq!(status(&raw.head().await), 502);
}

#[tokio::test]
async fn bad_answers_of_a_room_reach_the_client_as_errors_and_leave_nothing() {
    let ways = ["silence", "half", "garbage", "endless", "large", "end"];
    join_all(ways.map(async |how| {
        let cluster = faulty(how).await;
        let room = open_room(&cluster).await;
        let before = cluster.descriptors();
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&upgrade(&room)).await;
        let expected = if ["silence", "half"].contains(&how) { 504 } else { 502 };
        assert_eq!(status(&raw.head().await), expected, "{how}");
        drop(raw);
        eventually(how, || (cluster.descriptors() <= before).then_some(())).await;
    }))
    .await;
}

#[tokio::test]
async fn a_room_that_does_not_read_does_not_keep_a_closed_connection() {
    let cluster = faulty("deaf").await;
    let room = open_room(&cluster).await;
    let before = cluster.descriptors();
    let mut raw = Raw::connect(&cluster.url).await;
    raw.send(&upgrade(&room)).await;
    assert_eq!(status(&raw.head().await), 101);
    // More than all buffers hold: the lobby cannot forward it.
    raw.send_all_that_is_taken().await;
    drop(raw);
    eventually("the end", || (cluster.descriptors() <= before).then_some(())).await;
}

/// A cluster whose rooms answer clients in this faulty way.
async fn faulty(how: &str) -> LobbyProcess {
    start_game_with(&["--no-handoff", "--pool", "0"], &[("FAULTY", how)]).await
}

async fn open_room(cluster: &LobbyProcess) -> Value {
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    ann.lobby().event("ready").await;
    room
}
