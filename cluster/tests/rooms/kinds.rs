//! Kinds of rooms: several in one lobby, each with its own name, limits and hooks.

use std::fs;

use cluster::testing::{TestFolder, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{command, enter_arena, features, game, start_features};

#[tokio::test]
async fn a_kind_is_played_by_its_name_and_the_first_by_default() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (mut cid, mut boss) = (lobby.player("Cid").await, lobby.player("Boss").await);
    boss.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    let first = ann.ask("play", json!({})).await.expect("a seat")["room"].take();
    let chat = bob.ask("play", json!({ "kind": "chat" })).await.expect("a seat")["room"].take();
    let arena = cid.ask("play", json!({ "kind": "arena" })).await.expect("a seat")["room"].take();
    assert_eq!(first, arena, "the default is the first kind, and they meet");
    let both = |rooms: &Value| rooms.as_array().is_some_and(|rooms| rooms.len() == 2);
    let rooms = boss.lobby().event_where("rooms", both).await;
    let kinds: Vec<_> = rooms
        .as_array()
        .expect("a list")
        .iter()
        .map(|room| (&room["room"], &room["kind"]))
        .collect();
    assert_eq!(kinds, [(&arena, &json!("arena")), (&chat, &json!("chat"))]);
    assert_eq!(boss.ask("play", json!({ "kind": "chess" })).await, Err("no_such_kind".into()));
}

#[tokio::test]
async fn a_room_has_the_seats_of_its_kind_unless_it_is_created_with_others() {
    let lobby = start_features(&["--seats", "5"]).await;
    let mut boss = lobby.player("Boss").await;
    let of_the_flag = boss.ask("arena", json!({})).await.expect("a room");
    let of_its_own = boss.ask("arena", json!({ "seats": 3 })).await.expect("a room");
    let chat = boss.ask("chat", json!({})).await.expect("a room");
    let worker = boss.ask("worker", json!({})).await.expect("a room");
    let rooms = boss.ask("all_rooms", json!({})).await.expect("a list");
    let seats = |room: &Value| {
        let kinds = rooms.as_object().expect("kinds").values();
        let mut rooms = kinds.flat_map(|rooms| rooms.as_array().expect("rooms"));
        rooms.find(|found| found["room"] == *room).expect("it is there")["capacity"].clone()
    };
    assert_eq!([&of_the_flag, &of_its_own, &chat, &worker].map(seats), [5, 3, 2, 0]);
    let mut chats = vec![];
    for name in ["Ann", "Bob", "Cid"] {
        let mut player = lobby.player(name).await;
        chats.push(player.ask("play", json!({ "kind": "chat" })).await.expect("a seat"));
    }
    assert_eq!(chats[0], chats[1]);
    assert_ne!(chats[1], chats[2], "the third has no seat there");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_room_has_the_memory_of_its_kind() {
    let memory = (32 << 20).to_string();
    let lobby = features(&[]).env("CHAT_MEMORY", &memory).start().await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (_, mut arena) = enter_arena(&mut ann, json!({})).await;
    let mut chat = bob.enter("play", json!({ "kind": "chat" })).await;
    chat.ask("text", json!("hello")).await.expect("it lives");
    chat.emit("hog", json!({}));
    chat.end().await;
    assert_eq!(bob.back().await["returned"]["reason"], json!({ "code": "crashed" }));
    let what = lobby.logged("room crashed").await["what"].take();
    assert!(what.as_str().is_some_and(|what| what.contains("memory allocation of")), "{what}");
    arena.ask("hog", json!({})).await.expect("it may have as much");
}

#[tokio::test]
async fn hooks_see_and_reach_only_rooms_of_the_kind_that_they_name() {
    let lobby = start_features(&[]).await;
    let mut boss = lobby.player("Boss").await;
    let arena = boss.ask("arena", json!({})).await.expect("a room");
    let chat = boss.ask("chat", json!({})).await.expect("a room");
    let worker = boss.ask("worker", json!({})).await.expect("a room");
    let rooms = boss.ask("all_rooms", json!({})).await.expect("a list");
    let of = |kind: &str| rooms[kind].as_array().expect("a list").iter().map(|room| &room["room"]);
    assert!(of("arena").eq([&arena]) && of("chat").eq([&chat]) && of("worker").eq([&worker]));
    let refused = Err("no_such_room".to_owned());
    for (event, room) in [("tell_arena", &chat), ("tell_worker", &arena)] {
        let asked = json!({ "room": room, "text": "hello" });
        assert_eq!(boss.ask(event, asked).await, refused, "{event}");
    }
    boss.ask("tell_worker", json!({ "room": worker, "text": "hello" })).await.expect("its kind");
    assert_eq!(boss.lobby().event("line").await, "HELLO");
}

#[tokio::test]
async fn a_worker_has_no_seats_and_is_replaced_when_it_dies() {
    let lobby = start_features(&["--empty-timeout", "100ms"]).await;
    let mut boss = lobby.player("Boss").await;
    let mut worker = boss.ask("worker", json!({})).await.expect("a room");
    for _ in 0..3 {
        assert_eq!(boss.ask("join", json!({ "room": worker })).await, Err("room_full".into()));
        boss.ask("tell_worker", json!({ "room": worker, "text": "ready" })).await.expect("a room");
        assert_eq!(boss.lobby().event("line").await, "READY");
        lobby.signal_room(&worker, Signal::KILL).await;
        let next = boss.lobby().event("replaced").await["worker"].take();
        assert_ne!(next, worker);
        worker = next;
    }
    eventually("their crashes", || (lobby.count("room crashed") == 3).then_some(())).await;
}

/// How the program ends with this in its environment.
fn refuses_to_start(name: &str, value: &str) -> String {
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key");
    let mut command = command(game());
    command.env("FEATURES", "1").env(name, value);
    command.args(["--dev=false", "--port", "0", "--key-file"]).arg(key);
    let output = command.output().expect("the program starts");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_kinds_with_one_name_are_refused_at_the_start() {
    let text = refuses_to_start("TWINS", "1");
    assert!(text.contains("two kinds of rooms are named 'chat'"), "{text}");
}

#[test]
fn a_kind_with_too_little_memory_is_refused_at_the_start() {
    let text = refuses_to_start("CHAT_MEMORY", "16777215");
    assert_eq!(text, "error: chat: a room needs at least 16m of memory\n");
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn the_types_of_all_kinds_are_declared_for_the_page() {
    let folder = TestFolder::new();
    fs::write(folder.path().join("index.html"), "").expect("written");
    let path = folder.path().display().to_string();
    let _lobby = features(&["--dev=true", "--static-dir", &path]).start().await;
    let types = fs::read_to_string(folder.path().join("messages.d.ts")).expect("written");
    for part in [
        "profile: Profile,",
        "\"arena\": {\n      request: Request,\n      event: Event,\n      state: State,\n      options: Options,\n      listing: Listing,",
        "\"chat\": {\n      request: Say,\n      event: Said,\n      state: never,\n      options: null,\n      listing: null,",
        "\"worker\": {\n      request: never,",
        "export type Profile = { color: string, level: number, };",
    ] {
        assert!(types.contains(part), "{part}: {types}");
    }
}
