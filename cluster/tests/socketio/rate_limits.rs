//! A client over its rate is refused; if it goes on, it is throttled, and nobody else suffers.

use std::time::{Duration, Instant};

use cluster::testing::{Client, LobbyProcess};
use serde_json::{Value, json};

use crate::common::raw::{Raw, status, websocket};
use crate::common::start_game;

/// Events per second of one player. The burst is three seconds' worth, and twice as many frames.
const EVENTS_PER_SECOND: &str = "300";
const EVENTS_AT_ONCE: usize = 900;
const FRAMES_PER_SECOND: usize = 600;
const FRAMES_AT_ONCE: usize = 1800;
/// The largest read of the server, after which it counts the frames.
const READ_AT_ONCE: usize = 1024;

/// How many frames of this length take at least a second.
fn a_second_of(length: usize) -> usize {
    FRAMES_AT_ONCE + READ_AT_ONCE / length + FRAMES_PER_SECOND
}

#[tokio::test]
async fn a_client_over_its_rate_is_refused_and_then_throttled() {
    let cluster = cluster().await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    for n in 0..EVENTS_AT_ONCE {
        assert_eq!(anns.ask("echo", json!({ "n": n })).await, Ok(json!(n)));
    }
    hears_of_it(&mut anns, ("echo", json!({ "n": 1 })), &mut bobs).await;
    // The limit is lifted after a quiet moment.
    assert_eq!(anns.ask_patiently("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    anns.leave().await;
    ann.back().await;
    hears_of_it(ann.lobby(), ("list", json!({})), &mut bobs).await;
}

/// Floods while a neighbour is answered.
async fn hears_of_it(flood: &mut Client, (event, data): (&str, Value), neighbour: &mut Client) {
    let begin = Instant::now();
    (0..a_second_of(15)).for_each(|_| flood.emit(event, data.clone()));
    let refused = flood.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!(event), &json!("too_fast")));
    assert_eq!(neighbour.ask("echo", json!({ "n": 2 })).await, Ok(json!(2)));
    // Answered after the flood, in order.
    let answer = flood.ask(event, data).await;
    assert!(answer.is_ok() || answer == Err("too_fast".into()), "{answer:?}");
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn packets_that_are_no_events_count_against_the_rate() {
    let ping = [0x89, 0x80, 0, 0, 0, 0];
    let alive = [0x81, 0x80 | 1, 0, 0, 0, 0, b'3'];
    let other_namespace = [&[0x81, 0x80 | 5, 0, 0, 0, 0][..], b"40/x,"].concat();
    let cluster = cluster().await;
    let mut neighbour = cluster.visitor().await;
    for frame in [&ping[..], &alive, &other_namespace] {
        let mut flood = Raw::connect(&cluster.url).await;
        flood.send(&websocket("/socket.io", &[])).await;
        assert_eq!(status(&flood.head().await), 101);
        flood.send_frame("40").await;
        let begin = Instant::now();
        flood.send_bytes(&frame.repeat(a_second_of(frame.len()))).await;
        flood.send_frame(r#"42["last",{}]"#).await;
        neighbour.ask("watch_rooms", Value::Null).await.expect("others are heard");
        flood.until(r#""event":"last""#).await;
        assert!(begin.elapsed() >= Duration::from_secs(1), "{frame:x?}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn the_rate_limit_belongs_to_the_player_not_the_connection() {
    let cluster = start_game(&["--events-per-second", "1"]).await;
    let mut ann = cluster.player("Ann").await;
    ann.back().await;
    while ann.ask("list", json!({})).await.is_ok() {}
    ann.back().await;
    let mut allowed = 0;
    while ann.ask("list", json!({})).await.is_ok() {
        allowed += 1;
    }
    // A new player has a burst of three.
    assert!(allowed < 3, "{allowed}");
}

async fn cluster() -> LobbyProcess {
    let flags = ["--events-per-second", EVENTS_PER_SECOND];
    // A large queue, as the whole burst is answered.
    start_game(
        &[&flags[..], &["--max-queued-events", "10000", "--max-outbound-packets", "10000"]]
            .concat(),
    )
    .await
}
