//! The lobby serves and stops gracefully whatever happens to its log.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use cluster::testing::{Client, TestFolder, TestPlayer, eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::raw::{Raw, request};
use crate::common::{command, game};

/// A lobby whose log nobody reads, on a port that was free a moment ago.
struct Silent {
    process: Child,
    url: String,
    _folder: Arc<TestFolder>,
}

impl Silent {
    /// Runs it in a shell that redirects its output.
    async fn start(redirect: &str, stdout: Stdio, stderr: Stdio) -> Silent {
        Self::start_with("json", redirect, stdout, stderr).await
    }

    /// The same with this `--log-format`.
    async fn start_with(format: &str, redirect: &str, stdout: Stdio, stderr: Stdio) -> Silent {
        let folder = TestFolder::new();
        let port = free_port();
        let program = game().display().to_string();
        let process = command("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirect}"), &program])
            .args(["--log-format", format, "--port", &port.to_string(), "--key-file"])
            .arg(folder.path().join("lobby.key"))
            .env("RUST_LOG", "info,app=debug,cluster=debug")
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("a shell");
        let silent = Silent { process, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let connected = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        eventually("the lobby listens", connected).await;
        silent
    }

    /// Plays, makes the lobby log more than a pipe holds, and plays on.
    async fn serves(&self) {
        let mut boss = TestPlayer::register(&self.url, "Boss").await;
        for _ in 0..100 {
            assert_eq!(boss.ask("panic", json!({})).await, Err("internal".into()));
            let mut visitor = Client::connect(&self.url, json!({})).await.expect("a connection");
            let form = json!({ "id": "a".repeat(257), "name": "Bob" });
            assert_eq!(visitor.ask("register", form).await, Err("internal".into()));
        }
        for n in 0..3 {
            let mut client =
                TestPlayer::register(&self.url, "Ann").await.enter("create", json!({})).await;
            client.ask("print_many", json!({ "lines": 5_000 })).await.expect("printed");
            assert_eq!(client.ask("echo", json!({ "n": n })).await, Ok(json!(n)));
        }
        assert_eq!(boss.ask("seat_of", json!({})).await, Ok(Value::Null));
    }

    /// Stops gracefully on SIGTERM.
    async fn stops(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("it runs");
        let ended = || self.process.try_wait().expect("our child");
        assert_eq!(eventually("its end", ended).await.code(), Some(0));
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn with_its_log_closed_the_lobby_serves_and_stops_gracefully() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let stderr = writer.try_clone().expect("a descriptor");
    let lobby = Silent::start("", writer.into(), stderr.into()).await;
    lobby.serves().await;
    lobby.stops().await;
}

#[tokio::test]
async fn with_stdout_and_stderr_closed_the_lobby_serves_and_stops_gracefully() {
    let lobby = Silent::start(">&- 2>&-", Stdio::null(), Stdio::null()).await;
    lobby.serves().await;
    lobby.stops().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn with_a_full_disk_the_lobby_serves_and_stops_gracefully() {
    let full = || File::options().write(true).open("/dev/full").expect("a device");
    let lobby = Silent::start("", full().into(), full().into()).await;
    lobby.serves().await;
    lobby.stops().await;
}

#[tokio::test]
async fn with_a_log_that_nobody_reads_the_lobby_serves_and_stops_gracefully() {
    // Both streams, as in a stopped terminal.
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = writer.try_clone().expect("a descriptor");
    let lobby = Silent::start("", writer.into(), stderr.into()).await;
    lobby.serves().await;
    lobby.stops().await;
}

#[tokio::test]
async fn the_log_reports_how_many_lines_were_dropped() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let lobby = Silent::start("", writer.into(), Stdio::null()).await;
    lobby.serves().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let read = log.clone();
    let reading = thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            read.lock().unwrap().push(serde_json::from_str::<Value>(&line).expect("whole lines"));
        }
    });
    let find =
        |message: &str| log.lock().unwrap().iter().find(|line| line["message"] == message).cloned();
    let said = "log lines were dropped: stdout did not take them in time";
    let lost = eventually("a word about it", || find(said)).await;
    assert!(lost["lines"].as_u64().is_some_and(|lines| lines > 100), "{lost}");
    assert!(find("lobby ready").is_some(), "the first lines are there");
    lobby.stops().await;
    reading.join().expect("lines");
    assert!(find("lobby stopped").is_some(), "and the last ones");
}

