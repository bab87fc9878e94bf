//! What a room can do, and what can be done to it.

use cluster::testing::{eventually, is_alive, pid};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    ONE_AT_A_TIME,
    faults::{
        baseline::members,
        fault_test::{FaultTest, run_with_faults},
    },
};

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
            // The first SIGSEGV is looked at by Rust's own handler for stacks that overflow.
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

/// A room does this to itself, and that is its end.
async fn dies_of(test: &mut FaultTest, what: &str, must: &str) {
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.emit(what, json!({}));
        test.are_back(group, "crashed", json!({})).await;
    };
    test.fault(must, inject).await;
}

/// A room does this to its channel, and that is its end.
async fn misbehaves(test: &mut FaultTest, how: &str, reason: &str, must: &str) {
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.misbehave(how);
        test.are_back(group, reason, json!({})).await;
    };
    test.fault(must, inject).await;
}

/// What `--room-memory` is for.
async fn takes_memory(test: &mut FaultTest) {
    let must = "a room that takes more memory than it may has crashed";
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
    let must = "a room that ignores the request to close is killed when its time is up";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims_in(json!({ "clings": true })).await;
        let process = group.process().await;
        test.boss.ask("close", json!({ "room": group.room })).await.expect("its room");
        test.are_back(group, "closed", json!({})).await;
        eventually("its end", || (!is_alive(process)).then_some(())).await;
    };
    test.fault(must, inject).await;
}

/// Rooms that do not begin as they should; who waits for one is refused, or gets in late.
async fn begin(test: &mut FaultTest) {
    for (opening, outcome, must) in [
        (json!("never"), "no_room", "who waits for a room that is never ready is refused"),
        (json!("spin"), "room_gone", "who waits for a room that hangs while it opens is refused"),
        (json!("panic"), "room_gone", "who waits for a room that panics while it opens is refused"),
        (
            json!({ "late": { "ms": 1000 } }),
            "",
            "who waits for a room that is ready late gets in late",
        ),
    ] {
        let inject = async |test: &mut FaultTest| {
            let mut ann = test.cluster.player("Ann").await;
            let new = json!({ "options": { "opening": opening } });
            match ann.ask("create", new).await {
                Err(code) => assert_eq!(code, outcome),
                Ok(seat) => {
                    assert_eq!(outcome, "");
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

/// What comes over the channel that should not, and what should and does not.
async fn speak(test: &mut FaultTest) {
    for (how, reason, must) in [
        ("garbage", "crashed", "a room that says garbage to the lobby is ended"),
        ("half", "hung", "a room that stops in the middle of a frame is hung"),
        ("oversized", "crashed", "a room that says too long a frame is ended"),
        ("endless", "crashed", "a room whose frame never ends is ended when it is too long"),
    ] {
        misbehaves(test, how, reason, must).await;
    }
    let must = "a room that does not read what it is told is hung when too much waits for it";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        group.misbehave("deaf");
        // Nobody in there is answered any more.
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
    let must = "what a room has started ends with it";
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
    let must = "a process that a room has put out of reach, and that keeps its output open, holds nobody up";
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
