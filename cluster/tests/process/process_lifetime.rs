//! No process is left behind, whatever happens to the lobby or to a room. Reads `/proc`.
#![cfg(target_os = "linux")]

use std::fs;

use cluster::testing::{ProcessStat, TestFolder, descriptors, eventually, is_alive, pid};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, builder, game, start_game, start_game_with};

/// The child processes of this one that are not reaped.
fn children(parent: Pid) -> Vec<Pid> {
    ProcessStat::children(parent).iter().map(|stat| stat.pid).collect()
}

async fn are_gone(processes: &[Pid]) {
    eventually("their end", || processes.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
}

#[tokio::test]
async fn a_killed_lobby_leaves_no_room_behind_whatever_it_was_doing() {
    let mut cluster = start_game(&["--pool", "2"]).await;
    let mut clients = Vec::new();
    for name in ["fine", "busy", "stopped"] {
        let mut client = cluster.player(name).await.enter("create", json!({})).await;
        let room = client.event("joined").await["room"].take();
        match name {
            "busy" => client.emit("spin", json!({})),
            "stopped" => {
                kill_process(cluster.process_of(&room).await, Signal::STOP).expect("it runs");
            }
            _ => {}
        }
        clients.push(client);
    }
    let mut boss = cluster.player("Boss").await;
    boss.ask("open", json!({ "options": { "opening": "never" } })).await.expect("a room");
    let all = eventually("six rooms", || Some(cluster.processes()).filter(|all| all.len() == 6));
    let all = all.await;
    cluster.signal(Signal::KILL);
    cluster.ended().await;
    are_gone(&all).await;
    for client in &mut clients {
        client.end().await;
    }
}

#[tokio::test]
async fn child_processes_of_a_room_end_with_it() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let finish = ("finish", json!({ "winner": "Ann" }));
    for (end, data) in [finish, ("panic", json!({})), ("exit", json!({}))] {
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
        assert!(is_alive(forked));
        client.emit(end, data);
        boss.lobby().event("exited").await;
        are_gone(&[forked]).await;
    }
}

#[tokio::test]
async fn a_process_that_leaves_its_rooms_process_group_outlives_it_and_delays_nothing() {
    let cluster = start_game(&["--pool", "0"]).await;
    let mut boss = cluster.player("Boss").await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    let away = pid(&anns.ask("fork_away", json!({})).await.expect("a process"));
    // It is still in the group for a moment.
    let alone = || {
        let group = rustix::process::getpgid(Some(away));
        group.is_ok_and(|group| group == away).then_some(())
    };
    eventually("a group of its own", alone).await;
    let pipes = || {
        let all = descriptors(cluster.pid()).into_iter();
        all.filter(|target| target.starts_with("pipe:")).count()
    };
    let before = pipes();
    anns.emit("finish", json!({ "winner": "Ann" }));
    assert_eq!(boss.lobby().event("exited").await["how"], "finished");
    // Its stdout and stderr, which the process still holds.
    let closed = || (pipes() == before - 2).then_some(());
    eventually("the room's pipes are closed", closed).await;
    assert!(is_alive(away), "this is beyond the lobby's power");
    kill_process(away, Signal::KILL).expect("it runs");
}

#[tokio::test]
async fn a_process_that_inherits_the_channel_does_not_delay_the_end_of_its_room() {
    let environment = [("FAULTY", "channel: daemon"), ("FAULTY_ROOM", "1")];
    let cluster = start_game_with(&["--pool", "0"], &environment).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let before = cluster.descriptors();
    let room = boss.ask("open", json!({})).await.expect("a room");
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_gone".into()));
    assert_eq!(boss.lobby().event("exited").await["how"], "crashed");
    let number = |line: &Value| -> Option<i64> {
        line["message"].as_str()?.strip_prefix("daemon ")?.parse().ok()
    };
    let daemon = eventually("its number", || cluster.lines().iter().find_map(number)).await;
    let daemon = pid(&json!(daemon));
    let closed = || (cluster.descriptors() <= before).then_some(());
    eventually("the room's descriptors are closed", closed).await;
    assert!(is_alive(daemon));
    kill_process(daemon, Signal::KILL).expect("it runs");
    ann.enter("create", json!({})).await;
}

#[tokio::test]
async fn a_killed_lobby_leaves_no_child_process_of_a_room_behind() {
    for state in ["fine", "busy", "stopped"] {
        let mut cluster = start_game(&[]).await;
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        let room = client.event("joined").await["room"].take();
        let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
        match state {
            "busy" => client.emit("spin", json!({})),
            "stopped" => {
                kill_process(cluster.process_of(&room).await, Signal::STOP).expect("it runs");
            }
            _ => {}
        }
        cluster.signal(Signal::KILL);
        cluster.ended().await;
        are_gone(&[forked]).await;
    }
}

#[tokio::test]
async fn a_graceful_shutdown_disconnects_everyone_and_leaves_no_process() {
    let stops = async |signal| {
        let mut cluster = start_game(&["--stop-timeout", "1s", "--pool", "2"]).await;
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        let mut boss = cluster.player("Boss").await;
        boss.ask("open", json!({})).await.expect("an empty room");
        cluster.signal(signal);
        assert_eq!(
            client.event("reroute").await,
            json!({ "to": "lobby", "reason": { "code": "closed", "message": "The server is stopping." } })
        );
        assert!(client.end().await);
        assert_eq!(cluster.ended().await.code(), Some(0));
        are_gone(&cluster.processes()).await;
        cluster.logged("on_dispose").await;
        cluster.logged("lobby stopped").await;
        let complains = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
        let complaints: Vec<_> = cluster.lines().into_iter().filter(complains).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    };
    tokio::join!(stops(Signal::TERM), stops(Signal::INT));
}

