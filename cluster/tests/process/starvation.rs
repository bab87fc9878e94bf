//! Pauses and busy machines: a timeout counts no time in which the process that measures it, or the
//! one that it watches, could not run. A room that can run but does nothing is still found hung.
#![cfg(target_os = "linux")]

use std::process::{Child, Command};
use std::time::Duration;

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::start_game;

/// Socket.IO does count pauses, so its ping timeout is longer.
const FLAGS: [&str; 6] =
    ["--heartbeat", "300ms", "--heartbeat-timeout", "1s", "--ping-timeout", "20s"];
/// Longer than any other timeout of these tests.
const PAUSE: Duration = Duration::from_secs(5);

/// A player in a room of their own.
struct InRoom {
    player: TestPlayer,
    client: Client,
    room: Value,
}

impl InRoom {
    async fn new(cluster: &LobbyProcess, name: &str) -> InRoom {
        let mut player = cluster.player(name).await;
        let new = json!({ "options": { "grace_ms": 3000 } });
        let mut client = player.enter("create", new).await;
        let room = client.event("joined").await["room"].take();
        InRoom { player, client, room }
    }

    async fn talks(&mut self) {
        assert_eq!(self.client.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    }
}

/// Stops these processes for this long.
async fn pause(processes: &[Pid], time: Duration) {
    let all =
        |signal| processes.iter().for_each(|pid| kill_process(*pid, signal).expect("it runs"));
    all(Signal::STOP);
    // A fixed sleep: the pause itself is under test.
    tokio::time::sleep(time).await;
    all(Signal::CONT);
}

/// Stops a room for good and waits until it is found hung: by then all other rooms would have been,
/// too.
async fn is_found_hung(cluster: &LobbyProcess, hangs: &mut InRoom) {
    cluster.signal_room(&hangs.room, Signal::STOP).await;
    hangs.player.back().await;
    hangs.player.lobby().event_where("exited", |exit| exit["room"] == hangs.room).await;
    cluster.logged("room hung and was killed").await;
}

async fn rooms(cluster: &LobbyProcess, names: &[&str]) -> Vec<InRoom> {
    let mut all = Vec::new();
    for name in names {
        all.push(InRoom::new(cluster, name).await);
    }
    all
}

#[tokio::test]
async fn a_lobby_that_was_stopped_for_longer_than_the_heartbeat_timeout_keeps_its_rooms() {
    let cluster = start_game(&FLAGS).await;
    let mut rooms = rooms(&cluster, &["Ann", "Bob", "Cid", "Eve"]).await;
    for _ in 0..2 {
        pause(&[cluster.pid()], PAUSE).await;
    }
    is_found_hung(&cluster, &mut rooms.pop().expect("the last")).await;
    for in_room in &mut rooms {
        in_room.talks().await;
    }
    assert_eq!(cluster.count("room hung and was killed"), 1);
}

#[tokio::test]
async fn a_lobby_frozen_with_its_rooms_keeps_rooms_seats_and_tickets() {
    let flags = [&FLAGS[..], &["--ticket-ttl", "3s", "--empty-timeout", "3s"]].concat();
    let cluster = start_game(&flags).await;
    let mut rooms = rooms(&cluster, &["Ann", "Bob", "Cid", "Eve"]).await;
    let mut ann = rooms.swap_remove(0);
    let mut dan = cluster.player("Dan").await;
    let seat = dan.seat("join", json!({ "room": ann.room })).await;
    let mut fay = cluster.player("Fay").await;
    drop(fay.enter("join", json!({ "room": ann.room })).await);
    assert_eq!(ann.client.event("player_disconnected").await["player"], fay.you);
    let mut gil = cluster.player("Gil").await;
    let empty = gil.ask("open", json!({})).await.expect("a room without players");

    pause(&[&[cluster.pid()], &cluster.processes()[..]].concat(), PAUSE).await;

    // Fay's seat, Dan's ticket and Gil's empty room are kept for three seconds.
    fay.back().await;
    let seat_of_fay = fay.rerouted().await;
    for (mut player, seat) in [(dan, seat), (fay, seat_of_fay)] {
        assert_eq!(player.take(&seat).await.event("joined").await["room"], ann.room);
    }
    gil.enter("join", json!({ "room": empty })).await;
    ann.talks().await;
    is_found_hung(&cluster, &mut rooms.pop().expect("the last")).await;
    for in_room in &mut rooms {
        in_room.talks().await;
    }
    assert_eq!(cluster.count("room hung and was killed"), 1);
}

/// Keeps the processors busy until it is dropped.
struct BusyLoops(Vec<Child>);

impl BusyLoops {
    fn new(count: usize) -> BusyLoops {
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
        BusyLoops((0..count).map(|_| spin().expect("a shell")).collect())
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test]
async fn a_starved_room_is_not_hung_and_an_idle_one_is() {
    let cluster = start_game(&FLAGS).await;
    let mut rooms = rooms(&cluster, &["Ann", "Bob", "Cid", "Dan"]).await;
    let mut eve = InRoom::new(&cluster, "Eve").await;
    for in_room in &rooms {
        // They use all the processor time that they get.
        in_room.client.emit("tick_rate", json!({ "hz": 1000 }));
        let process = cluster.process_of(&in_room.room).await;
        // The room runs only when the processor is idle.
        let pid = process.as_raw_nonzero().to_string();
        let idle = Command::new("chrt").args(["-i", "-p", "0", &pid]).status();
        assert!(idle.expect("chrt, of util-linux").success());
    }
    let busy = BusyLoops::new(8);
    tokio::time::sleep(PAUSE).await;
    is_found_hung(&cluster, &mut eve).await;
    drop(busy);
    assert_eq!(cluster.count("room hung and was killed"), 1);
    for in_room in &mut rooms {
        in_room.talks().await;
    }
}

#[tokio::test]
async fn a_room_that_closes_while_the_lobby_does_not_read_is_not_reported_as_crashed() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let ann = InRoom::new(&cluster, "Ann").await;
    let closes = async {
        // More than the socket between room and lobby holds.
        ann.client.emit("finish", json!({ "winner": "Ann", "messages": 3_000 }));
    };
    let lobby = [cluster.pid()];
    tokio::join!(pause(&lobby, PAUSE), closes);
    let exited = boss.lobby().event_where("exited", |exited| exited["room"] == ann.room).await;
    assert_eq!(exited, json!({ "room": ann.room, "how": "finished", "winner": "Ann" }));
    assert_eq!(boss.ask("flooded", json!({})).await, Ok(json!(3_000)));
}
