//! Listings: what the list of rooms shows of a room, and may change while it runs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{NO_RATE_LIMITS, enter_arena, enter_room, start_features};

#[tokio::test]
async fn a_listing_is_seen_by_hooks_by_pick_and_by_pages() {
    let lobby = start_features(&[]).await;
    let mut visitor = lobby.visitor().await;
    visitor.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (mut cid, mut boss) = (lobby.player("Cid").await, lobby.player("Boss").await);
    let (_, _anns) = enter_arena(&mut ann, json!({})).await;
    let (room, mut bobs) = enter_arena(&mut bob, json!({})).await;
    let listed = |score: u32, text: &str| json!({ "score": score, "text": text });
    visitor.event_where("rooms", |rooms| rooms[1]["listing"] == listed(0, "")).await;
    bobs.ask("list", listed(5, "half time")).await.expect("a small one");
    visitor
        .event_where("rooms", |rooms| {
            let [first, second] = [0, 1].map(|at| &rooms[at]["listing"]);
            (first, second) == (&listed(0, ""), &listed(5, "half time"))
        })
        .await;
    let rooms = boss.ask("all_rooms", json!({})).await.expect("a list");
    assert_eq!(rooms["arena"][1]["listing"], listed(5, "half time"));
    // The game picks the highest score.
    assert_eq!(cid.ask("play", json!({})).await.expect("a seat")["room"], room);
    // And `on_room_exit` has the last one.
    bobs.ask("finish", json!({ "n": 1 })).await.expect("it ends");
    let has_exited = |calls: &serde_json::Value| {
        let mut calls = calls.as_array().expect("a list").iter();
        calls
            .any(|call| call["hook"] == "on_room_exit" && call["listing"] == listed(5, "half time"))
    };
    boss.ask_until("calls", json!({}), has_exited).await;
}

/// A thousand changes in a second or more.
#[tokio::test]
async fn the_lobby_and_pages_are_told_at_most_ten_times_a_second() {
    const CHANGES: u64 = 1000;
    let lobby = start_features(&NO_RATE_LIMITS).await;
    let mut visitor = lobby.visitor().await;
    let (mut ann, mut boss) = (lobby.player("Ann").await, lobby.player("Boss").await);
    let (_, mut anns) = enter_arena(&mut ann, json!({})).await;
    visitor.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    visitor.event("rooms").await;
    let started = Instant::now();
    anns.ask("list_by_tick", json!({ "to": CHANGES })).await.expect("it will");
    anns.ask("tick_every", json!({ "ms": 1 })).await.expect("it will");
    let mut seen = BTreeSet::new();
    while !seen.contains(&CHANGES) {
        let rooms = boss.ask("all_rooms", json!({})).await.expect("a list");
        seen.insert(rooms["arena"][0]["listing"]["score"].as_u64().expect("a number"));
        assert!(started.elapsed() < Duration::from_secs(60), "{seen:?}");
    }
    let mut sent = 1;
    while visitor.event("rooms").await[0]["listing"]["score"] != CHANGES {
        sent += 1;
    }
    let most = started.elapsed().as_millis() as usize / 100 + 2;
    assert!((3..=most).contains(&seen.len()), "{} of at most {most}", seen.len());
    assert!((3..=most).contains(&sent), "{sent} of at most {most}");
}

#[tokio::test]
async fn a_listing_of_more_than_1_kib_is_logged_and_not_shown() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut boss) = (lobby.player("Ann").await, lobby.player("Boss").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({})).await;
    let fits = 1024 - json!({ "score": 1, "text": "" }).to_string().len();
    let listing = |bytes: usize| json!({ "score": 1, "text": "x".repeat(bytes) });
    anns.ask("list", listing(fits)).await.expect("1 KiB");
    let rooms = |wanted: serde_json::Value| {
        move |rooms: &serde_json::Value| rooms["arena"][0]["listing"] == wanted
    };
    boss.ask_until("all_rooms", json!({}), rooms(listing(fits))).await;
    anns.ask("list", listing(fits + 1)).await.expect("the room is not refused");
    let why = "a listing cannot be passed on error=1025 bytes are over the limit of 1024";
    assert_eq!(lobby.logged(why).await["room"], room);
    anns.ask("list", json!({ "score": 2, "text": "" })).await.expect("a small one");
    let listing =
        boss.ask("all_rooms", json!({})).await.expect("a list")["arena"][0]["listing"].take();
    assert!(listing["score"] == 2 || listing["text"].as_str().map(str::len) == Some(fits));
    boss.ask_until("all_rooms", json!({}), rooms(json!({ "score": 2, "text": "" }))).await;
    enter_room(&mut boss, &room).await;
}
