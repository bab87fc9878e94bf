//! Rooms that print or send to the lobby endlessly are rate limited.

use std::time::{Duration, Instant};

use cluster::testing::{Client, LobbyProcess, eventually};
use serde_json::{Value, json};

use crate::common::{start_game, start_game_with};

/// A room that prints endlessly sends no heartbeats; here that is no hang.
const PATIENT: [&str; 2] = ["--heartbeat-timeout", "60s"];

async fn room(cluster: &LobbyProcess, name: &str) -> (Value, Client) {
    let mut client = cluster.player(name).await.enter("create", json!({})).await;
    let room = client.event("joined").await["room"].take();
    (room, client)
}

/// The lines of a room in the log.
fn printed(cluster: &LobbyProcess, room: &Value) -> Vec<String> {
    let lines = cluster.lines().into_iter().filter(|line| line["room"] == *room);
    lines.filter_map(|line| Some(line["message"].as_str()?.to_owned())).collect()
}

fn skipped(text: &str) -> Option<usize> {
    let count =
        text.strip_prefix("… ")?.strip_suffix(" lines skipped: the room prints too much")?;
    count.parse().ok()
}

/// Waits for three reports of skipped lines, and checks that few lines were logged.
async fn is_cut_short(cluster: &LobbyProcess, room: &Value, began: Instant) {
    let three_times = || {
        let texts = printed(cluster, room);
        (texts.iter().filter(|text| skipped(text).is_some()).count() >= 3).then_some(texts)
    };
    let texts = eventually("lines are skipped", three_times).await;
    let bytes: usize = texts.iter().map(String::len).sum();
    // Two streams, each with a burst of 2,000 and 200 lines a second; each further 256 bytes of a
    // line count as one more line.
    let seconds = began.elapsed().as_secs() as usize + 1;
    assert!(texts.len() < 5_000 + 400 * seconds, "{} lines in {seconds} s", texts.len());
    assert!(bytes < (5_000 + 400 * seconds) * 256, "{bytes} bytes in {seconds} s");
}

#[tokio::test]
async fn a_room_that_prints_endlessly_is_rate_limited_and_delays_nobody() {
    for flood in ["lines", "one line", "a process that it has started"] {
        let cluster = start_game(&PATIENT).await;
        let (noisy, mut anns) = room(&cluster, "Ann").await;
        let (quiet, mut bobs) = room(&cluster, "Bob").await;
        let began = Instant::now();
        match flood {
            "lines" => anns.emit("print_for_ever", json!({ "lines": true })),
            "one line" => anns.emit("print_for_ever", json!({ "lines": false })),
            _ => drop(anns.ask("fork_printer", json!({})).await.expect("a process")),
        }
        is_cut_short(&cluster, &noisy, began).await;
        assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{flood}");
        bobs.ask("print", json!({ "text": "hello" })).await.expect("printed");
        assert_eq!(cluster.logged("hello on stdout").await["room"], quiet, "{flood}");
        let mut boss = cluster.player("Boss").await;
        boss.ask("seat_of", json!({})).await.expect("the lobby answers");
    }
}

#[tokio::test]
async fn skipped_lines_are_counted_in_the_log() {
    let cluster = start_game(&PATIENT).await;
    let (noisy, mut anns) = room(&cluster, "Ann").await;
    anns.ask("print_many", json!({ "lines": 10_000 })).await.expect("printed");
    let all = || {
        let texts = printed(&cluster, &noisy);
        let said = texts.iter().filter(|text| text.starts_with("line ")).count();
        let missing: usize = texts.iter().filter_map(|text| skipped(text)).sum();
        (said + missing == 10_000).then_some((said, missing))
    };
    let (said, missing) = eventually("each line is there or counted", all).await;
    assert!(said >= 1_500 && missing >= 5_000, "{said} there, {missing} missing");
}

#[tokio::test]
async fn a_burst_of_lines_is_logged_completely() {
    let cluster = start_game(&[]).await;
    let (room, mut anns) = room(&cluster, "Ann").await;
    anns.ask("print_many", json!({ "lines": 1_000 })).await.expect("printed");
    cluster.logged("line 999").await;
    let texts = printed(&cluster, &room);
    assert_eq!(texts.iter().filter(|text| text.starts_with("line ")).count(), 1_000);
}

#[tokio::test]
async fn a_room_that_sends_endlessly_is_throttled_and_not_hung() {
    let environment = [("FAULTY", "channel: flood"), ("FAULTY_ROOM", "1")];
    let flags = ["--pool", "0", "--heartbeat", "500ms", "--heartbeat-timeout", "2s"];
    let cluster = start_game_with(&flags, &environment).await;
    let mut boss = cluster.player("Boss").await;
    let room_1 = boss.ask("open", json!({})).await.expect("a room");
    let (_, mut bobs) = room(&cluster, "Bob").await;
    let began = Instant::now();
    boss.lobby().emit("join", json!({ "room": room_1 }));
    boss.ask_until("flooded", json!({}), |count| count.as_u64() >= Some(6_000)).await;
    // Each message comes with two other frames: 18,000 in all, of which 10,000 may come at once and
    // 2,000 a second.
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    let known = boss.ask("about", json!({ "room": room_1 })).await;
    assert!(known.is_ok(), "it gives signs of life");
}
