//! Presence: where each player is, for hooks and for pages that may watch; and the hooks for those
//! who join and leave rooms.

use std::time::Instant;

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, enter_arena, enter_room, start_features};

/// Where a player is; `null` if nowhere.
async fn find(boss: &mut TestPlayer, player: &TestPlayer) -> Value {
    boss.ask("find", json!({ "player": player.you["id"] })).await.expect("an answer")
}

async fn found(boss: &mut TestPlayer, player: &TestPlayer, place: Value) {
    let asked = json!({ "player": player.you["id"] });
    boss.ask_until("find", asked, |found| *found == place).await;
}

fn at(place: &str, room: &Value) -> Value {
    json!({ "place": place, "room": room })
}

#[tokio::test]
async fn a_player_is_found_in_the_lobby_on_the_way_in_a_room_and_away() {
    let lobby = start_features(&[]).await;
    let (mut boss, mut ann) = (lobby.player("Boss").await, lobby.player("Ann").await);
    let in_lobby = json!({ "place": "lobby" });
    assert_eq!(find(&mut boss, &ann).await, in_lobby);
    let options = json!({ "options": { "grace_ms": 60_000 } });
    let room = ann.ask("arena", options).await.expect("a room");
    assert_eq!(find(&mut boss, &ann).await, in_lobby, "the host has no seat");
    let reroute = ann.seat("join", json!({ "room": room })).await;
    assert_eq!(find(&mut boss, &ann).await, at("on_the_way", &room));
    let mut anns = ann.take(&reroute).await;
    anns.event("joined").await;
    found(&mut boss, &ann, at("room", &room)).await;
    drop(anns);
    let asked = json!({ "player": ann.you["id"] });
    boss.ask_until("find", asked, |found| found["place"] == "away").await;
    let away = find(&mut boss, &ann).await;
    assert_eq!(away["room"], room);
    let left = away["left_ms"].as_u64().expect("a time");
    assert!((1..60_000).contains(&left), "{left}");
    // Back in the lobby, which reroutes them.
    ann.back().await;
    let reroute = ann.rerouted().await;
    assert_eq!(find(&mut boss, &ann).await["place"], "lobby", "until they go");
    ann.take(&reroute).await.leave().await;
    found(&mut boss, &ann, Value::Null).await;
    assert_eq!(boss.ask("find", json!({ "player": "nobody" })).await, Ok(Value::Null));
}

#[tokio::test]
async fn a_player_who_moves_is_found_in_one_room_and_then_in_the_other() {
    let lobby = start_features(&[]).await;
    let (mut boss, mut ann) = (lobby.player("Boss").await, lobby.player("Ann").await);
    let (here, mut anns) = enter_arena(&mut ann, json!({})).await;
    found(&mut boss, &ann, at("room", &here)).await;
    let there = boss.ask("arena", json!({})).await.expect("a room");
    anns.ask("send_to_room", json!({ "player": ann.you["id"], "room": there })).await.expect("ok");
    let reroute = ann.route(anns.event("reroute").await);
    found(&mut boss, &ann, at("on_the_way", &there)).await;
    let mut anns = Client::redeem(&reroute).await.expect("a good ticket");
    anns.event("joined").await;
    found(&mut boss, &ann, at("room", &there)).await;
}

#[tokio::test]
async fn all_players_are_listed_with_their_places_sorted_by_id() {
    let lobby = start_features(&[]).await;
    let player = async |id: &str| lobby.player_as(json!({ "id": id, "name": id })).await;
    let (mut a, mut b, mut c) = (player("a").await, player("b").await, player("c").await);
    let private = json!({ "private": true });
    let room = b.ask("arena", private).await.expect("a room");
    let _bs = enter_room(&mut b, &room).await;
    found(&mut a, &b, at("room", &room)).await;
    c.lobby.take().expect("in the lobby").leave().await;
    found(&mut a, &c, Value::Null).await;
    let everyone = a.ask("everyone", json!({})).await;
    let in_lobby = json!({ "place": "lobby" });
    // Hooks see private rooms.
    assert_eq!(everyone, Ok(json!([[a.you, in_lobby], [b.you, at("room", &room)]])));
}

