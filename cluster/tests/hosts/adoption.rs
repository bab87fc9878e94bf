//! Rooms outlive the process of their lobby, and the next one goes on with them.

use std::time::Duration;

use cluster::testing::{Client, TestFolder, TestPlayer, eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::common::hosts::{Cluster, HostProcess, lobby};
use crate::common::{command, game};

/// Where players would find the host, if the tests knew its port before it starts.
pub const PUBLIC: [&str; 2] = ["--public-url", "http://127.0.0.1:1"];

impl Cluster {
    /// The lobby's process ends by this signal, and another one starts.
    async fn next_lobby(self, signal: Signal) -> Cluster {
        let Cluster { mut lobby, hosts, folder } = self;
        lobby.signal(signal);
        eventually("its end", || lobby.has_ended()).await;
        let cluster = Cluster { lobby: lobby.again().await, hosts, folder };
        cluster.linked(cluster.hosts.len()).await;
        cluster
    }
}

/// A player goes to a room at the address of its host. Returns their connection, and the room.
pub async fn enter(
    host: &HostProcess,
    player: &mut TestPlayer,
    event: &str,
    data: Value,
) -> (Client, Value) {
    let mut reroute = player.seat(event, data).await;
    reroute["url"] = json!(host.url);
    let mut client = player.take(&reroute).await;
    let room = client.event("joined").await["room"].take();
    (client, room)
}

/// What the players of a room have not heard.
fn assert_undisturbed(client: &Client) {
    let events = client.unheard();
    let disturbing =
        |event: &&str| ["player_disconnected", "reroute", "player_left"].contains(event);
    assert!(!events.iter().any(disturbing), "{events:?}");
}

#[tokio::test]
async fn the_next_lobby_goes_on_with_the_rooms_of_one_that_was_killed_or_stopped() {
    for signal in [Signal::KILL, Signal::TERM] {
        let cluster = Cluster::start_with(&["h1"], &[], &PUBLIC).await;
        let host = &cluster.hosts[0];
        let mut boss = cluster.lobby.player("Boss").await;
        let hidden =
            boss.ask("open", json!({ "private": true, "hosted": true })).await.expect("a room");
        let about = boss.ask("about", json!({ "room": hidden })).await.expect("a room");
        let (mut ann, mut bob) =
            (cluster.lobby.player("Ann").await, cluster.lobby.player("Bob").await);
        let keeps = json!({ "options": { "grace_ms": 3_600_000 } });
        let (mut anns, room) = enter(host, &mut ann, "create", keeps).await;
        let (bobs, _) = enter(host, &mut bob, "join", json!({ "room": room })).await;
        boss.ask("lock", json!({ "room": room, "locked": true })).await.expect("a room");
        drop(bobs);
        anns.event("player_disconnected").await;
        // Dee has a reservation, and has not come.
        let mut dee = cluster.lobby.player("Dee").await;
        let dees = dee.seat("create", json!({ "options": { "quiet": true } })).await["room"].take();
        let before = boss.ask("list", json!({})).await.expect("a list");

        let cluster = cluster.next_lobby(signal).await;
        assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
        assert_undisturbed(&anns);
        let mut next = cluster.lobby.player("Next").await;
        assert_eq!(next.ask("list", json!({})).await, Ok(before));
        assert_eq!(next.ask("about", json!({ "room": hidden })).await, Ok(about.clone()));
        assert!(next.ask("join_by_code", json!({ "code": about["code"] })).await.is_ok());
        let mut cy = cluster.lobby.player("Cy").await;
        assert_eq!(cy.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
        // The seats of Bob and Dee are kept for them.
        for (mut player, room) in [(bob, &room), (dee, &dees)] {
            player.url.clone_from(&cluster.lobby.url);
            player.back().await;
            let mut reroute = player.rerouted().await;
            assert_eq!(reroute["room"], *room);
            reroute["url"] = json!(cluster.hosts[0].url);
            player.take(&reroute).await.event("joined").await;
        }
        // A new room has a new number.
        let new = cy.ask("open", json!({})).await.expect("a room");
        let number = |id: &Value| id.as_str().unwrap().rsplit_once('-').unwrap().1.parse::<u64>();
        assert!(number(&new).unwrap() > number(&dees).unwrap(), "{new} after {dees}");
        // And rooms end as any other.
        anns.emit("finish", json!({ "winner": "Ann" }));
        assert_eq!(anns.event("reroute").await["reason"]["code"], "finished");
        ann.url.clone_from(&cluster.lobby.url);
        assert_eq!(ann.back().await["returned"]["reason"]["code"], "finished");
    }
}

#[tokio::test]
async fn what_rooms_say_and_how_they_end_without_a_lobby_is_told_to_the_next() {
    let cluster = Cluster::start_with(&["h1"], &[], &PUBLIC).await;
    let host = &cluster.hosts[0];
    let (mut ann, mut bob) = (cluster.lobby.player("Ann").await, cluster.lobby.player("Bob").await);
    let (mut anns, anns_room) = enter(host, &mut ann, "create", json!({})).await;
    let (mut bobs, bobs_room) = enter(host, &mut bob, "create", json!({})).await;
    cluster.lobby.signal(Signal::KILL);
    host.logged("lobby gone; its rooms go on").await;
    for n in 0..20 {
        anns.ask("tell_lobby", json!({ "text": format!("{n}") })).await.expect("a message");
    }
    bobs.emit("finish", json!({ "winner": "Bob" }));
    assert_eq!(bobs.event("reroute").await["reason"]["code"], "finished");
    bobs.ended().await;
    let ended = || (host.rooms().len() == 1).then_some(());
    eventually("its end", ended).await;

    let cluster = cluster.next_lobby(Signal::KILL).await;
    let said = || {
        let lines = cluster.lobby.lines().into_iter().filter(|line| line["message"] == "said");
        let said: Vec<_> = lines.map(|line| (line["room"].clone(), line["text"].clone())).collect();
        (said.len() >= 20).then_some(said)
    };
    let expected: Vec<_> = (0..20).map(|n| (anns_room.clone(), json!(format!("{n}")))).collect();
    assert_eq!(eventually("what it said", said).await, expected);
    let ended = cluster.lobby.logged("room ended").await;
    assert_eq!((&ended["room"], &ended["exit"]), (&bobs_room, &json!("finished")));
    bob.url.clone_from(&cluster.lobby.url);
    assert_eq!(bob.back().await["returned"]["reason"]["code"], "finished");
    assert_undisturbed(&anns);
}

/// What they say meets a lobby that handles nothing any more.
#[tokio::test]
async fn rooms_that_talk_without_a_pause_while_their_lobby_stops_are_adopted() {
    let limits = crate::common::NO_RATE_LIMITS;
    let of_host = [&limits[..], &PUBLIC].concat();
    let mut cluster = Cluster::start_with(&["h1"], &limits, &of_host).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let (mut anns, room) = enter(&cluster.hosts[0], &mut ann, "create", json!({})).await;
    for signal in [Signal::TERM, Signal::KILL, Signal::TERM, Signal::KILL, Signal::TERM] {
        let talk = async {
            loop {
                anns.ask("tell_lobby", json!({ "text": "still here" })).await.expect("a message");
                // A room may say some 4,000 things without a lobby.
                sleep(Duration::from_millis(2)).await;
            }
        };
        cluster = tokio::select! {
            cluster = cluster.next_lobby(signal) => cluster,
            () = talk => unreachable!("it never ends"),
        };
        assert_eq!(cluster.lobby.logged("room adopted").await["room"], room);
    }
    assert_undisturbed(&anns);
}

#[tokio::test]
async fn a_lobby_that_stops_before_it_has_started_leaves_the_rooms_to_the_next() {
    let cluster = Cluster::start_with(&["h1"], &[], &PUBLIC).await;
    let host = &cluster.hosts[0];
    let mut ann = cluster.lobby.player("Ann").await;
    let (mut anns, room) = enter(host, &mut ann, "create", json!({})).await;
    cluster.lobby.signal(Signal::KILL);
    for count in 1..4 {
        let gone = || host.count("lobby gone; its rooms go on");
        eventually("its end", || (gone() == count).then_some(())).await;
        let mut next = command(game());
        next.args(["--hosts", &host.link]).env("CLUSTER_PORT", "0").env("STARTING", "1");
        next.env("CLUSTER_KEY_FILE", cluster.folder.path().join("lobby.key"));
        let mut next = next.spawn().expect("it starts");
        // It is told of the room, while `on_start` has not returned.
        let linked = || host.count("lobby linked");
        eventually("a link", || (linked() == count + 1).then_some(())).await;
        kill_process(Pid::from_child(&next), Signal::TERM).expect("it runs");
        let status = eventually("its end", || next.try_wait().expect("our child")).await;
        assert!(status.success(), "{status}");
    }
    let cluster = cluster.next_lobby(Signal::KILL).await;
    assert_eq!(cluster.lobby.logged("room adopted").await["room"], room);
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_undisturbed(&anns);
}

#[tokio::test]
async fn rooms_that_no_lobby_adopts_are_closed_in_good_order() {
    let flags = [&PUBLIC[..], &["--orphan-grace", "1s"]].concat();
    let cluster = Cluster::start_with(&["h1"], &[], &flags).await;
    let host = &cluster.hosts[0];
    let mut ann = cluster.lobby.player("Ann").await;
    let (mut anns, _) = enter(host, &mut ann, "create", json!({})).await;
    cluster.lobby.signal(Signal::KILL);
    assert_eq!(anns.event("reroute").await["reason"]["code"], "closed");
    anns.ended().await;
    eventually("no room", || host.rooms().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_without_a_lobby_drains_its_rooms() {
    for lobby_first in [true, false] {
        let flags = [&PUBLIC[..], &["--drain-timeout", "1s"]].concat();
        let mut cluster = Cluster::start_with(&["h1"], &[], &flags).await;
        let mut ann = cluster.lobby.player("Ann").await;
        let (mut anns, _) = enter(&cluster.hosts[0], &mut ann, "create", json!({})).await;
        let signals = || {
            cluster.hosts[0].signal(Signal::STOP); // it is told both at once
            cluster.lobby.signal(Signal::KILL);
            cluster.hosts[0].signal(Signal::TERM);
            cluster.hosts[0].signal(Signal::CONT);
        };
        if lobby_first {
            cluster.lobby.signal(Signal::KILL);
            cluster.hosts[0].logged("lobby gone; its rooms go on").await;
            cluster.hosts[0].signal(Signal::TERM);
        } else {
            signals();
        }
        assert_eq!(anns.event("reroute").await["reason"]["code"], "closed");
        let process = &mut cluster.hosts[0].process;
        let status = eventually("its end", || process.try_wait().expect("our child")).await;
        assert!(status.success(), "{status}");
    }
}

/// The next lobby learns from the other host which numbers there were.
#[tokio::test]
async fn a_host_and_a_lobby_that_both_start_anew_use_no_id_of_a_room_again() {
    let folder = TestFolder::new();
    let link = format!("127.0.0.1:{}", free_port());
    let flags = ["--max-rooms", "8", "--link", &link]; // so that neither host gets all
    let hosts = vec![
        HostProcess::start(&folder, "h1", &flags).await,
        HostProcess::start(&folder, "h2", &flags[..2]).await,
    ];
    let lobby = lobby(&folder, &hosts).start().await;
    let mut cluster = Cluster { lobby, hosts, folder };
    cluster.linked(2).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let before = open_on(&mut boss, "h1").await;
    cluster.hosts[0].signal(Signal::KILL);
    cluster.hosts[0].process.wait().expect("our child");
    cluster.lobby.logged("host lost").await;
    open_on(&mut boss, "h2").await;
    cluster.hosts[0] = HostProcess::start(&cluster.folder, "h1", &flags).await;
    let cluster = cluster.next_lobby(Signal::KILL).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let next = open_on(&mut boss, "h1").await;
    assert!(next > before, "h1-{next} after h1-{before}");
}

/// Opens rooms until one is on this host. Returns its number.
async fn open_on(boss: &mut TestPlayer, host: &str) -> u64 {
    loop {
        let room = boss.ask("open", json!({})).await.expect("a room");
        let (name, number) = room.as_str().expect("an id").rsplit_once('-').expect("of a host");
        if name == host {
            return number.parse().expect("a number");
        }
    }
}

/// The description of a room comes only when its hook returns.
#[tokio::test]
async fn a_room_that_is_busy_when_its_lobby_ends_is_adopted_later() {
    let cluster = Cluster::start_with(&["h1"], &[], &PUBLIC).await;
    let mut ann = cluster.lobby.player("Ann").await;
    let (mut anns, room) = enter(&cluster.hosts[0], &mut ann, "create", json!({})).await;
    anns.emit("block", json!({ "ms": 1500 }));
    let cluster = cluster.next_lobby(Signal::KILL).await;
    let lines = cluster.lobby.lines().into_iter();
    let mut since = lines.skip_while(|line| line["message"] != "room adopted");
    let ready = since.any(|line| line["message"] == "lobby ready");
    assert!(ready, "it accepts players before it knows of all seats");
    assert_eq!(cluster.lobby.logged("room adopted").await["room"], room);
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn many_seats_are_adopted_after_one_lobby_and_another() {
    let limits = crate::common::NO_RATE_LIMITS;
    let flags = [&limits[..], &["--seats", "200"]].concat();
    let of_host = [&limits[..], &PUBLIC].concat();
    let mut cluster = Cluster::start_with(&["h1"], &flags, &of_host).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let quiet = json!({ "options": { "quiet": true }, "capacity": 200 });
    let room = boss.ask("open", quiet).await.expect("a room");
    let mut clients = Vec::new();
    for n in 0..150 {
        let mut player = cluster.lobby.player(&format!("p{n}")).await;
        let join = json!({ "room": room });
        clients.push(enter(&cluster.hosts[0], &mut player, "join", join).await.0);
    }
    for _ in 0..5 {
        let begun = Instant::now();
        cluster = cluster.next_lobby(Signal::KILL).await;
        println!("another lobby is ready after {:?}", begun.elapsed());
        let mut boss = cluster.lobby.player("Boss").await;
        let about = boss.ask("about", json!({ "room": room })).await.expect("a room");
        assert_eq!(about["players"], 150);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.ask("echo", json!({ "n": n })).await, Ok(json!(n)));
        assert_undisturbed(client);
    }
}
