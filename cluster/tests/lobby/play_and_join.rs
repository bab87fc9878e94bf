//! `play` and `join`, which the structure answers, and `LobbyContext::play`.

use serde_json::json;

use crate::common::start_game;

#[tokio::test]
async fn play_fills_the_fullest_open_room_and_opens_another_when_it_is_full() {
    let lobby = start_game(&["--seats", "2"]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut cid = lobby.player("Cid").await;
    ann.ask("open", json!({ "capacity": 2 })).await.expect("an empty room");
    let mut anns = ann.enter("create", json!({ "capacity": 2 })).await;
    let mut bobs = bob.enter("play", json!({ "kind": "game" })).await;
    let room = anns.event("joined").await["room"].take();
    assert_eq!(bobs.event("joined").await["room"], room, "where somebody is already");
    let cids = cid.ask("play", json!({})).await.expect("a room");
    assert_ne!(cids["room"], room, "that one is full");
}

#[tokio::test]
async fn a_player_who_asks_to_play_again_keeps_their_seat() {
    let lobby = start_game(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let full = json!({ "capacity": 1 });
    let seat = ann.ask("create", full).await.expect("a room");
    assert_eq!(ann.ask("play", json!({})).await.expect("the same"), seat);
}

#[tokio::test]
async fn a_hook_can_call_play_for_a_player() {
    let lobby = start_game(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let room = ann.ask("play_for_me", json!({})).await.expect("a room");
    assert_eq!(ann.rerouted().await["room"], room["room"]);
}

#[tokio::test]
async fn join_takes_a_room_id_or_a_code() {
    let lobby = start_game(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut cid = lobby.player("Cid").await;
    let private = json!({ "private": true, "hosted": true });
    let mut anns = ann.enter("create", private).await;
    let joined = anns.event("joined").await;
    let by_id = bob.ask("join", json!({ "room": joined["room"] })).await;
    assert_eq!(by_id, Err("no_such_room".into()), "its id is no code");
    let mut bobs = bob.enter("join", json!({ "code": joined["code"] })).await;
    assert_eq!(bobs.event("joined").await["room"], joined["room"]);
    let open = cid.ask("open", json!({})).await.expect("a room");
    assert_eq!(cid.ask("join", json!({ "room": open })).await.expect("a seat")["room"], open);
}

#[tokio::test]
async fn malformed_or_unknown_rooms_and_codes_are_refused() {
    let lobby = start_game(&[]).await;
    let mut ann = lobby.player("Ann").await;
    for (event, data, code) in [
        ("play", json!({ "kind": "chess" }), "no_such_kind"),
        ("play", json!({ "kind": 7 }), "bad_message"),
        ("play", json!("game"), "bad_message"),
        ("join", json!({}), "bad_message"),
        ("join", json!({ "room": 1 }), "bad_message"),
        ("join", json!({ "room": "999" }), "no_such_room"),
        ("join", json!({ "code": "BCDFGH" }), "no_such_room"),
    ] {
        assert_eq!(ann.ask(event, data.clone()).await, Err(code.to_owned()), "{event} {data}");
    }
    let mut visitor = lobby.visitor().await;
    for event in ["play", "join"] {
        assert_eq!(visitor.ask(event, json!({})).await, Err("not_registered".to_owned()));
    }
}

#[tokio::test]
async fn a_panic_in_pick_is_answered_with_internal_and_the_lobby_goes_on() {
    let lobby = start_game(&[]).await;
    let mut eve = lobby.player("Eve").await;
    eve.ask("panic_in_pick", json!({})).await.expect("from now on");
    assert_eq!(eve.ask("play", json!({})).await, Err("internal".to_owned()));
    assert_eq!(eve.ask("play_for_me", json!({})).await, Err("internal".to_owned()));
    let mut ann = lobby.player("Ann").await;
    ann.seat("create", json!({})).await;
}

#[tokio::test]
async fn a_refusal_that_answers_no_request_is_sent_as_an_event() {
    let lobby = start_game(&["--max-rooms-per-player", "1"]).await;
    let mut ann = lobby.player("Ann").await;
    ann.ask("open", json!({ "hosted": true, "capacity": 0 })).await.expect("a room");
    ann.ask("play_unasked", json!({})).await.expect("it does not wait");
    let refused = ann.lobby().event("refused").await;
    assert_eq!([&refused["event"], &refused["code"]], ["reroute", "too_many_rooms"]);
}

#[tokio::test]
async fn a_player_who_is_banned_meanwhile_gets_no_room() {
    let lobby = start_game(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ann.lobby().emit("play_and_ban", json!({}));
    assert_eq!(ann.lobby().event("refused").await["code"], "banned");
    assert_eq!(bob.ask("list", json!({})).await, Ok(json!([])));
}

#[tokio::test]
async fn play_leads_out_of_a_room_that_is_ending() {
    let lobby = start_game(&["--stop-timeout", "10m"]).await;
    let mut ann = lobby.player("Ann").await;
    let options = json!({ "options": { "grace_ms": 600_000 } });
    let mut room = ann.enter("create", options.clone()).await;
    let ending = room.event("joined").await["room"].take();
    let mut bob = lobby.player("Bob").await;
    let mut other = bob.enter("join", json!({ "room": ending })).await;
    other.event("joined").await;
    let mut cid = lobby.player("Cid").await;
    cid.ask("close", json!({ "room": ending })).await.expect("it is asked to end");
    drop(room);
    assert_eq!(other.event("player_disconnected").await["player"], ann.you);
    ann.back().await;
    let next = ann.ask("play", json!({})).await.expect("a seat");
    assert_ne!(next["room"], ending);
}
