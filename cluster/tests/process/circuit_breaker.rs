//! The circuit breaker: after repeated failed starts no room is started for a while.

use cluster::testing::{TestPlayer, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{start_game, start_game_with};

const TRIPPED: &str = "too many rooms failed to start; starting none for a while";

fn opening(how: &str) -> Value {
    json!({ "options": { "opening": how } })
}

/// Asks for a room that dies at its start.
async fn dies(player: &mut TestPlayer) {
    assert_eq!(player.ask("create", opening("panic")).await, Err("room_gone".into()));
}

/// The cooldown is longer than the test: on a busy machine three failed starts may take seconds.
#[tokio::test]
async fn repeated_failed_starts_open_the_circuit_breaker() {
    let cluster =
        start_game(&["--start-failure-limit", "3", "--start-failure-cooldown", "10m"]).await;
    let mut ann = cluster.player("Ann").await;
    for _ in 0..3 {
        assert_eq!(cluster.count(TRIPPED), 0);
        dies(&mut ann).await;
    }
    let answer = ann.lobby().ask_raw(json!(["create", {}])).await;
    assert_eq!(answer["error"]["code"], "no_room");
    let text = answer["error"]["message"].as_str().expect("a text");
    assert!(text.contains("Try again in ") && text.ends_with(" s."), "{text}");
    assert_eq!(cluster.logged(TRIPPED).await["level"], "ERROR");
    assert_eq!(cluster.count(TRIPPED), 1);
}

/// A limit of one failed start, so that no earlier one can expire meanwhile.
#[tokio::test]
async fn after_the_cooldown_rooms_are_started_again() {
    let cluster =
        start_game(&["--start-failure-limit", "1", "--start-failure-cooldown", "2s"]).await;
    let mut ann = cluster.player("Ann").await;
    dies(&mut ann).await;
    assert_eq!(cluster.logged(TRIPPED).await["level"], "ERROR");
    assert_eq!(cluster.logged("rooms are started again").await["level"], "INFO");
    ann.enter("create", json!({})).await;
    assert_eq!(cluster.count(TRIPPED), 1);
}

#[tokio::test]
async fn warm_rooms_that_die_count_and_none_are_started_during_the_cooldown() {
    let flags = ["--pool", "2", "--start-failure-limit", "4", "--start-failure-cooldown", "60s"];
    let cluster = start_game_with(&flags, &[("FAULTY", "stillborn")]).await;
    cluster.logged(TRIPPED).await;
    let mut ann = cluster.player("Ann").await;
    assert_eq!(ann.ask("create", json!({})).await, Err("no_room".into()));
    // Starts that are under way end, and none follow.
    let ended = cluster.count("a warm room ended");
    let started = cluster.processes().len();
    assert!((4..=6).contains(&started) && ended <= started, "{ended} of {started}");
}

#[tokio::test]
async fn refusals_and_closed_rooms_are_not_failed_starts() {
    let flags = [
        "--start-failure-limit",
        "3",
        "--start-failure-cooldown",
        "60s",
        "--stop-timeout",
        "300ms",
    ];
    let cluster = start_game(&flags).await;
    let mut ann = cluster.player("Ann").await;
    for _ in 0..4 {
        assert_eq!(ann.ask("create", opening("refuse")).await, Err("no_mood".into()));
        let room = ann.ask("open", opening("never")).await.expect("a room");
        ann.ask("close", json!({ "room": room })).await.expect("its room");
        // A room that has opened is no failed start, however it ends.
        let room = ann.ask("open", json!({})).await.expect("a room");
        let ready = |line: &Value| line["message"] == "room ready" && line["room"] == room;
        eventually("ready", || cluster.lines().iter().any(ready).then_some(())).await;
        cluster.signal_room(&room, Signal::KILL).await;
    }
    ann.ask_until("list", json!({}), |rooms| *rooms == json!([])).await;
    ann.enter("create", json!({})).await;
    assert_eq!(cluster.count(TRIPPED), 0);
}

#[tokio::test]
async fn a_player_whose_rooms_die_stops_only_themselves() {
    let flags = ["--start-failure-limit", "5", "--start-failure-cooldown", "60s"];
    let cluster = start_game(&flags).await;
    let mut eve = cluster.player("Eve").await;
    let mut asked = opening("panic");
    asked["hosted"] = json!(true);
    for _ in 0..3 {
        assert_eq!(eve.ask("create", asked.clone()).await, Err("room_gone".into()));
    }
    for _ in 0..5 {
        assert_eq!(eve.ask("create", asked.clone()).await, Err("too_many_rooms".into()));
    }
    let mut ann = cluster.player("Ann").await;
    ann.enter("create", json!({ "hosted": true })).await;
}
