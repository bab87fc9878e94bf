//! `/healthz`, `/readyz` and the command `health`.

use std::process::Output;

use cluster::testing::{LobbyProcess, soon};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{command, game, start_game};

/// The status of `/readyz` and its body.
async fn readyz(cluster: &LobbyProcess) -> (u16, Value) {
    let (status, answer) = cluster.http("GET", "/readyz").await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).expect("JSON"))
}

fn health(cluster: &LobbyProcess) -> Output {
    let port = cluster.port().to_string();
    command(game()).args(["health", "--port", &port]).output().expect("the program starts")
}

#[tokio::test]
async fn a_lobby_is_healthy_and_ready() {
    let cluster = start_game(&[]).await;
    let (status, answer) = cluster.http("GET", "/healthz").await;
    assert!(status == 200 && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    assert_eq!(readyz(&cluster).await, (200, json!({ "ready": true, "reasons": [] })));
    let Output { status, stdout, .. } = health(&cluster);
    assert_eq!((status.code(), &*stdout), (Some(0), &b"ok\n"[..]));
}

#[tokio::test]
async fn a_hook_that_blocks_shows_and_so_does_its_end() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    boss.lobby().emit("block", json!({ "ms": 6000 }));
    cluster.logged("blocking").await;
    let (status, answer) = cluster.http("GET", "/healthz").await;
    assert_eq!(status, 503, "{answer}");
    let busy = json!({ "ready": false, "reasons": ["busy"] });
    assert_eq!(readyz(&cluster).await, (503, busy));
    assert_eq!(boss.ask("seat_of", json!({})).await, Ok(Value::Null), "the hook has returned");
    assert_eq!(cluster.http("GET", "/healthz").await.0, 200);
    assert_eq!(readyz(&cluster).await.0, 200);
}

#[tokio::test]
async fn a_lobby_whose_hook_does_not_return_is_not_healthy_whoever_asks_and_how_often() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    boss.lobby().emit("block", json!({ "ms": 600_000 }));
    cluster.logged("blocking").await;
    // More than wait for the event loop.
    let ask = |_| async { cluster.http("GET", "/healthz").await.0 };
    let answers = futures_util::future::join_all((0..80).map(ask)).await;
    assert!(answers.iter().all(|status| *status == 503), "{answers:?}");
    let Output { status, stdout, .. } = health(&cluster);
    assert_eq!((status.code(), &*stdout), (Some(1), &b"busy\n"[..]));
}

#[tokio::test]
async fn a_lobby_that_drains_is_healthy_and_not_ready() {
    let cluster = start_game(&["--drain-timeout", "1h"]).await;
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    cluster.signal(Signal::TERM);
    cluster.logged("on_stop").await;
    let stopping = json!({ "ready": false, "reasons": ["stopping"] });
    assert_eq!(readyz(&cluster).await, (503, stopping));
    assert_eq!(cluster.http("GET", "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_lobby_whose_rooms_fail_to_start_is_not_ready_for_a_while() {
    let flags = ["--pool", "0", "--start-failure-limit", "1", "--start-failure-cooldown", "2s"];
    let cluster = start_game(&flags).await;
    let mut ann = cluster.player("Ann").await;
    let panics = json!({ "options": { "opening": "panic" } });
    assert_eq!(ann.ask("create", panics).await, Err("room_gone".into()));
    cluster.logged("too many rooms failed to start; starting none for a while").await;
    let failing = json!({ "ready": false, "reasons": ["rooms_fail_to_start"] });
    assert_eq!(readyz(&cluster).await, (503, failing));
    soon("the end of the cooldown", async { while readyz(&cluster).await.0 != 200 {} }).await;
}

#[test]
fn the_command_says_why_it_cannot_ask() {
    for (args, why) in [
        (&["--port", "1"], "no lobby answers at 127.0.0.1:1"),
        (&["--port", "0"], "set --port to the lobby's port"),
    ] {
        let run = || command(game()).arg("health").args(args).output().expect("the program starts");
        let Output { status, stderr, .. } = run();
        let stderr = String::from_utf8(stderr).expect("text");
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(why), "{stderr}");
    }
}
