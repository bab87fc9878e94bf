//! Signals, to the lobby alone or to all of its processes, and what a room inherits. Reads `/proc`.
#![cfg(target_os = "linux")]

use std::fs;

use cluster::testing::{
    LobbyProcess, ProcessStat, TestFolder, descriptors, eventually, is_alive, is_room, pid,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{builder, command, game, script, start_game};

/// A script for [`start_by`]: the lobby is on a terminal, and hears SIGHUP, also if these tests run
/// under `nohup`.
const ON_TERMINAL: &str = "exec env --default-signal=HUP \"$@\" </dev/ptmx";

/// Starts the game by a shell script, which gets its path and flags as `"$@"`.
async fn start_by(text: &str, flags: &[&str]) -> LobbyProcess {
    let folder = TestFolder::new();
    let text = format!("set -- '{}' \"$@\"\n{text}", game().display());
    builder(&script(&folder, "script", &text)).flags(flags).folder(&folder).start().await
}

async fn are_gone(processes: &[Pid]) {
    eventually("their end", || processes.iter().all(|pid| !is_room(*pid)).then_some(())).await;
}

#[tokio::test]
async fn every_stop_signal_calls_on_stop_and_tells_players_that_the_lobby_closes() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut cluster = start_by(ON_TERMINAL, &["--stop-timeout", "1s"]).await;
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        cluster.signal(signal);
        assert_eq!(client.event("reroute").await["reason"]["code"], "closed", "{signal:?}");
        assert_eq!(cluster.ended().await.code(), Some(0), "{signal:?}");
        cluster.logged("on_stop").await;
        are_gone(&cluster.processes()).await;
    }
}

#[tokio::test]
async fn a_stop_signal_to_all_processes_makes_no_room_crash() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut cluster = start_by(ON_TERMINAL, &["--stop-timeout", "1s", "--pool", "2"]).await;
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        eventually("three rooms", || (cluster.processes().len() == 3).then_some(())).await;
        let rooms = cluster.processes();
        let started =
            || rooms.iter().all(|room| mask(*room, "SigCgt:").count_ones() >= 7).then_some(());
        eventually("their start", started).await;
        // The lobby last: a room that the signal ends would be gone before it.
        for room in rooms {
            kill_process(room, signal).expect("it runs");
        }
        assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{signal:?}");
        cluster.signal(signal);
        assert_eq!(client.event("reroute").await["reason"]["code"], "closed", "{signal:?}");
        assert_eq!(cluster.ended().await.code(), Some(0), "{signal:?}");
        assert_eq!(cluster.count("room crashed"), 0, "{signal:?}");
        assert_eq!(cluster.count("a warm room ended"), 0, "{signal:?}");
    }
}

#[tokio::test]
async fn signals_without_a_meaning_end_neither_lobby_nor_room() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut client = ann.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    for signal in [Signal::USR1, Signal::USR2, Signal::XFSZ] {
        cluster.signal(signal);
        cluster.signal_room(&room, signal).await;
        assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{signal:?}");
        assert_eq!(boss.ask("seat_of", json!({})).await, Ok(Value::Null), "{signal:?}");
    }
}

