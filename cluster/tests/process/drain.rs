//! A lobby that is asked to stop drains its rooms: they may end by themselves, and whoever has a
//! seat may return to it.

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::start_game;

/// Longer than any test: the drain ends when no room is left.
const FOR_EVER: [&str; 4] = ["--drain-timeout", "1h", "--stop-timeout", "1h"];
/// The room neither ends by itself nor closes.
fn clings() -> Value {
    json!({ "options": { "clings": true } })
}

/// Ann is in a room, and the lobby drains.
async fn draining(flags: &[&str], new: Value) -> (LobbyProcess, TestPlayer, Client, Value) {
    let cluster = start_game(flags).await;
    let mut ann = cluster.player("Ann").await;
    let mut anns = ann.enter("create", new).await;
    let room = anns.event("joined").await["room"].take();
    cluster.signal(Signal::TERM);
    cluster.logged("on_drain").await;
    (cluster, ann, anns, room)
}

#[tokio::test]
async fn the_lobby_ends_when_the_last_room_has_ended_by_itself() {
    let (mut cluster, _, mut anns, _) = draining(&FOR_EVER, json!({})).await;
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "it plays on");
    assert!(cluster.has_ended().is_none());
    anns.emit("finish", json!({ "winner": "Ann" }));
    assert_eq!(anns.event("reroute").await["reason"]["code"], "finished");
    assert_eq!(cluster.ended().await.code(), Some(0));
    cluster.logged("on_stop").await;
    cluster.logged("lobby stopped").await;
}

#[tokio::test]
async fn without_a_room_the_lobby_ends_at_once() {
    let mut cluster = start_game(&FOR_EVER).await;
    cluster.player("Ann").await;
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_room_that_never_ends_is_closed_after_the_drain_timeout() {
    let flags = ["--drain-timeout", "100ms", "--stop-timeout", "1h"];
    let (mut cluster, _, mut anns, _) = draining(&flags, json!({})).await;
    let reason = json!({ "code": "closed", "message": "The server is stopping." });
    assert_eq!(anns.event("reroute").await["reason"], reason);
    assert_eq!(cluster.ended().await.code(), Some(0));
    cluster.logged("on_dispose").await;
}

#[tokio::test]
async fn a_room_that_does_not_close_is_killed_after_the_stop_timeout() {
    let flags = ["--drain-timeout", "100ms", "--stop-timeout", "100ms"];
    let (mut cluster, ..) = draining(&flags, clings()).await;
    assert_eq!(cluster.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_player_who_loses_the_connection_returns_to_their_seat() {
    let keeps = json!({ "options": { "grace_ms": 3_600_000 } });
    let (mut cluster, mut ann, anns, room) = draining(&FOR_EVER, keeps).await;
    drop(anns);
    let welcome = ann.back().await;
    assert_eq!(welcome["returned"]["reason"]["code"], "dropped");
    let reroute = ann.rerouted().await;
    assert_eq!(reroute["room"], room);
    let mut anns = ann.take(&reroute).await;
    assert_eq!(anns.event("joined").await["room"], room);
    // A second time, and they ask for it as well.
    drop(anns);
    ann.back().await;
    let first = ann.rerouted().await;
    ann.ask("join", json!({ "room": room })).await.expect("their seat");
    let second = ann.rerouted().await;
    assert_ne!(first["ticket"], second["ticket"]);
    let mut anns = ann.take(&second).await;
    anns.event("joined").await;
    anns.emit("finish", json!({ "winner": "Ann" }));
    assert_eq!(cluster.ended().await.code(), Some(0));
}

#[tokio::test]
async fn nobody_new_is_taken_in_and_all_in_the_lobby_are_told() {
    let cluster = start_game(&FOR_EVER).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut early = cluster.visitor().await;
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    cluster.signal(Signal::TERM);
    for waiting in [bob.lobby(), &mut early] {
        let seconds = waiting.event("closing").await["seconds"].as_u64();
        assert!((3500..=3600).contains(&seconds.expect("a number")), "{seconds:?}");
    }
    let mut late = cluster.visitor().await;
    late.event("closing").await;
    for mut visitor in [early, late] {
        assert_eq!(visitor.ask("register", json!({ "name": "Cy" })).await, Err("stopping".into()));
    }
    for (event, data) in
        [("open", json!({})), ("play", json!({})), ("join", json!({ "room": room }))]
    {
        assert_eq!(bob.ask(event, data).await, Err("stopping".into()), "{event}");
    }
    // With their token, players still get into the lobby.
    assert_eq!(bob.back().await["you"], bob.you);
    bob.lobby().event("closing").await;
}

#[tokio::test]
async fn a_second_signal_closes_the_rooms_now() {
    let flags = ["--drain-timeout", "1h", "--stop-timeout", "1h"];
    let (mut cluster, _, mut anns, _) = draining(&flags, json!({})).await;
    cluster.signal(Signal::TERM);
    assert_eq!(anns.event("reroute").await["reason"]["code"], "closed");
    assert_eq!(cluster.ended().await.code(), Some(0));
    cluster.logged("on_dispose").await;
    assert_eq!(cluster.count("on_stop"), 1);
    assert_eq!(cluster.count("on_drain"), 2, "there is less time than was said");
}

#[tokio::test]
async fn a_third_signal_ends_the_lobby_at_once() {
    let (mut cluster, ..) = draining(&FOR_EVER, clings()).await;
    cluster.signal(Signal::TERM);
    cluster.logged("asked again to stop; stopping now").await;
    cluster.signal(Signal::INT);
    assert_eq!(cluster.ended().await.code(), Some(1));
    cluster.logged("asked a third time to stop; ending at once").await;
}

#[tokio::test]
async fn a_room_that_a_hook_has_closed_takes_its_players_back() {
    let cluster = start_game(&["--stop-timeout", "1h"]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let new = json!({ "options": { "grace_ms": 3_600_000 } });
    let mut anns = ann.enter("create", new).await;
    let room = anns.event("joined").await["room"].take();
    boss.ask("close", json!({ "room": room })).await.expect("its room");
    cluster.logged("on_drain").await;
    drop(anns);
    ann.back().await;
    let reroute = ann.rerouted().await;
    assert_eq!(ann.take(&reroute).await.event("joined").await["room"], room);
    assert_eq!(boss.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
}
