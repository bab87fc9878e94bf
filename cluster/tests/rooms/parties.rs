//! Parties: either all members get seats or none does.

use cluster::testing::{LobbyProcess, TestPlayer};
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::start_game;

async fn players(cluster: &LobbyProcess, count: usize) -> Vec<TestPlayer> {
    join_all((0..count).map(async |n| cluster.player(&format!("P{n}")).await)).await
}

/// The first member's request to join with the others.
fn together(room: &Value, party: &[TestPlayer]) -> Value {
    let others: Vec<_> = party[1..].iter().map(|player| &player.you).collect();
    json!({ "room": room, "with": others })
}

#[tokio::test]
async fn a_party_joins_together() {
    let cluster = start_game(&[]).await;
    let mut party = players(&cluster, 3).await;
    let room = party[0].ask("open", json!({ "capacity": 3 })).await.expect("a room");
    let asked = together(&room, &party);
    assert_eq!(party[0].ask("together", asked).await, Ok(json!({ "room": room })));
    for player in &mut party {
        let reroute = player.rerouted().await;
        assert_eq!(player.take(&reroute).await.event("joined").await["room"], room);
    }
}

#[tokio::test]
async fn a_party_larger_than_the_free_seats_gets_none() {
    let cluster = start_game(&[]).await;
    let mut party = players(&cluster, 4).await;
    let room = party[0].ask("open", json!({ "capacity": 4 })).await.expect("a room");
    let mut sitting = cluster.player("Sitting").await;
    sitting.seat("join", json!({ "room": room })).await;
    let asked = together(&room, &party);
    assert_eq!(party[0].ask("together", asked).await, Err("room_full".into()));
    assert_eq!(party[0].ask("about", json!({ "room": room })).await.unwrap()["players"], 1);
    // A player who is in the room already needs no second seat.
    let asked = json!({ "room": room, "with": [party[1].you, party[2].you] });
    sitting.ask("together", asked).await.expect("three more seats");
    for player in &mut party[1..3] {
        player.rerouted().await;
    }
}

#[tokio::test]
async fn if_a_room_refuses_one_member_the_whole_party_stays_and_is_told_why() {
    let cluster = start_game(&[]).await;
    let mut party = players(&cluster, 3).await;
    let new = json!({ "capacity": 3, "options": { "banned": "P1" } });
    let room = party[0].ask("open", new).await.expect("a room");
    let asked = together(&room, &party);
    assert_eq!(party[0].ask("together", asked).await, Err("banned".into()));
    let refused = json!({ "event": "reroute", "code": "banned", "message": "Not you." });
    for player in &mut party[1..] {
        assert_eq!(player.lobby().event("refused").await, refused);
    }
    for player in &mut party {
        assert_eq!(player.ask("seat_of", json!({})).await, Ok(Value::Null));
        assert!(!player.lobby().unheard().contains(&"reroute"));
    }
    // The requester was answered; players who did not ask are told by an event.
    assert!(!party[0].lobby().unheard().contains(&"refused"));
    let all: Vec<_> = party.iter().map(|player| player.you.clone()).collect();
    party[0].ask("send_there", json!({ "players": all, "room": room })).await.expect("tried");
    for player in &mut party {
        assert_eq!(player.lobby().event("refused").await, refused);
    }
}

#[tokio::test]
async fn a_player_listed_twice_in_a_party_gets_one_seat() {
    let cluster = start_game(&[]).await;
    let mut party = players(&cluster, 2).await;
    let room = party[0].ask("open", json!({ "capacity": 2 })).await.expect("a room");
    let (ann, bob) = (party[0].you.clone(), party[1].you.clone());
    let asked = json!({ "room": room, "with": [bob, ann, bob, bob] });
    party[0].ask("together", asked).await.expect("two seats");
    let reroute = party[1].rerouted().await;
    let mut bobs = party[1].take(&reroute).await;
    let reroute = party[0].rerouted().await;
    party[0].take(&reroute).await.event("joined").await;
    bobs.event("player_joined").await;
    assert_eq!(bobs.ask("census", json!({})).await.unwrap()["joins"], 2);
}

