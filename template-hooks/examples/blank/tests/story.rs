//! Your lobby and rooms, end to end: real processes and sockets. Edit these along with your hooks.

use cluster::testing::{LobbyProcess, Signal};
use serde_json::json;

async fn start(flags: &[&str]) -> LobbyProcess {
    LobbyProcess::start(env!("CARGO_BIN_EXE_server"), flags).await
}

#[tokio::test]
async fn two_players_meet_in_a_room() {
    let lobby = start(&["--seats", "2"]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut anns = ann.enter("play", json!({})).await;
    let mut bobs = bob.enter("play", json!({})).await;
    assert_eq!(anns.event("joined").await["room"], bobs.event("joined").await["room"]);
    assert_eq!(anns.event("player_joined").await, json!({ "player": bob.you }));
}

#[tokio::test]
async fn a_killed_room_sends_its_players_back() {
    let lobby = start(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let mut room = ann.enter("play", json!({})).await;
    let id = room.event("joined").await["room"].take();
    lobby.signal_room(&id, Signal::KILL).await;
    assert!(!room.end().await);
    assert_eq!(
        ann.back().await["returned"],
        json!({ "room": id, "reason": { "code": "crashed" } })
    );
}

#[tokio::test]
async fn the_page_is_served() {
    let lobby = start(&[]).await;
    assert_eq!(lobby.http("GET", "/").await.0, 200);
    assert_eq!(lobby.http("GET", "/missing").await.0, 404);
}
