//! Joining a room: seats, tickets, refusals.

use std::collections::HashSet;

use cluster::testing::Client;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::start_game;

#[tokio::test]
async fn a_player_is_sent_to_a_room_and_joins_it() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let answer = ann.ask("create", json!({})).await;
    let reroute = ann.rerouted().await;
    let (room, url, ticket) = (&reroute["room"], &reroute["url"], &reroute["ticket"]);
    let path = format!("/rooms/{}/socket.io", room.as_str().expect("an id"));
    assert_eq!(answer, Ok(json!({ "room": room })));
    assert_eq!(
        reroute,
        json!({ "to": "room", "room": room, "url": url, "path": path, "ticket": ticket })
    );
    assert_eq!(ticket.as_str().map(str::len), Some(32), "128 bits: {ticket}");

    let mut client = Client::redeem(&reroute).await.expect("a good ticket");
    let joined = json!({
        "room": room, "kind": "game", "code": null, "host": null, "you": ann.you, "players": [ann.you], "away": [],
    });
    assert_eq!(client.event("joined").await, joined);
    assert_eq!(client.event("told").await, json!({ "texts": [] }), "the snapshot follows");
}

#[tokio::test]
async fn two_players_see_each_other_come_and_go() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    let joined = bobs.event("joined").await;
    assert_eq!(joined["you"], bob.you);
    assert_eq!(joined["players"], json!([ann.you, bob.you]), "in the order of joining");
    assert_eq!(anns.event("player_joined").await, json!({ "player": bob.you }));
    bobs.leave().await;
    let left = json!({ "player": bob.you, "reason": { "code": "left" } });
    assert_eq!(anns.event("player_left").await, left);
    assert!(anns.unheard().iter().all(|name| *name == "told"), "{:?}", anns.unheard());
}

#[tokio::test]
async fn a_full_a_locked_and_a_missing_room_are_refused() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({ "capacity": 1 })).await;
    let full = anns.event("joined").await["room"].take();
    assert_eq!(bob.ask("join", json!({ "room": full })).await, Err("room_full".into()));
    assert_eq!(bob.ask("join", json!({ "room": "99" })).await, Err("no_such_room".into()));

    let locked = bob.ask("open", json!({})).await.expect("a room");
    bob.ask("lock", json!({ "room": locked, "locked": true })).await.expect("its room");
    assert_eq!(bob.ask("join", json!({ "room": locked })).await, Err("room_locked".into()));
    bob.ask("lock", json!({ "room": locked, "locked": false })).await.expect("its room");
    bob.enter("join", json!({ "room": locked })).await;
}

#[tokio::test]
async fn a_room_can_lock_itself() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    bob.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    anns.ask("lock_room", json!({ "locked": true })).await.expect("a room may");
    while bob.lobby().event("rooms").await[0]["locked"] != true {}
    assert_eq!(bob.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
}

#[tokio::test]
async fn a_room_may_refuse_a_player_and_others_still_come() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let options = json!({ "banned": "Bob" });
    let room = ann.ask("open", json!({ "capacity": 1, "options": options })).await.expect("a room");
    assert_eq!(bob.ask("join", json!({ "room": room })).await, Err("banned".into()));
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
    ann.enter("join", json!({ "room": room })).await;
}

#[tokio::test]
async fn fifty_players_competing_for_four_seats_fill_four() {
    let cluster = start_game(&[]).await;
    let mut players = join_all((0..50).map(|n| cluster.player(["Ann", "Bob"][n % 2]))).await;
    let room = players[0].ask("open", json!({ "capacity": 4 })).await.expect("a room");
    let asked = players.iter_mut().map(|player| player.ask("join", json!({ "room": room })));
    let (seated, refused): (Vec<_>, Vec<_>) =
        join_all(asked).await.into_iter().partition(Result::is_ok);
    assert_eq!(seated.len(), 4);
    assert!(refused.iter().all(|refused| *refused == Err("room_full".into())), "{refused:?}");
}

#[tokio::test]
async fn a_seat_is_free_again_after_its_player_leaves() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({ "capacity": 1 })).await;
    let room = anns.event("joined").await["room"].take();
    bob.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    anns.leave().await;
    while bob.lobby().event("rooms").await[0]["players"] != 0 {}
    bob.enter("join", json!({ "room": room })).await;
}

#[tokio::test]
async fn a_player_who_joins_another_room_leaves_the_first() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut bobs = bob.enter("create", json!({})).await;
    let first = bobs.event("joined").await["room"].take();
    let mut before = ann.enter("join", json!({ "room": first })).await;
    ann.back().await;
    // The lobby reroutes the player to their seat; they ask for another room.
    ann.rerouted().await;
    let mut after = ann.enter("create", json!({})).await;
    assert_ne!(after.event("joined").await["room"], first);
    assert_eq!(before.event("refused").await["code"], "replaced", "they are in another room now");
    assert_eq!(
        bobs.event("player_left").await,
        json!({ "player": ann.you, "reason": { "code": "moved" } })
    );
}

#[tokio::test]
async fn a_ticket_is_valid_for_one_connection_to_one_room() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let seat = ann.seat("create", json!({})).await;
    let elsewhere = bob.seat("create", json!({})).await;
    for bad in [&elsewhere["ticket"], &json!("0".repeat(32)), &json!(""), &json!(5), &Value::Null] {
        let mut reroute = seat.clone();
        reroute["ticket"] = bad.clone();
        assert_eq!(Client::redeem(&reroute).await.err().as_deref(), Some("bad_ticket"), "{bad}");
    }
    let mut client = Client::redeem(&seat).await.expect("a good ticket");
    client.event("joined").await;
    assert_eq!(Client::redeem(&seat).await.err().as_deref(), Some("bad_ticket"), "used");
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "still there");
    Client::redeem(&elsewhere).await.expect("still good in its own room");
}

#[tokio::test]
async fn a_seat_whose_ticket_is_not_used_in_time_is_free_again() {
    let cluster = start_game(&["--ticket-ttl", "300ms"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    bob.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    let seat = ann.seat("create", json!({ "capacity": 1 })).await;
    // Listed with a player from the start.
    while bob.lobby().event("rooms").await[0]["players"] != 0 {}
    assert_eq!(Client::redeem(&seat).await.err().as_deref(), Some("bad_ticket"));
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    bob.seat("join", json!({ "room": seat["room"] })).await;
}

#[tokio::test]
async fn two_hundred_players_lose_no_first_event() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut bosses = boss.enter("create", json!({ "capacity": 201 })).await;
    let room = bosses.event("joined").await["room"].take();
    let speak = async |n: u64| {
        let mut player = cluster.player("Guest").await;
        let seat = player.seat("join", json!({ "room": room })).await;
        let client = Client::redeem(&seat).await.expect("a good ticket");
        client.emit("log", json!({ "n": n }));
        client
    };
    let mut guests = Vec::new();
    for twenty in (0..200).collect::<Vec<_>>().chunks(20) {
        guests.extend(join_all(twenty.iter().map(|n| speak(*n))).await);
    }
    for guest in &mut guests {
        // Answered after all earlier events.
        guest.ask("logged", json!({})).await.expect("still there");
    }
    let logged = bosses.ask("logged", json!({})).await.expect("the numbers");
    let logged: HashSet<u64> =
        logged.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(logged, (0..200).collect());
}
