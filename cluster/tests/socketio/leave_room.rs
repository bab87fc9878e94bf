//! `leave_room` in a room: the acknowledged way to leave it.

use serde_json::{Value, json};

use crate::common::start_game;

/// Some clients close the websocket without a Socket.IO disconnect, which looks like a lost
/// connection.
#[tokio::test]
async fn a_player_can_leave_a_room_and_be_sure_of_it() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({ "options": { "grace_ms": u64::MAX } })).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    assert_eq!(bobs.ask("leave_room", Value::Null).await, Ok(json!({})));
    let left = json!({ "to": "lobby", "reason": { "code": "left" } });
    assert_eq!(bobs.event("reroute").await, left);
    assert!(bobs.end().await, "the room disconnects gracefully");
    let left = json!({ "player": bob.you, "reason": { "code": "left" } });
    assert_eq!(anns.event("player_left").await, left);
    let welcome = bob.back().await;
    assert_eq!(welcome["returned"], json!({ "room": room, "reason": { "code": "left" } }));
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
    let census = anns.ask("census", json!({})).await.expect("counts");
    assert_eq!(census["leaves"], json!({ "left": 1 }));
}

#[tokio::test]
async fn leaving_needs_no_answer_and_happens_once() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    for _ in 0..3 {
        let mut bobs = bob.enter("join", json!({ "room": room })).await;
        (0..3).for_each(|_| bobs.emit("leave_room", json!({})));
        bobs.emit("log", json!({ "n": 7 }));
        assert_eq!(bobs.event("reroute").await["to"], "lobby");
        bobs.end().await;
        anns.event("player_left").await;
        bob.back().await;
    }
    assert_eq!(anns.ask("logged", json!({})).await, Ok(json!([])), "nothing comes after it");
    let census = anns.ask("census", json!({})).await.expect("counts");
    assert_eq!((&census["joins"], &census["leaves"]), (&json!(4), &json!({ "left": 3 })));
}