#[tokio::test]
async fn a_stopping_lobby_does_not_wait_for_a_hung_room() {
    let mut cluster = start_game(&["--stop-timeout", "300ms"]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
    client.emit("spin", json!({}));
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
    are_gone(&cluster.processes()).await;
    are_gone(&[forked]).await;
}

#[tokio::test]
async fn a_stopping_lobby_does_not_wait_for_its_computations() {
    let mut cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    ann.ask("compute", json!({ "ms": 60_000 })).await.expect("given away");
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_stopping_lobby_opens_no_room() {
    let cluster = start_game(&["--drain-timeout", "20s"]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    let mut boss = cluster.player("Boss").await;
    cluster.signal(Signal::TERM);
    cluster.logged("on_stop").await;
    for (event, data) in
        [("open", json!({})), ("join", json!({ "room": client.event("joined").await["room"] }))]
    {
        assert_eq!(boss.ask(event, data).await, Err("stopping".into()), "{event}");
    }
}

#[tokio::test]
async fn warm_rooms_are_kept_ready_and_replaced() {
    let cluster = start_game(&["--pool", "3"]).await;
    let count = async |n| {
        eventually("so many", || (children(cluster.pid()).len() == n).then_some(())).await
    };
    count(3).await;
    let mut ann = cluster.player("Ann").await;
    eventually("three starts", || (cluster.processes().len() == 3).then_some(())).await;
    let warm = cluster.processes();
    let room = ann.ask("open", json!({})).await.expect("a room");
    assert!(warm.contains(&cluster.process_of(&room).await), "one of them was taken");
    count(4).await;
    let started = async |n| eventually("its start", || cluster.processes().get(n).copied()).await;
    kill_process(started(3).await, Signal::KILL).expect("it runs");
    started(4).await;
    count(4).await;
}

#[tokio::test]
async fn fifty_rooms_come_and_go_and_nothing_is_left_of_them() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let mut boss = cluster.player("Boss").await;
    let mut ann = cluster.player("Ann").await;
    let settled = async || {
        eventually("one warm room", || {
            let children = children(cluster.pid());
            (children.len() == 1 && is_alive(children[0])).then(|| cluster.descriptors())
        })
        .await
    };
    let mut before = None;
    for n in 0..51 {
        let mut client = ann.enter("create", json!({})).await;
        match n % 4 {
            0 => client.emit("finish", json!({ "winner": "Ann" })),
            1 => client.emit("panic", json!({})),
            2 => client.emit("exit", json!({})),
            _ => {
                let room = client.event("joined").await["room"].take();
                boss.ask("close", json!({ "room": room })).await.expect("its room");
                client.emit("send_me_away", json!({ "reason": "closed" }));
            }
        }
        boss.lobby().event("exited").await;
        ann.back().await;
        if n == 0 {
            // Descriptors that are opened once and kept do not count.
            before = Some(settled().await);
        }
    }
    let before = before.expect("there was a first");
    assert_eq!(boss.ask("list", json!({})).await, Ok(json!([])));
    settled().await;
    let same = || (cluster.descriptors() <= before).then_some(());
    eventually("as many open files as before", same).await;
}

#[tokio::test]
async fn a_room_inherits_no_descriptors_of_the_lobby() {
    let cluster = start_game(&["--pool", "0"]).await;
    let mut guests = Vec::new();
    for _ in 0..10 {
        guests.push(cluster.player("Guest").await);
    }
    let lobbys = sockets(cluster.pid());
    let mut client = guests[0].enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    let rooms = sockets(cluster.process_of(&room).await);
    assert!(lobbys.len() >= 10, "{lobbys:?}");
    assert!(!rooms.iter().any(|socket| lobbys.contains(socket)), "{rooms:?}");
    let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
    assert_eq!(sockets(forked), Vec::<String>::new(), "nor what it starts any of its own");
}

/// The inodes of a process's sockets.
fn sockets(process: Pid) -> Vec<String> {
    let all = descriptors(process).into_iter();
    all.filter(|target| target.starts_with("socket:")).collect()
}

#[tokio::test]
async fn new_rooms_are_of_the_lobbys_own_build_after_the_program_is_replaced() {
    let folder = TestFolder::new();
    let program = folder.path().join("cluster");
    fs::copy(game(), &program).expect("a copy");
    let cluster = builder(&program).flags(&["--pool", "0"]).start().await;
    let mut ann = cluster.player("Ann").await.enter("create", json!({})).await;
    let room = ann.event("joined").await["room"].take();

    // As Cargo does: a new file replaces the old one. This one cannot run.
    fs::write(folder.path().join("new"), "another build").expect("our folder");
    fs::rename(folder.path().join("new"), &program).expect("our folder");
    let mut bob = cluster.player("Bob").await.enter("create", json!({})).await;
    let next = bob.event("joined").await["room"].take();
    for room in [&room, &next] {
        let process = cluster.process_of(room).await.as_raw_nonzero();
        let file = fs::read_link(format!("/proc/{process}/exe")).expect("it runs");
        assert_eq!(file.display().to_string(), format!("{} (deleted)", program.display()));
    }
    assert_eq!(ann.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    assert_eq!(bob.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
}
