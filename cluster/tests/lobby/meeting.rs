//! The story with which the project began: two players register, one second later the lobby
//! reroutes both to a room, the room says hello, and ten seconds later both are back in the lobby.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::builder;

/// How long the room stays, with this in the environment.
async fn story(stay_ms: &str, stay: Duration) {
    let lobby = builder(env!("CARGO_BIN_EXE_meeting").as_ref());
    let lobby = lobby.flags(&["--dev=false"]).env("STAY_MS", stay_ms).start().await;
    let before = Instant::now();
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (anns, bobs) = (ann.rerouted().await, bob.rerouted().await);
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(anns["room"], bobs["room"]);
    let room = &anns["room"];
    let before = Instant::now();
    let mut rooms = [ann.take(&anns).await, bob.take(&bobs).await];
    for client in &mut rooms {
        assert_eq!(client.event("joined").await["room"], *room);
        client.event("hello").await;
    }
    for client in &mut rooms {
        let finished = json!({ "to": "lobby", "reason": { "code": "finished" } });
        assert_eq!(client.event("reroute").await, finished);
    }
    assert!(before.elapsed() >= stay, "{:?}", before.elapsed());
    for player in [&mut ann, &mut bob] {
        let returned = json!({ "room": room, "reason": { "code": "finished" } });
        let welcome = player.back().await;
        assert_eq!((&welcome["you"], &welcome["returned"]), (&player.you, &returned));
    }
    // They are not sent to another one.
    let mut visitor = lobby.visitor().await;
    visitor.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    visitor.event_where("rooms", |rooms| rooms == &Value::Array(vec![])).await;
}

#[tokio::test]
async fn two_strangers_meet_in_a_room_and_are_back_ten_seconds_later() {
    story("", Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_test_can_shorten_the_meeting() {
    story("300", Duration::from_millis(300)).await;
}

#[test]
fn its_program_has_at_most_60_lines_of_hooks() {
    let program = include_str!("../meeting/main.rs");
    let (_, hooks) = program.split_once("#[derive(Default)]\nstruct Server").expect("the lobby");
    let (hooks, _) = hooks.split_once("/// Ten seconds").expect("the end of the room");
    let lines = hooks.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.clone().count() <= 60, "{}", lines.count());
}