#[tokio::test]
async fn pages_may_not_watch_players_unless_the_lobby_allows_it() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut boss) = (lobby.player("Ann").await, lobby.player("Boss").await);
    let mut visitor = lobby.visitor().await;
    assert_eq!(ann.ask("watch_players", json!({})).await, Err("not_allowed".into()));
    boss.ask("watching", json!({ "allowed": true })).await.expect("from now on");
    assert_eq!(visitor.ask("watch_players", json!({})).await, Err("not_registered".into()));
    assert_eq!(ann.ask("watch_players", json!(7)).await, Err("bad_message".into()));
    ann.ask("watch_players", json!({})).await.expect("allowed");
    let entry = |player: &TestPlayer, place: &str, room: &Value| {
        let TestPlayer { you, .. } = player;
        json!({
            "id": you["id"], "name": you["name"], "profile": you["profile"],
            "place": place, "room": room,
        })
    };
    let has = |wanted: Vec<Value>| {
        move |list: &Value| {
            let list = list.as_array().expect("a list");
            list.len() == wanted.len() && wanted.iter().all(|entry| list.contains(entry))
        }
    };
    let here = entry(&ann, "lobby", &Value::Null);
    let first = ann.lobby().event("players").await;
    assert!(has(vec![here.clone(), entry(&boss, "lobby", &Value::Null)])(&first), "{first}");
    let public = boss.ask("arena", json!({})).await.expect("a room");
    let mut client = enter_room(&mut boss, &public).await;
    let there = vec![here.clone(), entry(&boss, "room", &public)];
    ann.lobby().event_where("players", has(there)).await;
    // The number of a private room is not shown.
    let private = ann.ask("arena", json!({ "private": true })).await.expect("a room");
    let asked = json!({ "players": [boss.you["id"]], "room": private });
    ann.ask("send_there", asked).await.expect("a private one as well");
    let mut client = boss.follow(&mut client).await;
    client.event("joined").await;
    let hidden = vec![here.clone(), entry(&boss, "room", &Value::Null)];
    ann.lobby().event_where("players", has(hidden)).await;
    client.leave().await;
    ann.lobby().event_where("players", has(vec![here])).await;
    ann.ask("unwatch_players", json!({})).await.expect("anyone may");
    boss.back().await;
    boss.ask("find", json!({ "player": "nobody" })).await.expect("in the lobby");
    // A list that is watched again comes at once, and nothing before it.
    ann.lobby().forget();
    ann.ask("watch_players", json!({})).await.expect("allowed");
    let back = vec![entry(&ann, "lobby", &Value::Null), entry(&boss, "lobby", &Value::Null)];
    let list = ann.lobby().event("players").await;
    assert!(has(back)(&list), "{list}");
}

#[tokio::test]
async fn many_changes_are_one_list() {
    const PLAYERS: usize = 60;
    let lobby = start_features(&NO_RATE_LIMITS).await;
    let mut boss = lobby.player("Boss").await;
    boss.ask("watching", json!({ "allowed": true })).await.expect("from now on");
    boss.ask("watch_players", json!({})).await.expect("allowed");
    boss.lobby().event("players").await;
    let started = Instant::now();
    let names: Vec<_> = (0..PLAYERS).map(|n| format!("P{n}")).collect();
    let _players =
        futures_util::future::join_all(names.iter().map(|name| lobby.player(name))).await;
    let mut lists = 1;
    while boss.lobby().event("players").await.as_array().map(Vec::len) != Some(PLAYERS + 1) {
        lists += 1;
    }
    let most = started.elapsed().as_millis() as usize / 100 + 2;
    assert!(lists <= most.min(PLAYERS - 1), "{lists} of at most {most}");
}

/// Ann is in a room, which keeps their seat for this time, with Bob; a boss watches from the lobby.
struct Story {
    lobby: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    anns: Client,
    bobs: Client,
    room: Value,
}

impl Story {
    async fn begin(grace_ms: u64) -> Story {
        let lobby = start_features(&[]).await;
        let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
        let boss = lobby.player("Boss").await;
        let options = match grace_ms {
            0 => json!({}),
            _ => json!({ "grace_ms": grace_ms }),
        };
        let (room, anns) = enter_arena(&mut ann, options).await;
        let bobs = enter_room(&mut bob, &room).await;
        Story { lobby, boss, ann, anns, bobs, room }
    }

    /// `on_player_joined` and `on_player_left` were called for Ann in this way, and are not called
    /// again: each room, with the reason for a leave.
    async fn calls(&mut self, expected: Vec<Value>) {
        let calls = |calls: &Value| -> Vec<Value> {
            let calls = calls.as_array().expect("a list").iter();
            let anns =
                calls.filter(|call| call["player"] == self.ann.you && call["hook"] != "on_arrive");
            let calls = anns.map(|call| match call["hook"] == "on_player_joined" {
                true => call["room"].clone(),
                false => json!([call["room"], call["reason"]]),
            });
            calls.collect()
        };
        self.boss.ask_until("calls", json!({}), |all| calls(all).len() >= expected.len()).await;
        // Rooms report in order, so a further call would come before that of another player.
        let mut cid = self.lobby.player("Cid").await;
        let (room, _cids) = enter_arena(&mut cid, json!({})).await;
        let joined = |all: &Value| {
            let all = all.as_array().expect("a list");
            all.iter().any(|call| call["hook"] == "on_player_joined" && call["room"] == room)
        };
        self.boss.ask_until("calls", json!({}), joined).await;
        let all = self.boss.ask("calls", json!({})).await.expect("a list");
        assert_eq!(calls(&all), expected);
    }

