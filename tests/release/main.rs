//! Release builds. In one the development endpoints are off by default. Builds the programs with
//! `--release`, which takes minutes the first time; CI does so without the slow optimizations.

mod container;
mod static_program;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cluster::testing::LobbyProcess;
use serde_json::{Value, json};

/// The folder of the programs, built with `--release` into this test's target folder.
fn release() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // This test is TARGET/PROFILE/deps/NAME.
        let test = env::current_exe().expect("a path");
        let target = test.ancestors().nth(3).expect("a target folder");
        for what in
            [&["--bin", "server"][..], &["-p", "cluster", "--features", "testing", "--bin", "game"]]
        {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--release", "--locked", "--target-dir"]).arg(target).args(what);
            assert!(cargo.status().expect("Cargo runs").success(), "the programs do not build");
        }
        target.join("release")
    })
}

#[tokio::test]
async fn the_development_endpoints_are_off() {
    // A default room of each program.
    for program in ["server", "game"] {
        let lobby = LobbyProcess::start(release().join(program), &[]).await;
        let (_, answer) = lobby.http("GET", "/dev").await;
        assert!(answer.ends_with("\r\n\r\noff"), "{program}: {answer}");
        let (status, answer) = lobby.http("GET", "/dev/log").await;
        assert_eq!(status, 404, "{program}: {answer}");
        let mut ann = lobby.player("Ann").await.enter("play", json!({})).await;
        let room = ann.event("joined").await["room"].take();
        for method in ["POST", "GET"] {
            let (status, answer) = lobby.http(method, &kill(&room)).await;
            assert!([404, 405].contains(&status), "{program}: {answer}");
        }
        // The room runs on: it answers with a refusal.
        assert_eq!(ann.ask("welcome", json!({})).await, Err("unknown_event".into()));
        assert_eq!(lobby.count("room crashed"), 0);
        assert_eq!(lobby.count("development mode: anyone can kill rooms and read this log"), 0);
    }
}

#[tokio::test]
async fn the_flag_dev_turns_the_development_endpoints_on() {
    let lobby = LobbyProcess::start(release().join("server"), &["--dev"]).await;
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
