//! `--crash-dir`: a report on each room that crashes, hangs or never becomes ready.

use std::fs;
use std::path::{Path, PathBuf};

use cluster::testing::{LobbyProcess, TestFolder, eventually};
use serde_json::json;

use crate::common::{builder, game};

/// The most that is kept.
const MAX_REPORTS: usize = 100;

fn reports(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut reports: Vec<_> = files.map(|file| file.path()).collect();
    reports.sort();
    reports
}

/// Waits for the only report.
async fn report(folder: &Path) -> String {
    let whole = || {
        let text = fs::read_to_string(reports(folder).first()?).ok()?;
        text.contains("\nlog:\n").then_some(text)
    };
    eventually("a report", whole).await
}

async fn start(folder: &TestFolder, flags: &[&str]) -> (LobbyProcess, PathBuf) {
    let crashes = folder.path().join("crashes");
    let folder = crashes.display().to_string();
    let flags = [&["--crash-dir", &folder], flags].concat();
    // Reports have backtraces although the environment does not ask for them.
    let lobby = builder(game()).flags(&flags).env("RUST_BACKTRACE", "").start().await;
    (lobby, crashes)
}

#[tokio::test]
async fn a_panic_is_reported_with_options_players_backtrace_and_log() {
    let folder = TestFolder::new();
    let (cluster, crashes) = start(&folder, &[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({ "options": { "title": "Lions" } })).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    anns.ask("print", json!({ "text": "the line before" })).await.expect("an answer");
    anns.emit("panic_over", json!({ "text": "the lions" }));
    let report = report(&crashes).await;
    let first = "room 1 (game) crashed: on_request panicked: the lions\n";
    assert!(report.starts_with(first), "{report}");
    for part in [
        "\"title\":\"Lions\"",
        "player: Ann (",
        "player: Bob (",
        "the line before on stderr\n",
        "the lions",
        "game::room::", // the backtrace
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[tokio::test]
async fn a_process_that_dies_hangs_or_never_becomes_ready_is_reported() {
    let hangs = ["--heartbeat", "300ms", "--heartbeat-timeout", "1s"];
    let never = ["--ready-timeout", "2s"];
    for (flags, open, end, first) in [
        (&[][..], json!({}), Some("abort"), "crashed: aborted"),
        (&hangs, json!({}), Some("spin"), "hung and was killed"),
        (&never, json!({ "opening": "never" }), None, "never became ready: not ready within"),
    ] {
        let folder = TestFolder::new();
        let (cluster, crashes) = start(&folder, flags).await;
        let mut ann = cluster.player("Ann").await;
        match end {
            Some(end) => {
                let mut anns = ann.enter("create", json!({ "options": open })).await;
                anns.event("joined").await;
                anns.emit(end, json!({}));
            }
            None => ann.lobby().emit("create", json!({ "options": open })),
        }
        let report = report(&crashes).await;
        assert!(report.starts_with(&format!("room 1 (game) {first}")), "{report}");
        assert!(report.contains("player: Ann ("), "{report}");
    }
}

#[tokio::test]
async fn rooms_that_end_in_order_or_refuse_to_open_are_not_reported() {
    let folder = TestFolder::new();
    let (cluster, crashes) = start(&folder, &[]).await;
    let mut ann = cluster.player("Ann").await;
    let refuses = json!({ "options": { "opening": "refuse" } });
    assert_eq!(ann.ask("create", refuses).await, Err("no_mood".into()));
    let mut anns = ann.enter("create", json!({})).await;
    anns.emit("finish", json!({ "winner": "Ann" }));
    anns.event("reroute").await;
    // The first report is of a later crash.
    let anns = ann.back_into("create", json!({})).await;
    anns.emit("abort", json!({}));
    let report = report(&crashes).await;
    assert!(report.starts_with("room 3 (game) crashed"), "{report}");
    assert_eq!(reports(&crashes).len(), 1);
}

#[tokio::test]
async fn the_newest_hundred_reports_are_kept_and_no_other_file_is_deleted() {
    let folder = TestFolder::new();
    let (cluster, crashes) = start(&folder, &[]).await;
    for n in 0..MAX_REPORTS {
        let name = format!("2020-01-01T00-00-00.{n:06}Z-{n}.room.txt");
        fs::write(crashes.join(name), "").expect("a file");
    }
    fs::write(crashes.join("0.txt"), "").expect("a file");
    cluster.player("Ann").await.enter("create", json!({})).await.emit("abort", json!({}));
    let oldest = crashes.join("2020-01-01T00-00-00.000000Z-0.room.txt");
    eventually("its end", || (!oldest.exists()).then_some(())).await;
    assert_eq!(reports(&crashes).len(), MAX_REPORTS + 1);
    assert!(crashes.join("0.txt").exists());
}

#[tokio::test]
async fn of_a_room_that_prints_much_the_last_lines_are_kept() {
    let folder = TestFolder::new();
    let (cluster, crashes) = start(&folder, &[]).await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    anns.ask("print_many", json!({ "lines": 500 })).await.expect("an answer");
    anns.emit("abort", json!({}));
    let report = report(&crashes).await;
    let (_, log) = report.split_once("\nlog:\n").expect("a log");
    assert_eq!(log.lines().count(), 200, "{report}");
}
