//! Rooms on hosts do what rooms of the lobby's own machine do.

use std::collections::BTreeSet;
use std::env;

use cluster::testing::{Client, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::admin;
use crate::common::hosts::Cluster;

/// A player opens a room. Returns its id, and the player's connection to it.
async fn open(cluster: &Cluster, name: &str) -> (Value, Client) {
    let mut client = cluster.lobby.player(name).await.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    (room, client)
}

#[tokio::test]
async fn rooms_run_on_all_hosts_and_their_ids_name_them() {
    let cluster = Cluster::start(&["h1", "h2"], &["--max-rooms", "40"]).await;
    let mut hosts = BTreeSet::new();
    let mut players = Vec::new();
    while hosts.len() < 2 {
        assert!(players.len() < 40, "all rooms are on one host");
        let (room, mut client) = open(&cluster, "Ann").await;
        assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
        let room = room.as_str().expect("an id").to_owned();
        hosts.insert(room.rsplit_once('-').expect("the name of its host").0.to_owned());
        players.push(client);
    }
    assert_eq!(hosts, BTreeSet::from(["h1".to_owned(), "h2".to_owned()]));
    let own = cluster.lobby.processes();
    assert!(own.is_empty(), "the lobby has rooms of its own: {own:?}");
}

/// Hosts once told how busy they were in the first moment of a link: by chance, all or nothing.
#[tokio::test]
async fn rooms_of_a_burst_right_after_the_start_are_spread_over_both_hosts() {
    for _ in 0..10 {
        let cluster = Cluster::start(&["h1", "h2"], &["--max-rooms", "20", "--pool", "0"]).await;
        let mut boss = cluster.lobby.player("Boss").await;
        let mut on_h1 = 0;
        for _ in 0..20 {
            let room = boss.ask("open", json!({})).await.expect("a room");
            on_h1 += usize::from(room.as_str().expect("an id").starts_with("h1-"));
        }
        assert!((1..=19).contains(&on_h1), "all 20 rooms are on one host");
    }
}

#[tokio::test]
async fn a_player_is_sent_to_the_address_of_the_host_and_their_room_is_handed_the_socket() {
    let url = "http://127.0.0.1:1"; // nobody is sent there but to read it
    let cluster = Cluster::start_with(&["h1"], &[], &["--public-url", url]).await;
    let mut ann = cluster.lobby.player("Ann").await;
    ann.lobby().emit("create", json!({}));
    let mut reroute = ann.lobby().event("reroute").await;
    assert_eq!(reroute["url"], url);
    reroute["url"] = json!(cluster.hosts[0].url);
    let mut client = Client::redeem(&reroute).await.expect("a good ticket");
    client.event("joined").await;
    assert_eq!(client.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    // CI runs these tests once more as on systems without handoff.
    let relays = env::var_os("CLUSTER_NO_HANDOFF").is_some();
    cluster.hosts[0].logged(if relays { "relayed" } else { "handed off" }).await;
}

#[tokio::test]
async fn a_host_without_an_address_for_browsers_is_relayed_to_by_the_lobby() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let (room, mut client) = open(&cluster, "Ann").await;
    assert_eq!(client.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    assert_eq!(cluster.lobby.logged("relayed").await["room"], room);
}

#[tokio::test]
async fn what_a_room_prints_is_in_the_log_of_the_lobby_and_of_its_host() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let (room, mut client) = open(&cluster, "Ann").await;
    client.emit("panic", json!({}));
    let line = cluster.lobby.logged("room crashed").await;
    assert_eq!(line["room"], room);
    client.ended().await;
    let printed = |lines: Vec<Value>| {
        let message = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        let mut of_room = lines.iter().filter(|line| line["room"] == room);
        of_room.any(|line| message(line).contains("panicked at")).then_some(())
    };
    eventually("the lobby's log", || printed(cluster.lobby.lines())).await;
    eventually("the host's log", || printed(cluster.hosts[0].lines())).await;
}

/// Or its host would seem to lie, and lose all of its rooms.
#[tokio::test]
async fn a_room_that_describes_itself_unasked_ends_alone() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let (room, mut client) = open(&cluster, "Ann").await;
    let (_, mut other) = open(&cluster, "Bob").await;
    client.emit("misbehave", json!("describe"));
    let line = cluster.lobby.logged("room crashed").await;
    assert_eq!((&line["room"], &line["what"]), (&room, &json!("described itself unasked")));
    client.ended().await;
    assert_eq!(other.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_eq!(cluster.lobby.count("host lost"), 0);
}

#[tokio::test]
async fn operators_see_all_hosts_and_their_rooms() {
    let flags = ["--admin", "127.0.0.1:0", "--max-rooms", "40"];
    let cluster = Cluster::start_with(&["h1", "h2"], &flags, &["--max-rooms", "20"]).await;
    let (room, _client) = open(&cluster, "Ann").await;
    let address = admin::admin(&cluster.lobby).await;
    let get = |path: &str| {
        let (status, text) = admin::ask(&address, "GET", path, "");
        assert_eq!(status, 200, "{text}");
        text
    };
    // One of them has a warm room, too.
    let rooms = |metrics: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with("cluster_host_rooms{"));
        let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        (counts.clone().count() == 2 && counts.sum::<u64>() == 2).then_some(())
    };
    eventually("two rooms on two hosts", || rooms(&get("/metrics"))).await;
    assert!(get("/metrics").contains("cluster_host_max_rooms{host=\"h2\"} 20\n"));
    let state: Value = serde_json::from_str(&get("/state")).expect("JSON");
    let names: Vec<_> = state["hosts"].as_array().expect("hosts").iter().collect();
    assert_eq!((&names[0]["name"], &names[1]["name"]), (&json!("h1"), &json!("h2")));
    assert_eq!(state["rooms"][0]["room"], room);
    let (status, _) =
        admin::ask(&address, "POST", &format!("/rooms/{}/kill", room.as_str().unwrap()), "");
    assert_eq!(status, 200);
    cluster.lobby.logged("room crashed").await;
}

#[tokio::test]
async fn a_full_host_gets_no_room_and_another_does() {
    let cluster = Cluster::start(&["h1", "h2"], &["--max-rooms", "2", "--pool", "0"]).await;
    let mut rooms = BTreeSet::new();
    let mut boss = cluster.lobby.player("Boss").await;
    for _ in 0..2 {
        rooms.insert(boss.ask("open", json!({})).await.expect("a room").to_string());
    }
    assert_eq!(rooms.len(), 2);
    assert_eq!(boss.ask("open", json!({})).await, Err("no_room".into()));
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_drains_its_rooms_and_gets_no_more() {
    let mut cluster = Cluster::start(&["h1", "h2"], &["--drain-timeout", "1s"]).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    cluster.host_of(&room).signal(Signal::TERM);
    client.event("reroute").await;
    let returned = ann.back().await["returned"].take();
    assert_eq!(returned["reason"]["code"], "closed", "{returned}");
    let link = cluster.host_of(&room).link.clone();
    let stopped = cluster.hosts.iter_mut().find(|host| host.link == link).expect("it is ours");
    let status = eventually("its end", || stopped.process.try_wait().expect("our child")).await;
    assert!(status.success(), "{status}");
    let (next, _client) = open(&cluster, "Bob").await;
    let name = |room: &Value| room.as_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
    assert_ne!(name(&next), name(&room));
}
