//! A machine that is short of threads, and a lobby that stops: requests get an answer that says so,
//! or none, but never an error that looks like a fault.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use cluster::testing::{LobbyProcess, TestFolder};
use futures_util::future::join_all;
use rustix::process::{Signal, getuid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::raw::{request, status};
use crate::common::{command, game, script, start_game};

/// Begins a command, to be run as a user who has limits: root has none on threads.
fn as_user() -> &'static str {
    if getuid().is_root() { "setpriv --reuid 65534 --clear-groups" } else { "" }
}

fn limit_threads(lobby: &LobbyProcess, threads: &str) {
    let pid = lobby.pid().as_raw_nonzero();
    let limit = format!("exec {} prlimit --pid {pid} --nproc={threads}:", as_user());
    assert!(command("sh").args(["-c", &limit]).status().expect("a shell").success());
}

/// A folder with a page, and with a script that starts the game after `prefix`.
fn limited(prefix: &str) -> (Arc<TestFolder>, PathBuf) {
    let folder = TestFolder::new();
    let copy = folder.path().join("game");
    assert!(command("cp").args([game(), &copy]).status().expect("a copy").success());
    fs::write(folder.path().join("index.html"), "here").expect("a page");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("our folder");
    let text = format!("exec {} {prefix} '{}' \"$@\"", as_user(), copy.display());
    let start = script(&folder, "start", &text);
    (folder, start)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_page_is_unavailable_while_no_thread_can_be_started() {
    let (folder, start) = limited("");
    let page = folder.path().display().to_string();
    let lobby = LobbyProcess::builder(start).folder(&folder);
    let cluster = lobby.flags(&["--static-dir", &page, "--pool", "0"]).start().await;
    limit_threads(&cluster, "0");
    for _ in 0..3 {
        assert_eq!(cluster.http("GET", "/").await.0, 503);
    }
    cluster.player("Ann").await.ask("list", serde_json::json!({})).await.expect("the lobby runs");
    limit_threads(&cluster, "1000");
    let (status, answer) = cluster.http("GET", "/").await;
    assert!(status == 200 && answer.ends_with("here"), "{answer}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lobby_that_cannot_start_its_threads_says_so_and_ends() {
    // Two for the clock and the log, and not all of the others.
    let (folder, start) = limited("prlimit --nproc=3");
    let output = command(start).current_dir(folder.path()).args(["--static-dir", "."]).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error: ") && !said.contains("panicked"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[tokio::test]
async fn a_page_request_while_the_lobby_stops_is_answered_or_refused() {
    for _ in 0..5 {
        let mut cluster = start_game(&[]).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let ask = async |url: String, is_over: Arc<AtomicBool>| {
            let mut answers = vec![];
            while !is_over.load(Relaxed) {
                let connected = TcpStream::connect(url.trim_start_matches("http://")).await;
                let Ok(mut stream) = connected else { break };
                let request = request("GET", "/", &[("Connection", "close")]);
                let mut answer = String::new();
                let _ = stream.write_all(request.as_bytes()).await;
                let _ = stream.read_to_string(&mut answer).await;
                answers.push(answer);
            }
            answers
        };
        let clients = (0..8).map(|_| tokio::spawn(ask(cluster.url.clone(), is_over.clone())));
        let clients: Vec<_> = clients.collect();
        cluster.http("GET", "/").await;
        cluster.signal(Signal::TERM);
        assert!(cluster.ended().await.success());
        is_over.store(true, Relaxed);
        let answers =
            join_all(clients).await.into_iter().flat_map(|client| client.expect("no panic"));
        let answers: Vec<_> = answers.filter(|answer| !answer.is_empty()).collect();
        let odd: Vec<_> = answers.iter().filter(|answer| status(answer) != 200).collect();
        assert!(!answers.is_empty() && odd.is_empty(), "{odd:?} of {}", answers.len());
    }
}
