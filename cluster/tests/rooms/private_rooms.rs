//! Hosted rooms, and private rooms, which can be joined only by their code.

use cluster::testing::{Client, TestPlayer};
use serde_json::{Value, json};

use crate::common::start_game;

/// Opens a private room. Returns its id and its code.
async fn open_private(host: &mut TestPlayer) -> (Value, String) {
    let new = json!({ "private": true, "hosted": true });
    let room = host.ask("open", new).await.expect("a room");
    let mut about = host.ask("about", json!({ "room": room })).await.expect("the room");
    let code = about["code"].take();
    (room, code.as_str().expect("a code").to_owned())
}

#[tokio::test]
async fn a_private_room_is_joined_by_its_code() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, code) = open_private(&mut ann).await;
    let groups: Vec<_> = code.split('-').map(str::len).collect();
    assert_eq!(groups, [5, 5], "{code}");
    let mut anns = ann.enter("join", json!({ "room": room })).await;
    let joined = anns.event("joined").await;
    assert_eq!((&joined["code"], &joined["host"]), (&json!(code), &ann.you["id"]));
    let sloppy = format!(" {} ", code.to_lowercase().replace('-', " "));
    let mut bobs = bob.enter("join_by_code", json!({ "code": sloppy })).await;
    let joined = bobs.event("joined").await;
    assert_eq!(
        (&joined["room"], &joined["code"]),
        (&room, &json!(code)),
        "the host can pass the code on"
    );
}

#[tokio::test]
async fn a_private_room_is_hidden_without_its_code() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    bob.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    bob.lobby().event("rooms").await;
    let (room, code) = open_private(&mut ann).await;
    ann.seat("join", json!({ "room": room })).await;
    let missing = || Err::<Value, _>("no_such_room".to_owned());
    assert_eq!(bob.ask("join", json!({ "room": room })).await, missing());
    for guess in ["", "BCDFG-HJKLM", "🦀", &code[..10], &format!("{code}B")] {
        assert_eq!(bob.ask("join_by_code", json!({ "code": guess })).await, missing(), "{guess}");
    }
    // A later public room is listed; the private one still is not.
    let public = ann.ask("open", json!({})).await.expect("a room");
    let rooms = loop {
        let rooms = bob.lobby().event("rooms").await;
        if rooms != json!([]) {
            break rooms;
        }
    };
    assert_eq!((rooms.as_array().map(Vec::len), &rooms[0]["room"]), (Some(1), &public));
    let best = bob.ask("best", json!({})).await.expect("a room");
    assert_eq!(best["room"], public, "nor is it offered");
}

#[tokio::test]
async fn a_player_with_a_seat_rejoins_a_private_room_by_its_id() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, code) = open_private(&mut ann).await;
    bob.seat("join_by_code", json!({ "code": code })).await;
    let again = bob.seat("join", json!({ "room": room })).await;
    Client::redeem(&again).await.expect("a good ticket");
}

#[tokio::test]
async fn the_room_limit_of_a_player_does_not_affect_others() {
    let cluster = start_game(&["--max-rooms-per-player", "2"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let hosted = json!({ "hosted": true });
    let first = ann.ask("open", hosted.clone()).await.expect("a room");
    open_private(&mut ann).await;
    assert_eq!(ann.ask("open", hosted.clone()).await, Err("too_many_rooms".into()));
    ann.ask("open", json!({})).await.expect("one that belongs to nobody");
    bob.ask("open", hosted.clone()).await.expect("the first");
    ann.ask("close", json!({ "room": first })).await.expect("their room");
    ann.lobby().event("exited").await;
    ann.ask("open", hosted).await.expect("there is a place again");
}

#[tokio::test]
async fn a_room_knows_its_host_its_code_and_its_age() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let (room, code) = open_private(&mut ann).await;
    let mut anns = ann.enter("join", json!({ "room": room })).await;
    let first = anns.ask("about", json!({})).await.expect("the room");
    let elapsed = |about: &Value| about["elapsed_ms"].as_u64().expect("a time");
    assert_eq!((&first["id"], &first["host"]), (&room, &ann.you["id"]));
    assert_eq!((&first["code"], &first["capacity"]), (&json!(code), &json!(8)));
    loop {
        let later = anns.ask("about", json!({})).await.expect("the room");
        assert!(elapsed(&first) <= elapsed(&later) && elapsed(&later) < 60_000);
        if elapsed(&later) > elapsed(&first) {
            break;
        }
    }
}

#[tokio::test]
async fn the_best_room_is_joined_or_a_new_one_opened() {
    let cluster = start_game(&[]).await;
    let mut players = Vec::new();
    for name in ["Ann", "Bob", "Cid", "Dan"] {
        players.push(cluster.player(name).await);
    }
    let chess = json!({ "capacity": 3, "options": { "title": "chess" } });
    let empty = players[0].ask("open", chess.clone()).await.expect("a room");
    let full = players[0].ask("open", chess.clone()).await.expect("a room");
    players[0].seat("join", json!({ "room": full })).await;
    // The room that already has a player; it holds the others, and not one more.
    for player in &mut players[1..3] {
        assert_eq!(player.ask("best", chess.clone()).await.expect("a room")["room"], full);
    }
    assert_eq!(players[3].ask("best", chess.clone()).await.expect("a room")["room"], empty);
    assert_eq!(players[0].ask("best", chess).await.expect("a room")["room"], full, "they stay");
    let go = json!({ "capacity": 2, "options": { "title": "go" } });
    let new = cluster.player("Eve").await.ask("best", go).await.expect("a room")["room"].take();
    assert!(new != full && new != empty);
}
