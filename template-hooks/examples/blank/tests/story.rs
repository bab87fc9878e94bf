//! Your own lobby and rooms, as they come: every hook says that it was called. Edit these along with your
//! hooks.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    helpers::{Cluster, eventually},
    raw::http,
};

#[tokio::test]
async fn two_players_meet_and_hear_each_other() {
    let cluster = Cluster::yours(&["--seats", "2"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut visitor = cluster.visitor().await;
    let mut anns = ann.enter("play", json!({})).await;
    let mut bobs = bob.enter("play", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    assert_eq!(bobs.event("joined").await["room"], room);
    anns.ask("hello", json!({})).await.expect("it is polite");
    assert_eq!(bobs.event("greeting").await, json!({ "text": "Ann says hello" }));
    let news = format!("Ann says hello in {}", room.as_str().expect("an id"));
    assert_eq!(visitor.event("news").await, json!({ "text": news }));
}

/// All but `on_tick`: no rate is set.
#[tokio::test]
async fn every_hook_is_called_in_the_course_of_a_players_life() {
    let mut cluster = Cluster::yours(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut room = ann.enter("play", json!({})).await;
    called("lobby", "on_leave", 1, &cluster).await;
    room.ask("hello", json!({})).await.expect("it is polite");
    called("room", "on_lobby_message", 1, &cluster).await;
    assert_eq!(room.ask_binary(&[1, 2, 3]).await["error"]["code"], "unknown_event");

    // In another window: the lobby knows of her seat, and sends her back to it.
    ann.back().await;
    let reroute = ann.rerouted().await;
    let another = ann.take(&reroute).await;
    called("lobby", "on_leave", 2, &cluster).await;
    drop(another);
    called("room", "on_leave", 1, &cluster).await;
    ann.back().await;
    called("lobby", "on_arrive", 3, &cluster).await;

    cluster.signal(Signal::TERM);
    assert!(cluster.ended().await.success());
    called("lobby", "on_room_exit", 1, &cluster).await;
    called("room", "on_dispose", 1, &cluster).await;
    let by_the_lobby = "on_start on_register on_arrive on_request on_room_ready on_leave \
        on_room_message on_stop on_room_exit";
    assert_eq!(in_order(hooks("lobby", &cluster)), by_the_lobby);
    let by_the_room = "on_open on_admit snapshot on_join on_message on_lobby_message on_binary \
        on_reconnect on_disconnect on_leave on_drain on_dispose";
    assert_eq!(in_order(hooks("room", &cluster)), by_the_room);
}

#[tokio::test]
async fn the_page_is_served() {
    let cluster = Cluster::yours(&[]).await;
    assert_eq!(http(&cluster.url, "GET", "/", &[]).await.0, 200);
    assert_eq!(http(&cluster.url, "GET", "/missing", &[]).await.0, 404);
}

/// Waits until this hook has been called so many times.
async fn called(by: &str, name: &str, times: usize, cluster: &Cluster) {
    let count = || hooks(by, cluster).iter().filter(|hook| *hook == name).count();
    eventually(name, || (count() >= times).then_some(())).await;
}

/// The hooks that the lobby, or a room, says were called.
fn hooks(by: &str, cluster: &Cluster) -> Vec<String> {
    let hook = |line: Value| {
        let name = line["message"].as_str()?.split(' ').next()?.to_owned();
        let caller = if line["target"] == "app::server" { "lobby" } else { "room" };
        let is_hook = name.starts_with("on_") || name == "snapshot";
        (is_hook && caller == by).then_some(name)
    };
    cluster.lines().into_iter().filter_map(hook).collect()
}

/// Each once, by when it was called first.
fn in_order(hooks: Vec<String>) -> String {
    let first = |at: &usize| !hooks[..*at].contains(&hooks[*at]);
    (0..hooks.len()).filter(first).map(|at| hooks[at].as_str()).collect::<Vec<_>>().join(" ")
}
