//! The recipe that restarts the lobby on save: the real tool in a generated project.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cluster::testing::{
    Client, Pid, ProcessStat, Signal, TestFolder, TestPlayer, command, eventually, is_alive,
};
use rustix::process::kill_process;
use serde_json::json;
use tokio::time::sleep;

use crate::helpers::{Folder, Template, Workshop, must, read};
use crate::recipe::Recipe;

#[tokio::test]
async fn a_saved_file_restarts_the_lobby() {
    let folder = Folder::new();
    let blank = ["--name", "saved", "--silent", "-d", "example=blank"];
    Template::new().generate(folder.path()).args(&blank).succeed();
    let workshop = Workshop::take(&folder.path().join("saved"));
    let project = &workshop.project;
    must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
    let watch = Watch::start(&workshop);

    let first = watch.lobby(1).await;
    let mut ann = TestPlayer::register(&watch.url, "Ann").await;
    let mut room = ann.enter("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says hello");
    let rooms = ProcessStat::children(first);
    assert!(!rooms.is_empty());

    // A room's code.
    edit(project, "src/room.rs", "{} says hello", "{} says hi");
    let second = watch.lobby(2).await;
    let old = rooms.iter().map(|room| room.pid).chain([first]);
    old.for_each(|old| assert!(!is_alive(old), "the old lobby or a room of it still runs"));
    // Her token is still good.
    assert_eq!(ann.back().await["you"]["name"], "Ann");
    let mut room = ann.enter("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says hi");

    // The page alone.
    edit(project, "static/index.html", "Who are you?", "And you are?");
    let third = watch.lobby(3).await;
    assert_ne!(third, second);

    // A mistake, and its correction.
    edit(project, "src/room.rs", "{} says hi", "{} {} says hi");
    watch.says("could not compile", 1).await;
    edit(project, "src/room.rs", "{} {} says hi", "{} says good day");
    let fourth = watch.lobby(4).await;
    let mut room = ann.back_into("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says good day");

    drop(watch);
    eventually("the lobby's end", || (!is_alive(fourth)).then_some(())).await;
}

async fn hello(room: &mut Client) -> String {
    room.ask("hello", json!({})).await.expect("an answer");
    room.event("greeting").await["text"].as_str().expect("a text").to_owned()
}

fn edit(project: &Path, file: &str, old: &str, new: &str) {
    let text = read(project, file);
    assert!(text.contains(old), "no {old} in {file}");
    fs::write(project.join(file), text.replace(old, new)).unwrap();
}

/// The recipe's command. It and its lobby end when dropped.
struct Watch {
    url: String,
    process: Child,
    output: Arc<Mutex<Vec<String>>>,
    _key: Arc<TestFolder>,
}

impl Watch {
    fn start(workshop: &Workshop) -> Watch {
        let recipe = Recipe::read("restart");
        // All lobbies have the same port, as the page expects.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let key = TestFolder::new();
        let mut watch = command("sh");
        watch.args(["-c", &format!("exec {}", recipe.command("cargo run"))]);
        watch.envs(workshop.cargo(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        watch.env("CLUSTER_PORT", port.to_string());
        watch.env("CLUSTER_KEY_FILE", key.path().join("lobby.key"));
        watch.current_dir(&workshop.project).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = watch.spawn().unwrap();
        let output = Arc::default();
        collect(process.stdout.take().unwrap(), &output);
        collect(process.stderr.take().unwrap(), &output);
        Watch { url: format!("http://127.0.0.1:{port}"), process, output, _key: key }
    }

    /// The process of the lobby, once so many have been ready.
    async fn lobby(&self, so_many: usize) -> Pid {
        self.says("lobby ready", so_many).await;
        let lobby = below(Pid::from_child(&self.process)).into_iter().find(|pid| is_lobby(*pid));
        lobby.expect("a lobby")
    }

    /// Waits until so many lines of the output have this text. A build may take long.
    async fn says(&self, text: &str, so_many: usize) {
        let deadline = Instant::now() + Duration::from_secs(180);
        let lines =
            || self.output.lock().unwrap().iter().filter(|line| line.contains(text)).count();
        while lines() < so_many {
            let late = Instant::now() > deadline || !is_alive(Pid::from_child(&self.process));
            assert!(!late, "not {so_many} times: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // As Ctrl+C does.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the output ---\n{}", self.output.lock().unwrap().join("\n"));
        }
    }
}

fn collect(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = lines.clone();
    thread::spawn(move || {
        let read = BufReader::new(output).lines().map_while(Result::ok);
        read.for_each(|line| lines.lock().unwrap().push(line));
    });
}

/// All processes that a process has started, directly or not.
fn below(process: Pid) -> Vec<Pid> {
    let children = ProcessStat::children(process).into_iter().map(|child| child.pid);
    children.flat_map(|child| [vec![child], below(child)].concat()).collect()
}

/// Its command is the program, without `room`.
fn is_lobby(process: Pid) -> bool {
    let command = fs::read(format!("/proc/{}/cmdline", process.as_raw_nonzero()));
    let command = command.unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    matches!(&words[..], [program] if program.ends_with(b"debug/server"))
}