#[tokio::test]
async fn a_party_has_32_players_at_most() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({ "capacity": 100 })).await.expect("a room");
    // The longest names: 32 of them still fit into one frame.
    let name = "\u{10ffff}".repeat(24);
    let guest = |n: usize| json!({ "id": format!("{n:032}"), "name": name });
    let party = |count| json!({ "room": room, "with": (1..count).map(guest).collect::<Vec<_>>() });
    assert_eq!(ann.ask("together", party(33)).await, Err("party_too_large".into()));
    assert_eq!(ann.ask("together", party(32)).await, Ok(json!({ "room": room })));
    assert_eq!(ann.ask("about", json!({ "room": room })).await.unwrap()["players"], 32);
}

#[tokio::test]
async fn if_the_room_dies_the_requester_is_answered_and_the_party_is_told() {
    let cluster = start_game(&["--ready-timeout", "2s"]).await;
    let mut party = players(&cluster, 3).await;
    let new = json!({ "options": { "opening": "never" } });
    let room = party[0].ask("open", new).await.expect("a room");
    let asked = together(&room, &party);
    assert_eq!(party[0].ask("together", asked).await, Err("no_room".into()));
    for player in &mut party[1..] {
        assert_eq!(player.lobby().event("refused").await["code"], "no_room");
        assert_eq!(player.ask("seat_of", json!({})).await, Ok(Value::Null));
    }
}

#[tokio::test]
async fn a_party_member_in_another_room_goes_along() {
    let cluster = start_game(&[]).await;
    let mut party = players(&cluster, 2).await;
    let mut before = party[1].enter("create", json!({})).await;
    before.event("joined").await;
    let room = party[0].ask("open", json!({})).await.expect("a room");
    let asked = together(&room, &party);
    party[0].ask("together", asked).await.expect("two seats");
    party[0].rerouted().await;
    let mut after = party[1].follow(&mut before).await;
    assert_eq!(after.event("joined").await["room"], room);
}

#[tokio::test]
async fn a_party_member_who_leaves_the_lobby_misses_only_the_reroute() {
    let cluster = start_game(&["--ticket-ttl", "2s"]).await;
    let mut party = players(&cluster, 3).await;
    let room = party[0].ask("open", json!({ "capacity": 3 })).await.expect("a room");
    party[0].lobby().event("ready").await;
    cluster.signal_room(&room, Signal::STOP).await;
    let asked = together(&room, &party);
    party[0].lobby().emit("together", asked);
    party[0].ask("list", json!({})).await.expect("the lobby has heard it");
    party[1].lobby.take().expect("in the lobby").leave().await;
    // The requester is gone as well: there is no request to answer.
    party[0].lobby.take().expect("in the lobby").leave().await;
    cluster.signal_room(&room, Signal::CONT).await;
    let reroute = party[2].rerouted().await;
    let mut stays = party[2].take(&reroute).await;
    stays.event("joined").await;
    // The others' seats expire and are free again.
    let mut boss = cluster.player("Boss").await;
    boss.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    while boss.lobby().event("rooms").await[0]["players"] != 1 {}
    party[1].back().await;
    assert_eq!(party[1].ask("seat_of", json!({})).await, Ok(Value::Null));
    party[1].enter("join", json!({ "room": room })).await;
}

#[tokio::test]
async fn a_party_member_is_told_of_a_refusal_after_the_requester_asks_again() {
    let cluster = start_game(&["--ready-timeout", "2s"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let never = json!({ "options": { "opening": "never" } });
    let room = ann.ask("open", never).await.expect("a room");
    ann.lobby().emit("together", json!({ "room": room, "with": [bob.you] }));
    // From now on Ann waits for the second request, and Bob still for the first.
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("no_room".into()));
    assert_eq!(bob.lobby().event("refused").await["code"], "no_room");
}

#[tokio::test]
async fn a_party_whose_players_are_all_in_the_room_has_joined() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let party = json!({ "players": [ann.you], "room": room });
    assert_eq!(boss.ask("join_for", party).await, Ok(json!({ "room": room })));
    anns.ask("about", json!({})).await.expect("they are still there");
    assert!(!anns.unheard().contains(&"refused"));
}
