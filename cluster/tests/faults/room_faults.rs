//! Faults of rooms.

use cluster::testing::{eventually, is_alive, pid};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::ONE_AT_A_TIME;
use crate::faults::baseline::members;
use crate::faults::fault_test::{FaultTest, run_with_faults};

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_room_harm_no_other_room() {
    let _turn = ONE_AT_A_TIME.lock().await;
    run_with_faults(&["--room-memory", "256m"], async |test| {
        die(test).await;
        hang(test).await;
        begin(test).await;
        speak(test).await;
        leave_things(test).await;
        takes_memory(test).await;
    })
    .await;
}

async fn die(test: &mut FaultTest) {
    for (event, must) in [
        ("panic", "a room whose hook panics has crashed, and its players are told"),
        ("exit", "a room that calls exit(0) has crashed: it has not said that it is over"),
    ] {
        let inject = async |test: &mut FaultTest| {
            let group = test.victims();
            group.emit(event, json!({}));
            test.are_back(group, "crashed", json!({})).await;
        };
        test.fault(must, inject).await;
    }
    let must = "a room that aborts has crashed";
    dies_of(test, "abort", must).await;
    for (signal, must) in [
        (Signal::SEGV, "a room with a bad pointer has crashed"),
        (Signal::KILL, "a room that is killed has crashed"),
    ] {
        let inject = async |test: &mut FaultTest| {
            let group = test.victims();
            let process = group.process().await;
            // Rust's own handler for stack overflows catches the first SIGSEGV.
            let dies = || {
                let _ = kill_process(process, signal);
                (!is_alive(process)).then_some(())
            };
            eventually("its end", dies).await;
            test.are_back(group, "crashed", json!({})).await;
        };
        test.fault(must, inject).await;
    }
}

/// A room harms itself in this way and crashes.
async fn dies_of(test: &mut FaultTest, what: &str, must: &str) {
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.emit(what, json!({}));
        test.are_back(group, "crashed", json!({})).await;
    };
    test.fault(must, inject).await;
}

/// A room abuses its channel in this way and is killed.
async fn misbehaves(test: &mut FaultTest, how: &str, reason: &str, must: &str) {
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.misbehave(how);
        test.are_back(group, reason, json!({})).await;
    };
    test.fault(must, inject).await;
}

/// Tests `--room-memory`.
async fn takes_memory(test: &mut FaultTest) {
    let must = "a room that exceeds its memory limit has crashed";
    dies_of(test, "hog", must).await;
}

async fn hang(test: &mut FaultTest) {
    let must = "a room whose hook never ends is hung, and killed after three seconds";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.emit("spin", json!({}));
        test.are_back(group, "hung", json!({})).await;
    };
    test.fault(must, inject).await;
    let must = "a room that is stopped is hung, and killed after three seconds";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        kill_process(group.process().await, Signal::STOP).expect("it runs");
        test.are_back(group, "hung", json!({})).await;
    };
    test.fault(must, inject).await;
    let must = "a room that ignores close is killed at the deadline";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims_in(json!({ "clings": true })).await;
        let process = group.process().await;
        test.boss.ask("close", json!({ "room": group.room })).await.expect("its room");
        test.are_back(group, "closed", json!({})).await;
        eventually("its end", || (!is_alive(process)).then_some(())).await;
    };
    test.fault(must, inject).await;
}

/// Rooms that fail to open: players who wait for one are refused, or join late.
async fn begin(test: &mut FaultTest) {
    for (opening, refusals, must) in [
        (
            json!("never"),
            &["no_room"][..],
            "players waiting for a room that is never ready are refused",
        ),
        (
            json!("spin"),
            // On a busy machine it is not ready in time before it counts as hung.
            &["room_gone", "no_room"],
            "players waiting for a room that hangs in on_open are refused",
        ),
        (
            json!("panic"),
            &["room_gone"],
            "players waiting for a room that panics in on_open are refused",
        ),
        (json!({ "late": { "ms": 1000 } }), &[], "players waiting for a slow room join late"),
    ] {
        let inject = async |test: &mut FaultTest| {
            let mut ann = test.cluster.player("Ann").await;
            let new = json!({ "options": { "opening": opening } });
            match ann.ask("create", new).await {
                Err(code) => assert!(refusals.contains(&&*code), "{code}"),
                Ok(seat) => {
                    assert!(refusals.is_empty(), "not refused: {opening}");
                    let reroute = ann.rerouted().await;
                    let mut client = ann.take(&reroute).await;
                    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
                    client.emit("finish", json!({ "winner": "Ann" }));
                    let returned =
                        json!({ "room": seat["room"], "reason": { "code": "finished" } });
                    client.end().await;
                    assert_eq!(ann.back().await["returned"], returned);
                }
            }
            assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
        };
        test.fault(must, inject).await;
    }
}

/// Invalid, missing and excessive frames on the channel.
async fn speak(test: &mut FaultTest) {
    for (how, reason, must) in [
        ("garbage", "crashed", "a room that says garbage to the lobby is ended"),
        ("half", "hung", "a room that stops in the middle of a frame is hung"),
        ("oversized", "crashed", "a room that says too long a frame is ended"),
        ("endless", "crashed", "a room whose frame never ends is ended when it is too long"),
    ] {
        misbehaves(test, how, reason, must).await;
    }
    let must = "a room that does not read its channel is hung when its queue is full";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.misbehave("deaf");
        // None of its players are answered any more.
        let tell = json!({ "room": group.room, "times": 6000, "bytes": 0 });
        test.boss.ask("tell_much", tell).await.expect("a message is only put in a queue");
        test.are_back(group, "hung", json!({})).await;
    };
    test.fault(must, inject).await;
    let must = "a room that floods the lobby with good frames only slows itself down";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.misbehave("flood");
        // The lobby answers meanwhile.
        for _ in 0..100 {
            test.boss.ask("list", json!({})).await.expect("the rooms");
        }
        test.go_on(group);
    };
    test.fault(must, inject).await;
    let must = "a room that floods its log harms nobody";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.emit("print_many", json!({ "lines": 20_000 }));
        for _ in 0..100 {
            test.boss.ask("list", json!({})).await.expect("the rooms");
        }
        test.go_on(group);
    };
    test.fault(must, inject).await;
}

async fn leave_things(test: &mut FaultTest) {
    let must = "child processes of a room end with it";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        let forked = pid(&group.ask("fork", json!({})).await);
        let process = group.process().await;
        assert_eq!(members(&[process]).len(), 2);
        group.emit("exit", json!({}));
        test.are_back(group, "crashed", json!({})).await;
        eventually("their end", || members(&[process]).is_empty().then_some(())).await;
        assert!(!is_alive(forked));
    };
    test.fault(must, inject).await;
    let must = "a daemon of a room that keeps its output open delays nobody";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        let away = pid(&group.ask("fork_away", json!({})).await);
        group.emit("exit", json!({}));
        test.are_back(group, "crashed", json!({})).await;
        // The lobby does not know of it.
        let _ = kill_process(away, Signal::KILL);
        eventually("its end", || (!is_alive(away)).then_some(())).await;
    };
    test.fault(must, inject).await;
}
