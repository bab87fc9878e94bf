//! The load test: its figures, its thresholds, and how it ends.

use std::fs;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cluster::testing::{LobbyProcess, Pid, Signal, TestFolder, eventually};
use rustix::process::kill_process;
use serde_json::{Value, json};

use crate::common::{command, game, start_game};

/// A load test whose bots say this, with these flags.
struct Run {
    process: Child,
    folder: Arc<TestFolder>,
}

impl Run {
    fn start(say: &str, flags: &[&str]) -> Run {
        let folder = TestFolder::new();
        let mut command = command(game());
        command.env("LOADTEST", say).args(["--ramp-up", "100ms", "--json"]);
        command.arg(folder.path().join("figures.json")).args(flags);
        let process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        Run { process, folder }
    }

    /// The load of a lobby that runs already.
    fn on(lobby: &LobbyProcess, say: &str, flags: &[&str]) -> Run {
        Run::start(say, &[&["--url", &lobby.url, "--drop-every", "0s"], flags].concat())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits for the end. Returns also what it has printed.
    async fn end(mut self) -> (ExitStatus, Value, String) {
        let status = eventually("the end", || self.process.try_wait().expect("our child")).await;
        let printed = std::io::read_to_string(self.process.stdout.take().expect("piped"));
        let figures = fs::read_to_string(self.folder.path().join("figures.json"));
        let figures = figures.map(|text| serde_json::from_str(&text).expect("JSON"));
        (status, figures.unwrap_or_default(), printed.expect("text"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until the rooms have logged so many lines that begin so.
async fn told(lobby: &LobbyProcess, begin: &str, count: usize) {
    let begins = |line: &Value| line["message"].as_str().is_some_and(|it| it.starts_with(begin));
    let seen = || lobby.lines().iter().filter(|line| begins(line)).count();
    eventually(begin, || (seen() == count).then_some(())).await;
}

#[tokio::test]
async fn a_load_test_counts_what_the_server_counts() {
    let lobby = start_game(&[]).await;
    let pid = lobby.pid().as_raw_nonzero().to_string();
    let run = Run::on(&lobby, "echo", &["--players", "10", "--for", "3s", "--pid", &pid]);
    let (status, figures, printed) = run.end().await;
    assert!(status.success(), "{printed}");
    assert_eq!(figures["connect"]["count"], 10);
    assert_eq!(figures["reroute"]["count"], 10);
    assert_eq!(figures["join"]["count"], 10);
    told(&lobby, "joined player=", 10).await;
    assert_eq!(figures["rooms"], 2); // of eight seats
    assert_eq!(figures["players"]["in_rooms"], 10);
    assert_eq!(figures["errors"]["total"], 0, "{printed}");

    let requests = figures["requests"]["count"].as_u64().unwrap();
    assert_eq!(figures["round_trip"]["count"], requests);
    // At most 20 a second for each of them, in 3.1 seconds; and each is told to all in the room.
    assert!((10..=620).contains(&requests), "{printed}");
    assert!(figures["deliveries"]["count"].as_u64() > Some(requests), "{printed}");
    assert!(figures["server"]["per_room"]["memory_kib"].as_f64() > Some(50.0), "{printed}");

    // They have left in order.
    told(&lobby, "left player=", 10).await;
}

/// Whoever waits for an answer before asking again would see one slow answer for each player.
#[tokio::test]
async fn a_room_that_stands_still_shows_in_all_requests_that_it_delays() {
    let lobby = start_game(&[]).await;
    let run = Run::on(&lobby, "echo", &["--players", "4", "--for", "1h"]);
    let mut ann = lobby.player("Ann").await;
    let mut room = ann.enter("best", json!({})).await;
    told(&lobby, "joined player=", 5).await;
    room.ask("block", json!({ "ms": 1500 })).await.expect("an answer");
    // What was asked meanwhile is answered before this.
    room.ask("logged", Value::Null).await.expect("an answer");
    run.interrupt();
    let (_, figures, printed) = run.end().await;
    // Some 30 of each player's requests were delayed, evenly up to 1.5 seconds.
    assert!(figures["round_trip"]["max"].as_f64() > Some(1300.0), "{printed}");
    assert!(figures["round_trip"]["p90"].as_f64() > Some(800.0), "{printed}");
    assert!(figures["round_trip"]["p50"].as_f64() > Some(100.0), "{printed}");
}

/// What a bot would have asked while it could not counts from then.
#[tokio::test]
async fn bots_that_stand_still_show_in_all_requests_that_they_delay() {
    let lobby = start_game(&[]).await;
    let run = Run::on(&lobby, "echo", &["--players", "1", "--for", "1h"]);
    let mut ann = lobby.player("Ann").await;
    let mut room = ann.enter("best", json!({})).await;
    told(&lobby, "joined player=", 2).await;
    room.event("echoed").await;
    run.signal(Signal::STOP);
    // The fault lasts this long.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    room.forget();
    run.signal(Signal::CONT);
    for _ in 0..15 {
        room.event("echoed").await;
    }
    run.interrupt();
    let (_, figures, printed) = run.end().await;
    assert!(figures["round_trip"]["max"].as_f64() > Some(800.0), "{printed}");
    assert!(figures["round_trip"]["p50"].as_f64() > Some(50.0), "{printed}");
}

#[tokio::test]
async fn requests_that_are_refused_are_errors_by_code() {
    let flags = ["--players", "2", "--for", "3s", "--drop-every", "0s"];
    let (_, figures, printed) = Run::start("no_such_thing", &flags).end().await;
    let refused = &figures["errors"]["no_such_thing: unknown_event"];
    assert!(refused.as_u64() > Some(0), "{printed}");
    assert_eq!([&figures["errors"]["total"], &figures["requests"]["count"]], [refused; 2]);
}

#[tokio::test]
async fn requests_that_are_never_answered_are_errors_and_have_waited() {
    let lobby = start_game(&[]).await;
    let run = Run::on(&lobby, "echo", &["--players", "2", "--for", "1h"]);
    told(&lobby, "joined player=", 2).await;
    let room = lobby.logged("rerouted").await["room"].clone();
    lobby.signal_room(&room, Signal::STOP).await;
    // The fault lasts this long.
    tokio::time::sleep(Duration::from_millis(500)).await;
    lobby.signal_room(&room, Signal::KILL).await;
    told(&lobby, "joined player=", 4).await;
    run.interrupt();
    let (_, figures, printed) = run.end().await;
    assert!(figures["errors"]["echo: unanswered"].as_u64() > Some(1), "{printed}");
    assert!(figures["round_trip"]["max"].as_f64() > Some(300.0), "{printed}");
    // The room's log may be ahead of the other player.
    assert!(figures["returns"].as_u64() >= Some(1), "{printed}");
}

#[tokio::test]
async fn thresholds_set_the_exit_status() {
    let flags = ["--players", "4", "--rooms", "2", "--for", "3s", "--drop-every", "200ms"];
    let good = ["--threshold", "join.p99<20s", "--threshold", "errors.total<1"];
    let (status, figures, printed) = Run::start("echo", &[&flags[..], &good].concat()).end().await;
    assert!(status.success(), "{printed}");
    assert_eq!(figures["thresholds"][0]["passed"], true);
    assert!(figures["drops"].as_u64() > Some(0), "{printed}");

    let bad = ["--threshold", "connect.p99.9<0.01ms", "--threshold", "connect.p50<20s"];
    let (status, figures, printed) = Run::start("echo", &[&flags[..], &bad].concat()).end().await;
    assert_eq!(status.code(), Some(1), "{printed}");
    let passed = [0, 1].map(|at| figures["thresholds"][at]["passed"] == true);
    assert_eq!(passed, [false, true], "{printed}");
    assert!(printed.contains("FAILED: connect.p99.9<0.01ms"), "{printed}");

    let (status, figures, _) = Run::start("echo", &["--threshold", "joins.p99<1s"]).end().await;
    assert_eq!((status.code(), figures), (Some(1), Value::Null), "a figure that there is not");
}

#[tokio::test]
async fn ctrl_c_gives_the_figures_so_far() {
    let lobby = start_game(&[]).await;
    let run = Run::on(&lobby, "echo", &["--players", "3", "--for", "1h"]);
    told(&lobby, "joined player=", 3).await;
    run.interrupt();
    let (status, figures, printed) = run.end().await;
    assert!(status.success(), "{printed}");
    // The room's log may be ahead of the last player.
    assert!(figures["join"]["count"].as_u64() >= Some(2), "{printed}");
    assert!(printed.contains(" of 3 players in 1 rooms"), "{printed}");
}

#[tokio::test]
async fn without_a_lobby_there_is_no_load_test() {
    let (status, _, _) = Run::start("echo", &["--url", "http://127.0.0.1:1"]).end().await;
    assert_eq!(status.code(), Some(1));
}
