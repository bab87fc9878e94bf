//! What is released: the program for deployment, and its container. Development endpoints are off
//! in it by default. To build it takes minutes the first time; CI leaves out the slow
//! optimizations.

mod container;
mod static_program;

use cluster::testing::LobbyProcess;
use serde_json::{Value, json};

use crate::static_program::static_program;

#[tokio::test]
async fn the_development_endpoints_are_off() {
    let lobby = LobbyProcess::start(static_program(), &[]).await;
    let (_, answer) = lobby.http("GET", "/dev").await;
    assert!(answer.ends_with("\r\n\r\noff"), "{answer}");
    let (status, answer) = lobby.http("GET", "/dev/log").await;
    assert_eq!(status, 404, "{answer}");
    let mut ann = lobby.player("Ann").await.enter("play", json!({})).await;
    let room = ann.event("joined").await["room"].take();
    for method in ["POST", "GET"] {
        let (status, answer) = lobby.http(method, &kill(&room)).await;
        assert!([404, 405].contains(&status), "{answer}");
    }
    // The room runs on: it answers with a refusal.
    assert_eq!(ann.ask("welcome", json!({})).await, Err("unknown_event".into()));
    assert_eq!(lobby.count("room crashed"), 0);
    assert_eq!(lobby.count("development mode: anyone can kill rooms and read this log"), 0);
}

#[tokio::test]
async fn the_flag_dev_turns_the_development_endpoints_on() {
    let lobby = LobbyProcess::start(static_program(), &["--dev"]).await;
    lobby.logged("development mode: anyone can kill rooms and read this log").await;
    let (_, answer) = lobby.http("GET", "/dev").await;
    assert!(answer.ends_with("\r\n\r\non"), "{answer}");
    assert_eq!(lobby.http("GET", "/dev/log").await.0, 200);
    let mut ann = lobby.player("Ann").await.enter("play", json!({})).await;
    let room = ann.event("joined").await["room"].take();
    assert_eq!(lobby.http("POST", &kill(&room)).await.0, 202);
    ann.end().await;
    lobby.logged("room crashed").await;
}

fn kill(room: &Value) -> String {
    format!("/dev/rooms/{}/kill", room.as_str().expect("an id"))
}