#[tokio::test]
async fn a_panic_is_a_line_of_the_log() {
    let folder = TestFolder::new();
    let path = folder.path().join("log");
    let file = File::create(&path).expect("a file");
    let mut lobby = Silent::start("", file.into(), Stdio::piped()).await;
    let mut ann = TestPlayer::register(&lobby.url, "Ann").await;
    assert_eq!(ann.ask("panic", json!({})).await, Err("internal".into()));
    let mut stderr = lobby.process.stderr.take().expect("piped");
    lobby.stops().await;
    let log = fs::read_to_string(path).expect("a log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let messages: Vec<String> =
        lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect();
    let place = |text: &String| text.contains("game/main.rs:") && text.contains("as asked");
    assert!(messages.iter().any(place), "{messages:?}");
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("text");
    assert_eq!(text, "", "and nowhere else");
}

/// What players write and what strangers send, wherever it gets into the log.
const FORGED: &str = "x\n2026-01-01T00:00:00.000000Z ERROR forged\rERROR forged\u{1b}[31m\u{9b}31m\u{7f}\u{85}\
    \u{2028}ERROR forged\u{2029}\u{202e}\u{2066}\u{200f}\u{61c} {\"level\":\"ERROR\"}";

#[tokio::test]
async fn nobody_can_forge_a_line_of_the_log_or_control_the_terminal() {
    for format in ["human", "json"] {
        let folder = TestFolder::new();
        let path = folder.path().join("log");
        let file = File::create(&path).expect("a file");
        let lobby = Silent::start_with(format, "", file.into(), Stdio::null()).await;
        send_forgeries(&lobby.url).await;
        lobby.stops().await;
        let log = fs::read_to_string(path).expect("text");
        assert!(log.lines().count() > 20 && log.contains("forged"), "{log}");
        let is_harmful = |char: char| {
            let invisible = ['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}'];
            char.is_control() || invisible.contains(&char)
        };
        for line in log.lines() {
            assert!(!line.contains(is_harmful), "{line:?}");
            let message = match format {
                "json" => {
                    let entry: Value = serde_json::from_str(line).expect("one entry");
                    assert!(entry["timestamp"].is_string(), "{line}");
                    entry["message"].as_str().expect("a text").to_owned()
                }
                _ => {
                    let (time, rest) = line.split_once("Z ").expect("a time");
                    assert!(time.len() == 26 && !time.starts_with("2026-01-01T00"), "{line}");
                    rest.trim_start().split_once(' ').expect("a level").1.to_owned()
                }
            };
            assert!(!message.starts_with("forged"), "{line}");
        }
    }
}

async fn send_forgeries(url: &str) {
    let mut ann = TestPlayer::register(url, "Ann").await;
    let mut visitor = Client::connect(url, json!({ "token": FORGED })).await.expect("a connection");
    for form in [json!({ "name": FORGED }), json!({ "name": "Bob", "id": FORGED })] {
        visitor.ask("register", form).await.expect_err("no name, and no id");
    }
    // A name with escapes would close the connection.
    let name: String = FORGED.chars().filter(|char| !char.is_control() && *char != '"').collect();
    assert_eq!(ann.ask(&name, json!(FORGED)).await, Err("unknown_event".into()));
    for (event, data) in [
        ("send_me_away", json!({ "reason": FORGED })),
        ("kick", json!({ "player": ann.you["id"], "reason": FORGED })),
        ("panic_over", json!({ "text": FORGED })),
    ] {
        let mut room = ann.enter("create", json!({ "options": { "title": FORGED } })).await;
        room.event("joined").await;
        // A line break in what a hook prints by itself makes two lines of the room's.
        room.ask("print", json!({ "text": FORGED.replace('\n', "") })).await.expect("printed");
        room.ask("tell_lobby", json!({ "text": FORGED })).await.expect("told");
        room.emit(event, data);
        assert_eq!(room.event("reroute").await["to"], "lobby", "{event}");
        ann.back().await;
    }
    for (path, name) in
        [("/\u{1b}[31m", "Accept"), ("/%1b%0aERROR?\u{202e}", "Origin"), ("/", "Host")]
    {
        let text = FORGED.replace(['\n', '\r'], "");
        for path in [path, "/socket.io/?EIO=4&transport=websocket", "/rooms/1/socket.io/"] {
            let mut raw = Raw::connect(url).await;
            raw.send(&request("GET", path, &[("Connection", "close"), (name, &text)])).await;
            raw.rest().await;
        }
    }
}
