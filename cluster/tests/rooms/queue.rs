//! The queue (`queue.rs`) with two kinds of games: a duel always needs two players; of a crowd of
//! four, two may play after a while.

use std::time::Duration;

use cluster::testing::{LobbyProcess, TestPlayer, eventually};
use serde_json::{Value, json};

use crate::common::start_game;

async fn queue(player: &mut TestPlayer, kind: &str) {
    player.ask("queue", json!({ "kind": kind })).await.expect("anyone may");
}

async fn place(player: &mut TestPlayer) -> (u64, u64) {
    let told = player.lobby().event("place").await;
    (told["place"].as_u64().expect("a place"), told["waiting"].as_u64().expect("a number"))
}

async fn players<const N: usize>(cluster: &LobbyProcess) -> [TestPlayer; N] {
    let mut players = Vec::new();
    for n in 0..N {
        players.push(cluster.player(&format!("P{n}")).await);
    }
    players.try_into().ok().expect("so many")
}

/// Follows the reroute. Returns the room and its title.
async fn seated(player: &mut TestPlayer) -> (Value, Value) {
    let room = player.rerouted().await["room"].take();
    let rooms = player.ask("list", json!({})).await.expect("the rooms");
    let title = rooms.as_array().unwrap().iter().find(|info| info["room"] == room).expect("a room")
        ["options"]["title"]
        .clone();
    (room, title)
}

#[tokio::test]
async fn queued_players_know_their_place_and_join_together() {
    let cluster = start_game(&[]).await;
    let [mut ann, mut bob, mut cid] = players(&cluster).await;
    queue(&mut ann, "duel").await;
    assert_eq!(place(&mut ann).await, (1, 1));
    queue(&mut bob, "duel").await;
    let (room, title) = seated(&mut ann).await;
    assert_eq!((&seated(&mut bob).await.0, &title), (&room, &json!("Duel of 2")));
    queue(&mut cid, "duel").await;
    assert_eq!(place(&mut cid).await, (1, 1), "the others do not wait any more");
    let about = cid.ask("about", json!({ "room": room })).await.expect("a room");
    assert_eq!(about["host"], Value::Null);
}

#[tokio::test]
async fn after_a_while_a_smaller_group_is_matched_but_never_one_player() {
    let cluster = start_game(&[]).await;
    let [mut ann, mut bob, mut cid] = players(&cluster).await;
    queue(&mut ann, "crowd").await;
    assert_eq!(place(&mut ann).await, (1, 1));
    queue(&mut bob, "crowd").await;
    assert_eq!((place(&mut ann).await, place(&mut bob).await), ((1, 2), (2, 2)));
    let (room, title) = seated(&mut ann).await;
    assert_eq!((&seated(&mut bob).await.0, &title), (&room, &json!("Crowd of 2")));
    // One player alone keeps waiting; the next one completes the pair.
    queue(&mut cid, "crowd").await;
    assert_eq!(place(&mut cid).await, (1, 1));
    let patience = tokio::time::timeout(Duration::from_millis(600), cid.rerouted()).await;
    assert!(patience.is_err(), "{patience:?}");
    let [mut dan] = players(&cluster).await;
    queue(&mut dan, "crowd").await;
    assert_eq!(seated(&mut cid).await.0, seated(&mut dan).await.0);
}

#[tokio::test]
async fn a_player_is_in_one_queue_only_once() {
    let cluster = start_game(&[]).await;
    let [mut ann, mut bob, mut cid] = players(&cluster).await;
    queue(&mut ann, "duel").await;
    queue(&mut ann, "duel").await;
    queue(&mut ann, "crowd").await;
    for _ in 0..3 {
        assert_eq!(place(&mut ann).await, (1, 1));
    }
    queue(&mut bob, "duel").await;
    assert_eq!(place(&mut bob).await, (1, 1));
    queue(&mut cid, "duel").await;
    assert_eq!(seated(&mut bob).await, seated(&mut cid).await);
    assert!(!ann.lobby().unheard().contains(&"reroute"));
}

#[tokio::test]
async fn leaving_the_queue_or_the_lobby_ends_the_wait() {
    let cluster = start_game(&[]).await;
    let [mut ann, mut bob, mut cid, mut dan] = players(&cluster).await;
    queue(&mut ann, "duel").await;
    ann.ask("unqueue", json!({})).await.expect("anyone may");
    ann.ask("unqueue", json!({})).await.expect("twice is no error");
    queue(&mut bob, "duel").await;
    assert_eq!(place(&mut bob).await, (1, 1));
    drop(bob.lobby.take());
    eventually("they are gone", || (cluster.count("left the lobby") == 1).then_some(())).await;
    queue(&mut cid, "duel").await;
    assert_eq!(place(&mut cid).await, (1, 1));
    queue(&mut dan, "duel").await;
    assert_eq!(seated(&mut cid).await, seated(&mut dan).await);
    bob.back().await;
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
}

#[tokio::test]
async fn a_player_replaced_by_another_window_can_queue_again_there() {
    let cluster = start_game(&[]).await;
    let [mut ann, mut bob] = players(&cluster).await;
    queue(&mut ann, "duel").await;
    let old = ann.lobby.take();
    ann.back().await;
    queue(&mut ann, "duel").await;
    assert_eq!(place(&mut ann).await, (1, 1));
    queue(&mut bob, "duel").await;
    assert_eq!(seated(&mut ann).await, seated(&mut bob).await);
    drop(old);
}

#[tokio::test]
async fn the_queue_survives_while_no_room_can_be_opened() {
    let cluster = start_game(&["--max-rooms", "1", "--stop-timeout", "100ms"]).await;
    let mut boss = cluster.player("Boss").await;
    let room = boss.ask("open", json!({})).await.expect("the only one");
    let [mut ann, mut bob, mut cid, mut dan] = players(&cluster).await;
    for player in [&mut ann, &mut bob, &mut cid, &mut dan] {
        queue(player, "duel").await;
    }
    let tries = "the queue cannot open a room";
    // Each new player causes an attempt, and two more follow.
    eventually("tries", || (cluster.count(tries) >= 3 + 2).then_some(())).await;
    // Sent when it changed and not at each attempt: one, two, three, four players.
    for (n, waiting) in (1..=4).enumerate() {
        assert_eq!(place(&mut ann).await, (1, waiting), "{n}");
    }
    ann.ask("list", json!({})).await.expect("nothing comes after this");
    assert!(!ann.lobby().unheard().contains(&"place"), "{:?}", ann.lobby().unheard());
    boss.ask("close", json!({ "room": room })).await.expect("its room");
    assert_eq!(seated(&mut ann).await, seated(&mut bob).await);
    assert_eq!(place(&mut cid).await, (3, 3));
    while place(&mut cid).await != (1, 2) {}
}
