//! What a room can do, and what can be done to it.

use cluster::testing::{eventually, is_alive, pid};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    ONE_AT_A_TIME,
    faults::{
        baseline::members,
        storm::{Storm, changing_weather},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_room_does_harms_no_other() {
    let _turn = ONE_AT_A_TIME.lock().await;
    changing_weather(&["--room-memory", "256m"], async |storm| {
        die(storm).await;
        hang(storm).await;
        begin(storm).await;
        speak(storm).await;
        leave_things(storm).await;
        takes_memory(storm).await;
    })
    .await;
}

async fn die(storm: &mut Storm) {
    for (event, must) in [
        ("panic", "a room whose hook panics has crashed, and its players are told"),
        ("exit", "a room that calls exit(0) has crashed: it has not said that it is over"),
    ] {
        let inject = async |storm: &mut Storm| {
            let crew = storm.victims();
            crew.emit(event, json!({}));
            storm.are_back(crew, "crashed", json!({})).await;
        };
        storm.fault(must, inject).await;
    }
    let must = "a room that aborts has crashed";
    dies_of(storm, "abort", must).await;
    for (signal, must) in [
        (Signal::SEGV, "a room with a bad pointer has crashed"),
        (Signal::KILL, "a room that is killed has crashed"),
    ] {
        let inject = async |storm: &mut Storm| {
            let crew = storm.victims();
            let process = crew.process().await;
            // The first SIGSEGV is looked at by Rust's own handler for stacks that overflow.
            let dies = || {
                let _ = kill_process(process, signal);
                (!is_alive(process)).then_some(())
            };
            eventually("its end", dies).await;
            storm.are_back(crew, "crashed", json!({})).await;
        };
        storm.fault(must, inject).await;
    }
}

/// A room does this to itself, and that is its end.
async fn dies_of(storm: &mut Storm, what: &str, must: &str) {
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.emit(what, json!({}));
        storm.are_back(crew, "crashed", json!({})).await;
    };
    storm.fault(must, inject).await;
}

/// A room does this to its channel, and that is its end.
async fn misbehaves(storm: &mut Storm, how: &str, reason: &str, must: &str) {
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.misbehave(how);
        storm.are_back(crew, reason, json!({})).await;
    };
    storm.fault(must, inject).await;
}

/// What `--room-memory` is for.
async fn takes_memory(storm: &mut Storm) {
    let must = "a room that takes more memory than it may has crashed";
    dies_of(storm, "hog", must).await;
}

async fn hang(storm: &mut Storm) {
    let must = "a room whose hook never ends is hung, and killed after three seconds";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.emit("spin", json!({}));
        storm.are_back(crew, "hung", json!({})).await;
    };
    storm.fault(must, inject).await;
    let must = "a room that is stopped is hung, and killed after three seconds";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        kill_process(crew.process().await, Signal::STOP).expect("it runs");
        storm.are_back(crew, "hung", json!({})).await;
    };
    storm.fault(must, inject).await;
    let must = "a room that ignores the request to close is killed when its time is up";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims_in(json!({ "clings": true })).await;
        let process = crew.process().await;
        storm.boss.ask("close", json!({ "room": crew.room })).await.expect("its room");
        storm.are_back(crew, "closed", json!({})).await;
        eventually("its end", || (!is_alive(process)).then_some(())).await;
    };
    storm.fault(must, inject).await;
}

/// Rooms that do not begin as they should; who waits for one is refused, or gets in late.
async fn begin(storm: &mut Storm) {
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
        let inject = async |storm: &mut Storm| {
            let mut ann = storm.cluster.player("Ann").await;
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
        storm.fault(must, inject).await;
    }
}

/// What comes over the channel that should not, and what should and does not.
async fn speak(storm: &mut Storm) {
    for (how, reason, must) in [
        ("garbage", "crashed", "a room that says garbage to the lobby is ended"),
        ("half", "hung", "a room that stops in the middle of a frame is hung"),
        ("oversized", "crashed", "a room that says too long a frame is ended"),
        ("endless", "crashed", "a room whose frame never ends is ended when it is too long"),
    ] {
        misbehaves(storm, how, reason, must).await;
    }
    let must = "a room that does not read what it is told is hung when too much waits for it";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.misbehave("deaf");
        // Nobody in there is answered any more.
        let tell = json!({ "room": crew.room, "times": 6000, "bytes": 0 });
        storm.boss.ask("tell_much", tell).await.expect("a message is only put in a queue");
        storm.are_back(crew, "hung", json!({})).await;
    };
    storm.fault(must, inject).await;
    let must = "a room that floods the lobby with good frames only slows itself down";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.misbehave("flood");
        // The lobby answers meanwhile.
        for _ in 0..100 {
            storm.boss.ask("list", json!({})).await.expect("the rooms");
        }
        storm.go_on(crew);
    };
    storm.fault(must, inject).await;
    let must = "a room that floods its log harms nobody";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        crew.emit("print_many", json!({ "lines": 20_000 }));
        for _ in 0..100 {
            storm.boss.ask("list", json!({})).await.expect("the rooms");
        }
        storm.go_on(crew);
    };
    storm.fault(must, inject).await;
}

async fn leave_things(storm: &mut Storm) {
    let must = "what a room has started ends with it";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        let forked = pid(&crew.ask("fork", json!({})).await);
        let process = crew.process().await;
        assert_eq!(members(&[process]).len(), 2);
        crew.emit("exit", json!({}));
        storm.are_back(crew, "crashed", json!({})).await;
        eventually("their end", || members(&[process]).is_empty().then_some(())).await;
        assert!(!is_alive(forked));
    };
    storm.fault(must, inject).await;
    let must = "a process that a room has put out of reach, and that keeps its output open, holds nobody up";
    let inject = async |storm: &mut Storm| {
        let crew = storm.victims();
        let away = pid(&crew.ask("fork_away", json!({})).await);
        crew.emit("exit", json!({}));
        storm.are_back(crew, "crashed", json!({})).await;
        // The lobby does not know of it.
        let _ = kill_process(away, Signal::KILL);
        eventually("its end", || (!is_alive(away)).then_some(())).await;
    };
    storm.fault(must, inject).await;
}