#[tokio::test]
async fn a_third_stop_signal_ends_the_lobby_and_its_rooms_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::HUP, Signal::INT)] {
        let mut cluster = start_by(ON_TERMINAL, &["--stop-timeout", "10m"]).await;
        let mut boss = cluster.player("Boss").await;
        let clings = json!({ "options": { "clings": true } });
        let mut client = cluster.player("Ann").await.enter("create", clings).await;
        let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
        cluster.signal(first);
        cluster.logged("on_stop").await;
        assert_eq!(boss.ask("open", json!({})).await, Err("stopping".into()));
        cluster.signal(second);
        cluster.logged("asked again to stop; stopping now").await;
        cluster.signal(second);
        assert_eq!(cluster.ended().await.code(), Some(1));
        cluster.logged("asked a third time to stop; ending at once").await;
        are_gone(&cluster.processes()).await;
        eventually("the end of the room's child", || (!is_alive(forked)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_third_stop_signal_ends_a_lobby_whose_hook_blocks() {
    let mut cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    boss.lobby().emit("block", json!({ "ms": 600_000 }));
    cluster.logged("blocking").await;
    cluster.signal(Signal::TERM);
    let ended = || {
        cluster.signal(Signal::INT);
        cluster.has_ended()
    };
    assert_eq!(eventually("the lobby's end", ended).await.code(), Some(1));
}

#[tokio::test]
async fn a_closed_terminal_that_sends_sighup_twice_does_not_cut_the_stop_short() {
    let mut cluster = start_by(ON_TERMINAL, &["--stop-timeout", "1s"]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    cluster.signal(Signal::HUP);
    cluster.logged("asked to stop; draining").await;
    cluster.signal(Signal::HUP);
    assert_eq!(client.event("reroute").await["reason"]["code"], "closed");
    cluster.ended().await;
    cluster.logged("on_dispose").await;
    cluster.logged("lobby stopped").await;
}

#[tokio::test]
async fn a_lobby_under_nohup_ignores_sighup() {
    let mut cluster = start_by("trap '' HUP; exec \"$@\"", &[]).await;
    cluster.signal(Signal::HUP);
    let mut ann = cluster.player("Ann").await;
    ann.enter("create", json!({})).await;
    assert_eq!(cluster.count("asked to stop; draining"), 0);
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_lobby_whose_on_start_never_returns_can_be_stopped() {
    let folder = TestFolder::new();
    let mut lobby = command(game());
    lobby.env("CLUSTER_KEY_FILE", folder.path().join("lobby.key")).env("STARTING", "for ever");
    let mut lobby = lobby.spawn().expect("the program starts");
    let process = Pid::from_child(&lobby);
    // Handled from just before the port is bound, and SIGTERM before SIGQUIT.
    let handled =
        || (mask(process, "SigCgt:") >> (Signal::QUIT.as_raw() - 1) & 1 == 1).then_some(());
    eventually("a handler of SIGQUIT", handled).await;
    kill_process(process, Signal::TERM).expect("our child");
    let ended = eventually("its end", || lobby.try_wait().expect("our child"));
    assert_eq!(ended.await.code(), Some(0));
}

#[tokio::test]
async fn descriptors_that_the_lobbys_parent_left_open_are_open_in_no_room() {
    let cluster =
        start_by("exec 3>\"$0.secret\" 9<\"$0.secret\"; exec \"$@\"", &["--pool", "0"]).await;
    let is_secret = |file: &String| file.ends_with(".secret");
    assert_eq!(descriptors(cluster.pid()).iter().filter(|file| is_secret(file)).count(), 2);
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
    for process in [cluster.process_of(&room).await, forked] {
        let files = descriptors(process);
        assert!(!files.iter().any(is_secret), "{files:?}");
    }
}

#[tokio::test]
async fn the_child_of_a_room_ignores_and_blocks_no_signal() {
    let cluster = start_game(&[]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    let forked = pid(&client.ask("fork", json!({})).await.expect("a process"));
    assert_eq!((mask(forked, "SigIgn:"), mask(forked, "SigBlk:")), (0, 0));
}

/// The signals that a process ignores, blocks or handles, without SIGSEGV and SIGBUS, which the
/// standard library handles, and the real-time signals, some of which the C library takes.
fn mask(process: Pid, set: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    let status = status.expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix(set)).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("hexadecimal");
    mask & 0x7fff_ffff & !(1 << (Signal::SEGV.as_raw() - 1)) & !(1 << (Signal::BUS.as_raw() - 1))
}

#[tokio::test]
async fn as_the_first_process_of_a_container_the_lobby_leaves_no_zombie() {
    // Another user's namespace, so that the test needs no privileges.
    let contained =
        "exec unshare --user --map-root-user --pid --fork --mount-proc --kill-child \"$@\"";
    let mut cluster = start_by(contained, &["--stop-timeout", "1s", "--pool", "0"]).await;
    let container = cluster.pid();
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    client.ask("fork", json!({})).await.expect("a process");
    client.ask("fork_away", json!({})).await.expect("a process");
    let before = descendants(container).len();
    client.emit("exit", json!({}));
    // The room and one of its children end.
    let left = || {
        let left = descendants(container);
        (left.len() == before - 2 && left.iter().all(ProcessStat::is_alive)).then_some(left)
    };
    // The one that left its room's process group lives, as a child of the first process.
    let left = eventually("nothing else is left, not even unreaped", left).await;
    let init = ProcessStat::children(container)[0].pid;
    assert_eq!(left.iter().filter(|stat| stat.parent == init.as_raw_nonzero().get()).count(), 2);

    let mut client = cluster.player("Bob").await.enter("create", json!({})).await;
    kill_process(init, Signal::TERM).expect("it runs");
    assert_eq!(client.event("reroute").await["reason"]["code"], "closed");
    assert_eq!(cluster.ended().await.code(), Some(0));
    cluster.logged("lobby stopped").await;
    eventually("their end", || left.iter().all(|stat| !is_alive(stat.pid)).then_some(())).await;
}

/// All processes that descend from this one.
fn descendants(process: Pid) -> Vec<ProcessStat> {
    let children = ProcessStat::children(process);
    let further = children.iter().flat_map(|child| descendants(child.pid));
    children.iter().copied().chain(further).collect()
}

#[tokio::test]
async fn the_first_process_of_a_container_passes_on_the_lobbys_status() {
    let contained =
        ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut unshare = command("unshare");
    let output = unshare.args(contained).arg(game()).arg("--nonsense").output().expect("unshare");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--nonsense"), "{text}");
}
