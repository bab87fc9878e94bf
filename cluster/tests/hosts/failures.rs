//! Hosts and lobbies that die or stand still.

use std::time::{Duration, Instant};

use cluster::testing::{ProcessStat, eventually, soon};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use serde_json::json;
use tokio::time::sleep;

use super::adoption::{PUBLIC, enter};
use crate::common::hosts::{Cluster, lobby};

/// Short leases, for tests in which one runs out.
const SHORT: [&str; 4] = ["--heartbeat", "200ms", "--heartbeat-timeout", "1s"];

#[tokio::test]
async fn when_a_host_is_killed_its_players_are_back_and_rooms_start_on_the_other() {
    let cluster = Cluster::start(&["h1", "h2"], &[]).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    let host = cluster.host_of(&room);
    host.signal(Signal::KILL);
    let reason = json!({ "room": room, "reason": { "code": "crashed" } });
    assert_eq!(ann.back().await["returned"], reason);
    eventually("no room of it", || host.rooms().is_empty().then_some(())).await;
    let mut client = ann.enter("create", json!({})).await;
    let next = client.event("joined").await["room"].take();
    assert_ne!(cluster.host_of(&next).link, host.link);
}

#[tokio::test]
async fn rooms_of_a_host_that_stands_still_end_before_the_lobby_gives_their_seats_away() {
    let cluster = Cluster::start(&["h1"], &SHORT).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let mut client = ann.enter("create", json!({})).await;
    client.event("joined").await;
    let host = &cluster.hosts[0];
    let rooms = host.rooms();
    assert!(!rooms.is_empty());
    host.signal(Signal::STOP);
    cluster.lobby.logged("host lost").await;
    let alive =
        rooms.iter().filter(|room| ProcessStat::of(**room).is_some_and(|stat| stat.is_alive()));
    assert_eq!(alive.count(), 0, "rooms outlive their lease");
    assert_eq!(ann.back().await["returned"]["reason"]["code"], "crashed");
    host.signal(Signal::CONT);
    cluster.linked(2).await;
    let mut client = ann.enter("create", json!({})).await;
    client.event("joined").await;
}

/// They are back before the lobby gives up the host.
#[tokio::test]
async fn players_of_a_host_that_stands_still_are_told_why_they_are_back() {
    let cluster = Cluster::start_with(&["h1"], &SHORT, &[&SHORT[..], &PUBLIC].concat()).await;
    let host = &cluster.hosts[0];
    let mut ann = cluster.lobby.player("Ann").await;
    let (mut client, room) = enter(host, &mut ann, "create", json!({})).await;
    host.signal(Signal::STOP);
    client.ended().await;
    let reason = json!({ "room": room, "reason": { "code": "crashed" } });
    assert_eq!(ann.back().await["returned"], reason);
    host.signal(Signal::CONT);
}

#[tokio::test]
async fn a_lobby_that_stood_still_itself_gives_up_a_lost_host_no_later() {
    const PAUSE: Duration = Duration::from_secs(10);
    let cluster = Cluster::start(&["h1"], &SHORT).await;
    cluster.lobby.signal(Signal::STOP);
    sleep(PAUSE).await;
    cluster.lobby.signal(Signal::CONT);
    cluster.linked(2).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    cluster.hosts[0].signal(Signal::STOP);
    let lost = Instant::now();
    let line = cluster.lobby.logged("room crashed").await;
    assert_eq!((&line["room"], &line["what"]), (&room, &json!("its host is gone")));
    assert!(lost.elapsed() < PAUSE, "{:?}", lost.elapsed());
}

#[tokio::test]
async fn while_rooms_fail_to_start_on_one_host_another_gets_them_every_time() {
    let limits = ["--start-failure-limit", "2", "--start-failure-cooldown", "5s"];
    let flags = [&limits[..], &["--pool", "0", "--max-rooms-per-player", "999"]].concat();
    let cluster = Cluster::start(&["h1", "h2"], &flags).await;
    let host = cluster.host_of(&json!("h1-1"));
    let files = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(Some(host.pid()), Resource::Nofile, files).expect("it opens no more files");
    let mut boss = cluster.lobby.player("Boss").await;
    let mut open = async || boss.ask("open", json!({})).await.expect("a room").to_string();
    let tripped = "too many rooms failed to start; starting none for a while";
    for times in 1..=2 {
        let trip = async {
            while cluster.lobby.count(tripped) < times {
                open().await;
                sleep(Duration::from_millis(200)).await;
            }
        };
        soon("its circuit breaker opens", trip).await;
        for _ in 0..3 {
            let room = open().await;
            assert!(room.contains("h2-"), "{room}");
        }
    }
}

#[tokio::test]
async fn a_host_serves_one_lobby_and_refuses_another() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let mut client = cluster.lobby.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    let other = lobby(&cluster.folder, &cluster.hosts).start().await;
    let line = other.logged("cannot reach a host; trying again").await;
    assert_eq!(line["error"], "it refuses: it serves another lobby");
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "the first goes on");
    assert_eq!(cluster.lobby.count("host lost"), 0);
}

#[tokio::test]
async fn a_lobby_with_hosts_refuses_to_reload_and_goes_on() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let mut client = cluster.lobby.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    cluster.lobby.signal(Signal::HUP);
    let line = cluster.lobby.logged("not reloaded; nothing has changed").await;
    assert_eq!(line["error"], "rooms run on hosts, and go on while a lobby starts anew");
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}
