//! Faults of the running lobby, and restarts under load.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use cluster::testing::{ProcessStat, TestFolder, eventually};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::ONE_AT_A_TIME;
use crate::common::raw::http;
use crate::common::{builder, game};
use crate::faults::baseline::members;
use crate::faults::fault_test::{FaultTest, flags};

#[tokio::test(flavor = "multi_thread")]
async fn the_lobby_survives_faults_and_restarts() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = TestFolder::new();
    // A copy that can be replaced.
    let program = folder.path().join("program");
    fs::copy(game(), &program).expect("a copy");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").expect("written");
    let clock_file = clock.display().to_string();
    let library = fake_time();
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &clock_file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let port = free_port();
    let flags = flags(&["--port", &port]);
    let cluster = environment
        .iter()
        .fold(builder(&program), |builder, (name, value)| builder.env(name, value))
        .flags(&flags)
        .folder(&folder)
        .start()
        .await;
    let mut test = FaultTest::begin(cluster).await;
    clock_jumps(&mut test, &clock).await;
    descriptors(&mut test).await;
    program_replaced(&mut test, &program).await;
    let must =
        "the lobby is killed with all rooms and restarted: everyone returns with their token";
    let test = restart(test, Signal::KILL, must).await;
    let must =
        "the lobby stops gracefully and is restarted: everyone was told `closed` and returns";
    let test = restart(test, Signal::TERM, must).await;
    test.end().await;
}

/// The path of libfaketime, which sets a program's clock as a file says: from `LIBFAKETIME` or
/// where Debian installs it.
fn fake_time() -> String {
    if let Ok(library) = env::var("LIBFAKETIME") {
        return library;
    }
    let folders = fs::read_dir("/usr/lib").expect("Debian's libraries").flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found: Option<PathBuf> = libraries.find(|library| library.is_file());
    found.expect("libfaketime: install Debian's package of this name").display().to_string()
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}

/// The time of a log line in minutes since midnight.
fn minutes(line: &Value) -> i64 {
    let time = line["timestamp"].as_str().expect("a time");
    let part = |from: usize| time[from..from + 2].parse::<i64>().expect("digits");
    part(11) * 60 + part(14)
}

async fn clock_jumps(test: &mut FaultTest, clock: &Path) {
    let mut early = test.cluster.player("Before").await;
    let mut late = Vec::new();
    for (jump, must) in [
        ("+3600", "the clock jumps ahead by an hour: nobody is cut, tokens and tickets are good"),
        ("-3600", "the clock jumps back by two hours: the same, for tokens of the future as well"),
        ("+0", "the clock is right again: the same"),
    ] {
        let inject = async |test: &mut FaultTest| {
            fs::write(clock, jump).expect("written");
            let now = test.cluster.player(&format!("At {jump}")).await;
            let of = |name: &str| {
                let is_it =
                    |line: &Value| line["message"] == "registered" && line["player"] == *name;
                test.cluster.lines().into_iter().find(is_it)
            };
            let line = eventually("its line", || of(&format!("At {jump}"))).await;
            let before = of("Before").expect("its line");
            let jumped = (minutes(&line) - minutes(&before)).rem_euclid(24 * 60);
            let expected = jump.parse::<i64>().expect("a number").rem_euclid(24 * 3600) / 60;
            assert!((jumped - expected).rem_euclid(24 * 60) < 10, "{jumped} for {expected}");
            late.push(now);
            for player in late.iter_mut().chain([&mut early]) {
                assert_eq!(player.back().await["you"], player.you, "the token is good");
                let seat = json!({ "room": test.group().room });
                player.enter("join", seat).await.leave().await;
                player.back().await;
            }
        };
        test.fault(must, inject).await;
    }
}

async fn descriptors(test: &mut FaultTest) {
    let must =
        "without free descriptors no connection is accepted and players play on; with them all are";
    let inject = async |test: &mut FaultTest| {
        let before = getrlimit(Resource::Nofile);
        let few = test.cluster.descriptors() as u64 + 3;
        let lobby = Some(test.cluster.pid());
        let low = Rlimit { current: Some(few), maximum: before.maximum };
        let was = prlimit(lobby, Resource::Nofile, low).expect("our child");
        // The warm rooms are used up, then there is none.
        let mut rooms = Vec::new();
        let refused = loop {
            match test.boss.ask("open", json!({})).await {
                Ok(room) => rooms.push(room),
                Err(code) => break code,
            }
        };
        assert_eq!(refused, "no_room");
        let url = test.cluster.url.clone();
        let waiting = (0..20).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { http(&url, "GET", "/dev", &[]).await.0 })
        });
        let waiting: Vec<_> = waiting.collect();
        test.cluster.logged("cannot accept a connection; trying again").await;
        for _ in 0..20 {
            assert_eq!(test.group().ask("later", json!({ "n": 7 })).await, json!(7));
            test.boss.ask("seat_of", json!({})).await.expect("an answer");
        }
        prlimit(lobby, Resource::Nofile, was).expect("our child");
        for answer in waiting {
            assert_eq!(answer.await.expect("an answer"), 200, "waiting connections are served");
        }
        rooms.push(test.boss.ask("open", json!({})).await.expect("a room"));
        for room in rooms {
            test.boss.ask("close", json!({ "room": room })).await.expect("its room");
        }
    };
    test.fault(must, inject).await;
}

async fn program_replaced(test: &mut FaultTest, program: &Path) {
    let must = "the program is replaced: rooms go on, and new ones are of the lobby's own build";
    let inject = async |test: &mut FaultTest| {
        let new = program.with_extension("new");
        fs::copy(game(), &new).expect("a copy");
        // As Cargo does.
        fs::rename(&new, program).expect("our own file");
        let group = test.victims_in(json!({})).await;
        let path = format!("/proc/{}/exe", group.process().await.as_raw_nonzero());
        let runs = fs::read_link(path).expect("it runs");
        let own = format!("{} (deleted)", program.display());
        assert_eq!(runs.display().to_string(), own, "and not the file that is there now");
        test.go_on(group);
    };
    test.fault(must, inject).await;
}

/// Ends the lobby with this signal and starts it again with the same command.
async fn restart(mut test: FaultTest, signal: Signal, must: &str) -> FaultTest {
    let begun = Instant::now();
    test.everyone_may_disconnect();
    let rooms: Vec<_> =
        ProcessStat::children(test.cluster.pid()).iter().map(|stat| stat.pid).collect();
    test.cluster.signal(signal);
    let status = test.cluster.ended().await;
    eventually("all rooms are gone", || members(&rooms).is_empty().then_some(())).await;
    let ended = begun.elapsed();
    let mut test = test.start_again().await;
    // Each player has checked that they are still the same.
    let told = test.everyone_is_back().await;
    if signal == Signal::TERM {
        assert_eq!(status.code(), Some(0));
        assert!(told.iter().all(|told| told.as_deref() == Some("closed")), "{told:?}");
    }
    test.everyone_joins_again().await;
    println!("{:>5.1} s  {must} (gone after {ended:.2?})", begun.elapsed().as_secs_f64());
    test
}