    fn left(&self, reason: &str) -> Vec<Value> {
        vec![self.room.clone(), json!([self.room, reason])]
    }
}

#[tokio::test]
async fn the_lobby_hears_once_of_a_player_who_joins_and_leaves() {
    let mut story = Story::begin(0).await;
    story.calls(vec![story.room.clone()]).await;
    let anns = std::mem::replace(&mut story.anns, story.lobby.visitor().await);
    anns.leave().await;
    story.calls(story.left("left")).await;
}

#[tokio::test]
async fn the_lobby_hears_once_of_a_player_who_is_kicked() {
    let mut story = Story::begin(0).await;
    let ann = json!({ "player": story.ann.you["id"] });
    story.bobs.ask("kick_from_room", ann).await.expect("anyone may");
    assert!(story.anns.end().await);
    story.calls(story.left("by the room")).await;
    let mut story = Story::begin(60_000).await;
    let ann = json!({ "player": story.ann.you["id"] });
    story.boss.ask("kick", ann).await.expect("anyone may");
    assert!(story.anns.end().await);
    story.calls(story.left("by the lobby")).await;
}

#[tokio::test]
async fn the_lobby_hears_once_of_the_players_of_a_room_that_crashes_or_is_killed() {
    let mut story = Story::begin(60_000).await;
    story.bobs.emit("crash", json!({}));
    assert!(story.anns.end().await);
    story.calls(story.left("crashed")).await;
    let mut story = Story::begin(60_000).await;
    story.lobby.signal_room(&story.room, Signal::KILL).await;
    story.anns.end().await;
    story.calls(story.left("crashed")).await;
}

#[tokio::test]
async fn the_lobby_hears_once_of_the_players_of_a_room_that_ends() {
    let mut story = Story::begin(60_000).await;
    story.bobs.ask("finish", json!({ "n": 1 })).await.expect("anyone may");
    assert!(story.anns.end().await);
    story.calls(story.left("finished")).await;
}

#[tokio::test]
async fn a_transfer_is_a_leave_and_a_join() {
    let mut story = Story::begin(0).await;
    let there = story.boss.ask("arena", json!({})).await.expect("a room");
    let asked = json!({ "player": story.ann.you["id"], "room": there });
    story.bobs.ask("send_to_room", asked).await.expect("anyone may");
    story.anns = story.ann.follow(&mut story.anns).await;
    story.anns.event("joined").await;
    story.calls([story.left("moved"), vec![there]].concat()).await;
}

#[tokio::test]
async fn a_player_who_reconnects_has_not_left_and_joins_once() {
    let mut story = Story::begin(60_000).await;
    story.anns = story.lobby.visitor().await;
    story.bobs.event("player_disconnected").await;
    story.ann.back().await;
    let reroute = story.ann.rerouted().await;
    story.anns = story.ann.take(&reroute).await;
    story.anns.event("joined").await;
    story.calls(vec![story.room.clone()]).await;
    // Another window.
    story.ann.back().await;
    let reroute = story.ann.rerouted().await;
    story.anns = story.ann.take(&reroute).await;
    story.anns.event("joined").await;
    story.calls(vec![story.room.clone()]).await;
}

#[tokio::test]
async fn a_player_who_does_not_return_in_time_has_left() {
    let mut story = Story::begin(100).await;
    story.anns = story.lobby.visitor().await;
    story.bobs.event("player_left").await;
    story.calls(story.left("dropped")).await;
}

#[tokio::test]
async fn a_player_who_never_came_has_neither_joined_nor_left() {
    let lobby = start_features(&["--ticket-ttl", "200ms"]).await;
    let (mut boss, mut ann) = (lobby.player("Boss").await, lobby.player("Ann").await);
    let room = boss.ask("arena", json!({})).await.expect("a room");
    ann.seat("join", json!({ "room": room })).await;
    boss.ask_until("all_rooms", json!({}), |rooms| rooms["arena"][0]["players"] == 0).await;
    let calls = boss.ask("calls", json!({})).await.expect("a list");
    assert!(calls.as_array().expect("a list").iter().all(|call| call["hook"] == "on_arrive"));
}
