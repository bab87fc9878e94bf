//! The state that all pages share, and each player's snapshot: when they are sent, and when not.

use std::time::{Duration, Instant};

use cluster::testing::Client;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, enter_arena, enter_room, features, start_features};

fn state(version: u64, n: u64) -> Value {
    json!({ "version": version, "state": { "n": n } })
}

/// Sets the number and syncs.
async fn set(client: &mut Client, n: u64) {
    client.ask("set", json!({ "n": n })).await.expect("set");
    client.ask("sync", json!({})).await.expect("marked");
}

#[tokio::test]
async fn the_state_comes_after_joined_and_before_what_on_join_sends() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let room = ann.ask("arena", json!({})).await.expect("a room");
    for player in [&mut ann, &mut bob] {
        let mut client = player.enter("join", json!({ "room": room })).await;
        assert_eq!(client.event("line").await, "welcome");
        assert_eq!(client.unheard()[..2], ["joined", "room_state"]);
        assert_eq!(client.event("room_state").await, state(1, 0), "unchanged since the first");
    }
}

#[tokio::test]
async fn a_sync_sends_a_new_state_to_all_and_not_the_same_again() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({})).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(1, 0));
    }
    set(&mut anns, 5).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(2, 5));
    }
    // The same number, which is encoded as the same bytes, by several syncs.
    anns.ask("sync_rate", json!({ "hz": 1_000_000 })).await.expect("set");
    for _ in 0..5 {
        set(&mut anns, 5).await;
    }
    set(&mut anns, 6).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(3, 6));
    }
}

/// A change at each tick, a thousand times a second.
async fn are_at_most(per_second: u128, options: Value) {
    const CHANGES: u64 = 600;
    let lobby = start_features(&NO_RATE_LIMITS).await;
    let mut ann = lobby.player("Ann").await;
    let (_, mut anns) = enter_arena(&mut ann, options).await;
    assert_eq!(anns.event("room_state").await, state(1, 0));
    anns.ask("tick_every", json!({ "ms": 1 })).await.expect("from now on");
    let started = Instant::now();
    anns.ask("count_by_tick", json!({ "to": CHANGES })).await.expect("it will");
    let (mut last, mut count) = (state(1, 0), 0);
    while last["state"]["n"] != CHANGES {
        let next = anns.event("room_state").await;
        assert_eq!(next["version"].as_u64(), last["version"].as_u64().map(|last| last + 1));
        assert!(next["state"]["n"].as_u64() > last["state"]["n"].as_u64());
        (last, count) = (next, count + 1);
    }
    let most = started.elapsed().as_millis() * per_second / 1000 + 2;
    assert!((2..=most).contains(&count), "{count} of at most {most}");
}

#[tokio::test]
async fn states_are_sent_at_most_twenty_times_a_second() {
    are_at_most(20, json!({})).await;
}

#[tokio::test]
async fn states_are_sent_at_most_as_often_as_the_room_has_set() {
    are_at_most(5, json!({ "sync_rate": 5 })).await;
}

#[tokio::test]
async fn the_first_sync_takes_effect_at_once_and_the_next_after_the_period() {
    let lobby = start_features(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let (_, mut anns) = enter_arena(&mut ann, json!({ "sync_rate": 1 })).await;
    assert_eq!(anns.event("room_state").await, state(1, 0));
    let before = Instant::now();
    // One state for all syncs of a hook.
    anns.ask("count", json!({ "to": 3 })).await.expect("counted");
    anns.ask("who_is_here", json!({})).await.expect("the state comes before this answer");
    let at_once = before.elapsed() < Duration::from_secs(1);
    assert!(!at_once || anns.unheard().contains(&"room_state"), "{:?}", anns.unheard());
    assert_eq!(anns.event("room_state").await, state(2, 3));
    for n in 4..=6 {
        set(&mut anns, n).await;
    }
    assert_eq!(anns.event("room_state").await, state(3, 6), "the latest");
    assert!(before.elapsed() >= Duration::from_millis(950), "{:?}", before.elapsed());
}

#[tokio::test]
async fn the_last_state_arrives_before_the_room_closes() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({ "sync_rate": 1 })).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(1, 0));
    }
    set(&mut anns, 1).await;
    // Within the period.
    anns.ask("finish", json!({ "n": 2 })).await.expect("it ends");
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(2, 1));
        assert_eq!(client.event("reroute").await["reason"]["code"], "finished");
        assert_eq!(client.event("room_state").await, state(3, 2));
    }
}

