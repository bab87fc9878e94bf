//! Hosts whose network is cut. Each runs in a network namespace of its own, which needs root and
//! `ip`; elsewhere these tests say that they are skipped.

use std::env;
use std::process::id;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::testing::{Client, TestFolder, TestPlayer, eventually};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::common::hosts::{Cluster, HostProcess, lobby, running};
use crate::common::net_ns::NetNs;

/// Rooms that ran on when the lobby had given them up.
type TooEarly = Arc<Mutex<Vec<Value>>>;

fn assert_none(rooms: &TooEarly) {
    let rooms = rooms.lock().expect("not poisoned");
    assert!(rooms.is_empty(), "they ran on: {rooms:?}");
}

/// A lobby with a host in each namespace.
async fn start(spaces: Vec<NetNs>, flags: &[&str]) -> (Cluster, TooEarly) {
    let folder = TestFolder::new();
    let mut hosts = Vec::new();
    for (n, space) in spaces.into_iter().enumerate() {
        hosts.push(HostProcess::start_in(&folder, &format!("h{n}"), flags, Some(space)).await);
    }
    let logs: Vec<_> = hosts.iter().map(|host| host.log.clone()).collect();
    let too_early = TooEarly::default();
    // When the lobby says that a room has ended, it must have ended.
    let found = too_early.clone();
    let check = move |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        if line["message"] == "room crashed"
            && logs.iter().flat_map(running).any(|(room, _)| room == line["room"])
        {
            found.lock().expect("not poisoned").push(line["room"].clone());
        }
    };
    let lobby = lobby(&folder, &hosts).flags(flags).on_line(check).start().await;
    let cluster = Cluster { lobby, hosts, folder };
    cluster.linked(cluster.hosts.len()).await;
    (cluster, too_early)
}

async fn open(player: &mut TestPlayer) -> (Value, Client) {
    let mut client = player.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    (room, client)
}

#[tokio::test]
async fn nobody_notices_that_the_link_to_a_host_is_cut_for_two_seconds() {
    let Some(space) = NetNs::new() else { return };
    let (cluster, _) = start(vec![space], &["--ping-timeout", "20s"]).await;
    let (_, mut client) = open(&mut cluster.lobby.player("Ann").await).await;
    cluster.hosts[0].cut(Duration::from_secs(2)).await;
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_eq!(cluster.lobby.count("host lost"), 0);
}

#[tokio::test]
async fn after_a_cut_of_eight_seconds_players_are_in_the_lobby_and_no_room_is_left_over() {
    let Some(space) = NetNs::new() else { return };
    let (cluster, too_early) = start(vec![space], &[]).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let (_, _client) = open(&mut ann).await;
    let host = &cluster.hosts[0];
    let rooms = host.rooms();
    let cut = host.cut(Duration::from_secs(8));
    let lost = async {
        cluster.lobby.logged("room crashed").await;
        assert_eq!(ann.back().await["returned"]["reason"]["code"], "crashed");
    };
    tokio::join!(cut, lost);
    cluster.linked(2).await;
    open(&mut ann).await;
    assert!(host.rooms().iter().all(|room| !rooms.contains(room)));
    assert_none(&too_early);
}

/// Heartbeats wait behind what rooms say.
#[tokio::test]
async fn over_a_slow_link_everything_arrives_and_no_host_is_lost() {
    let Some(space) = NetNs::new() else { return };
    if !space.slow_down("512kbit") {
        return;
    }
    let (cluster, _) = start(vec![space], &[]).await;
    let (_, mut client) = open(&mut cluster.lobby.player("Ann").await).await;
    let (begun, long) = (Instant::now(), "x".repeat(40_000));
    for n in 0..3 {
        client.emit("tell_lobby", json!({ "text": format!("{n}{long}") }));
    }
    let mut boss = cluster.lobby.player("Boss").await;
    let room = boss.ask("open", json!({})).await.expect("a room opens meanwhile");
    let is_ready = |line: &Value| line["message"] == "room ready" && line["room"] == room;
    let ready = || cluster.lobby.lines().iter().any(is_ready).then_some(());
    eventually("the room", ready).await;
    let said = || {
        let lines = cluster.lobby.lines().into_iter().filter(|line| line["message"] == "said");
        let firsts = lines.filter_map(|line| line["text"].as_str()?.chars().next());
        let said: String = firsts.collect();
        (said.len() == 3).then_some(said)
    };
    assert_eq!(eventually("what the room has said", said).await, "012");
    assert!(begun.elapsed() > Duration::from_secs(2), "the link is not slow");
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_eq!(cluster.lobby.count("host lost"), 0);
}

/// Cuts of random lengths at random times: whenever the lobby gives up a room, its process has
/// ended, and in the end no room is left that the lobby does not know.
#[tokio::test]
async fn random_cuts_leave_no_room_that_the_lobby_has_given_up() {
    let spaces: Vec<_> = (0..3).map_while(|_| NetNs::new()).collect();
    if spaces.len() < 3 {
        return;
    }
    let cuts = env::var("CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(30);
    let short = ["--heartbeat", "200ms", "--heartbeat-timeout", "600ms", "--pool", "0"];
    let limits = ["--max-rooms-per-player", "99", "--events-per-second", "1000000"];
    let (cluster, too_early) = start(spaces, &[&short[..], &limits].concat()).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let done = AtomicUsize::new(0);
    let seed = u64::from(id());
    println!("seed {seed}");
    let cutting = cluster.hosts.iter().enumerate().map(async |(n, host)| {
        let mut random = StdRng::seed_from_u64(seed + n as u64);
        while done.fetch_add(1, Relaxed) < cuts {
            host.cut(Duration::from_millis(random.random_range(1..2500))).await;
            sleep(Duration::from_millis(random.random_range(1..1500))).await;
        }
    });
    let opening = async {
        let mut opened = 0;
        while done.load(Relaxed) < cuts {
            opened += usize::from(boss.ask("open", json!({})).await.is_ok());
            sleep(Duration::from_millis(20)).await;
        }
        opened
    };
    let (_, opened) = tokio::join!(join_all(cutting), opening);
    let given_up = cluster.lobby.count("room crashed");
    println!("{cuts} cuts, {opened} rooms, {given_up} of them given up");
    assert!(given_up > 0, "no cut was long enough");
    assert_none(&too_early);
    // No host is cut now. Rooms that the lobby does not know have ended, and it knows all others.
    let known = async || {
        let list = boss.ask("list", json!({})).await.expect("the rooms");
        list.as_array().expect("a list").len()
    };
    let mut known = known;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let running: usize = cluster.hosts.iter().map(|host| host.rooms().len()).sum();
        let known = known().await;
        if running == known {
            break;
        }
        assert!(Instant::now() < deadline, "{running} rooms run, and {known} are known");
        sleep(Duration::from_millis(50)).await;
    }
}
