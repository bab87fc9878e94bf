//! The smallest project: an echo room in four files and `main.rs`, under 40 lines of code.

use serde_json::json;

use crate::common::builder;

#[tokio::test]
async fn players_of_the_echo_room_hear_each_other() {
    let lobby = builder(env!("CARGO_BIN_EXE_echo").as_ref()).flags(&["--dev=false"]).start().await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut anns = ann.enter("play", json!({ "kind": "echo" })).await;
    let mut bobs = bob.enter("play", json!({})).await;
    assert_eq!(anns.event("joined").await["room"], bobs.event("joined").await["room"]);
    anns.ask("text", json!("hello")).await.expect("an answer");
    assert_eq!(bobs.event("text").await, json!({ "from": "Ann", "text": "hello" }));
}

#[test]
fn its_four_files_have_fewer_than_40_lines_of_code() {
    let files = [
        include_str!("../echo/server.rs"),
        include_str!("../echo/room_manager.rs"),
        include_str!("../echo/messages.rs"),
        include_str!("../echo/room.rs"),
    ];
    let lines = files.iter().flat_map(|file| file.lines()).filter(|line| !line.trim().is_empty());
    assert!(lines.clone().count() < 40, "{}", lines.count());
}