#[tokio::test]
async fn a_player_who_returns_gets_the_state_and_their_snapshot() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({ "grace_ms": 60_000 })).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    let card = json!({ "player": ann.you["id"], "card": 7 });
    anns.ask("deal", card).await.expect("dealt");
    set(&mut anns, 1).await;
    assert_eq!(anns.event("hand").await, json!({ "card": 7 }));
    drop(anns);
    bobs.event("player_disconnected").await;
    assert_eq!(bobs.event("room_state").await, state(1, 0));
    assert_eq!(bobs.event("room_state").await, state(2, 1));
    set(&mut bobs, 2).await;
    assert_eq!(bobs.event("room_state").await, state(3, 2));
    ann.back().await;
    let reroute = ann.rerouted().await;
    let mut anns = ann.take(&reroute).await;
    assert_eq!(anns.event("hand").await, json!({ "card": 7 }));
    assert_eq!(anns.unheard()[..2], ["joined", "room_state"]);
    assert_eq!(anns.event("room_state").await, state(3, 2));
}

#[tokio::test]
async fn a_snapshot_is_sent_to_its_player_alone_and_only_when_it_has_changed() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({ "sync_rate": 1_000_000 })).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    let deal = |card: u32| json!({ "player": ann.you["id"], "card": card });
    for n in 1..=3 {
        // The same card, and another state.
        bobs.ask("deal", deal(7)).await.expect("dealt");
        set(&mut bobs, n).await;
    }
    bobs.ask("deal", deal(8)).await.expect("dealt");
    bobs.ask("sync", json!({})).await.expect("marked");
    assert_eq!(anns.event("hand").await, json!({ "card": 7 }));
    assert_eq!(anns.event("hand").await, json!({ "card": 8 }));
    let states = async |client: &mut Client| {
        let last = client.event_where("room_state", |sent| sent["state"]["n"] == 3).await;
        client.ask("who_is_here", json!({})).await.expect("nothing comes before this");
        (last, client.unheard().contains(&"hand"))
    };
    // A new card is no new state.
    assert_eq!(states(&mut anns).await, (state(4, 3), false));
    assert_eq!(states(&mut bobs).await, (state(4, 3), false), "Bob has no card");
    assert!(!anns.unheard().contains(&"room_state") && !bobs.unheard().contains(&"room_state"));
}

#[tokio::test]
async fn a_panic_in_state_ends_the_room_as_in_any_hook() {
    let lobby = start_features(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let (_, mut anns) = enter_arena(&mut ann, json!({ "panics_at": 13 })).await;
    anns.ask("set", json!({ "n": 13 })).await.expect("set");
    anns.emit("sync", json!({}));
    assert_eq!(anns.event("reroute").await["reason"], json!({ "code": "crashed" }));
    let what = lobby.logged("room crashed").await["what"].take();
    assert!(what.as_str().is_some_and(|what| what.starts_with("state panicked: ")), "{what}");
}

#[tokio::test]
async fn a_panic_in_state_may_end_only_that_call() {
    let lobby = features(&["--on-room-panic", "continue"]).start().await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let options = json!({ "panics_at": 13, "sync_rate": 1_000_000 });
    let (room, mut anns) = enter_arena(&mut ann, options).await;
    assert_eq!(anns.event("room_state").await, state(1, 0));
    set(&mut anns, 13).await;
    // Bob gets the last state that there was.
    let mut bobs = enter_room(&mut bob, &room).await;
    assert_eq!(bobs.event("room_state").await, state(1, 0));
    set(&mut anns, 14).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("room_state").await, state(2, 14));
    }
}
