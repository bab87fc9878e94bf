//! The lobby leaves nothing behind, however it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{fs, thread};

use cluster::testing::{ProcessStat, TestFolder, TestPlayer, eventually, is_alive, soon};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::ONE_AT_A_TIME;
use crate::common::{builder, command, game, start_game};
use crate::faults::baseline::members;
use crate::faults::fault_test::{FaultTest, flags};

const KILLS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_lobby_leaves_no_room_behind_in_two_hundred_runs() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut times = Vec::new();
    for _ in 0..KILLS {
        times.push(kill().await);
    }
    times.sort();
    let quick = times.iter().filter(|time| **time < Duration::from_millis(100)).count();
    let (median, worst) = (times[KILLS / 2], times[KILLS - 1]);
    println!(
        "{KILLS} of {KILLS} lobbies left nothing; {quick} within 100 ms, median {median:.1?}, worst {worst:.1?}"
    );
}

/// Kills a lobby with an idle room, one in an endless loop and one that is stopped. Returns how
/// long it took until they and their child processes were gone.
async fn kill() -> Duration {
    let mut cluster = start_game(&["--pool", "3"]).await;
    let mut boss = cluster.player("Boss").await;
    for opening in ["fine", "fine", "spin"] {
        let options = json!({ "opening": opening, "forks": true });
        boss.ask("open", json!({ "options": options })).await.expect("a room");
    }
    // Each has a child process.
    let rooms = || cluster.processes().into_iter().take(3).collect::<Vec<_>>();
    let all = || Some(rooms()).filter(|rooms| members(rooms).len() == 6);
    let rooms = eventually("three rooms of two processes", all).await;
    rustix::process::kill_process(rooms[1], Signal::STOP).expect("it runs");
    let killed = Instant::now();
    cluster.signal(Signal::KILL);
    cluster.ended().await;
    let gone = async {
        while !members(&rooms).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("everything is gone", gone).await;
    killed.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_in_a_terminal_reaches_the_lobby_and_the_rooms_are_drained() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key");
    let lobby = format!(
        "exec '{}' --port 0 --log-format json --stop-timeout 1s --key-file '{}'",
        game().display(),
        key.display()
    );
    // `script` runs a program in a terminal and exits with its status; `exec`, as some shells would
    // exit with their own.
    let mut script = command("script")
        .args(["--quiet", "--return", "--command", &lobby, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` runs: install Debian's bsdutils");
    let mut terminal = script.stdin.take().expect("piped");
    let output = BufReader::new(script.stdout.take().expect("piped"));
    let (line, lines) = channel();
    thread::spawn(move || {
        output.lines().map_while(Result::ok).for_each(|text| drop(line.send(text)))
    });
    let mut heard = Vec::new();
    let mut hear = |what: &str| {
        loop {
            let text = lines.recv_timeout(Duration::from_secs(20)).expect(what);
            heard.push(text.clone());
            if text.contains(what) {
                return text;
            }
        }
    };
    let ready: Value = serde_json::from_str(hear("lobby ready").trim()).expect("a line of the log");
    let mut ann = TestPlayer::register(ready["url"].as_str().expect("a url"), "Ann").await;
    let mut anns = ann.enter("create", json!({})).await;
    let room = cluster::testing::pid(&anns.ask("pid", json!({})).await.expect("its id"));
    terminal.write_all(b"\x03").expect("a terminal");
    assert_eq!(
        anns.event("reroute").await,
        json!({ "to": "lobby", "reason": { "code": "closed", "message": "The server is stopping." } })
    );
    assert!(anns.end().await, "the room ends the connection in order");
    hear("asked to stop; draining");
    hear("on_dispose");
    hear("lobby stopped");
    let ended = eventually("the end", || script.try_wait().expect("our child")).await;
    assert_eq!(ended.code(), Some(0));
    assert!(!is_alive(room));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lobby_survives_a_closed_log() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = TestFolder::new();
    let program = folder.path().join("program");
    // The reader of the log exits as soon as the lobby is ready.
    let text = format!(
        "#!/bin/bash\nexec '{}' \"$@\" > >(exec sed -u '/lobby ready/q') 2>&1\n",
        game().display()
    );
    fs::write(&program, text).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("our own file");
    let cluster = builder(&program).flags(&flags(&[])).folder(&folder).start().await;
    let mut test = FaultTest::begin(cluster).await;
    let must = "a lobby whose log is closed goes on, and so do its rooms, also those that print";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        for n in 0..100 {
            group.emit("print", json!({ "text": format!("line {n}") }));
        }
        test.go_on(group);
        let group = test.victims();
        group.emit("panic", json!({}));
        test.are_back(group, "crashed", json!({})).await;
    };
    test.fault(must, inject).await;
    let mut cluster = test.end().await;
    let rooms: Vec<_> = ProcessStat::children(cluster.pid()).iter().map(|stat| stat.pid).collect();
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
    assert_eq!(members(&rooms), []);
}
