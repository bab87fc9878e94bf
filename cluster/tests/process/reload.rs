//! A reload: the program at the lobby's path takes over, and rooms and their players notice nothing.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster::testing::{LobbyProcess, ProcessStat, TestFolder, eventually};
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, builder, command, game};

const RELOADS: usize = 20;
const ROOMS: usize = 5;
const PLAYERS: usize = 50;

/// A lobby whose program can be replaced.
struct Installed {
    lobby: LobbyProcess,
    folder: Arc<TestFolder>,
}

impl Installed {
    async fn start(flags: &[&str]) -> Installed {
        let folder = TestFolder::new();
        install(game(), &folder);
        let lobby = builder(&folder.path().join("server")).flags(flags).folder(&folder);
        Installed { lobby: lobby.start().await, folder }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    /// The file that the process runs.
    fn runs(&self) -> String {
        let link = fs::read_link(format!("/proc/{}/exe", self.lobby.pid().as_raw_nonzero()));
        link.expect("it runs").display().to_string()
    }

    /// Replaces the program by another build, and reloads.
    async fn reload(&self) {
        let before = self.lobby.count("reloaded");
        install(game(), &self.folder);
        assert!(self.runs().ends_with("(deleted)"));
        self.lobby.signal(Signal::HUP);
        let after = || (self.lobby.count("reloaded") > before).then_some(());
        eventually("a reload", after).await;
        assert_eq!(self.runs(), self.program().display().to_string());
    }

    /// Reloads, which fails with this error.
    async fn is_refused(&self, error: &str) {
        let refused = |line: &Value| line["message"] == "not reloaded; nothing has changed";
        let before = self.lobby.lines().iter().filter(|line| refused(line)).count();
        self.lobby.signal(Signal::HUP);
        let last = || self.lobby.lines().into_iter().filter(refused).nth(before);
        let said = eventually("a refusal", last).await["error"].to_string();
        assert!(said.contains(error), "{said}");
        assert_eq!(self.lobby.count("reloaded"), 0);
    }
}

/// Puts a program where the lobby's is, as a deployment does: under another name first.
fn install(program: &Path, folder: &TestFolder) {
    let new = folder.path().join("new");
    // Another process writes it: a child that a test starts meanwhile would inherit our descriptor,
    // and a file that is open for writing cannot be run.
    assert!(command("cp").arg(program).arg(&new).status().expect("cp").success());
    fs::rename(new, folder.path().join("server")).expect("a folder of ours");
}

#[tokio::test]
async fn rooms_and_their_players_notice_nothing_of_twenty_reloads() {
    let flags = [&NO_RATE_LIMITS[..], &["--max-rooms-per-player", "10"]].concat();
    let cluster = Installed::start(&flags).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let mut rooms = vec![];
    for _ in 0..ROOMS {
        let new = json!({ "capacity": PLAYERS + 1, "options": { "quiet": true } });
        rooms.push(boss.ask("open", new).await.expect("a room"));
    }
    let enter = (0..PLAYERS).map(async |n| {
        let mut player = cluster.lobby.player(&format!("p{n}")).await;
        let mut client = player.enter("join", json!({ "room": rooms[n % ROOMS] })).await;
        client.event("joined").await;
        client
    });
    let mut players = join_all(enter).await;
    let before = boss.ask("list", json!({})).await.expect("a list");
    let descriptors = cluster.lobby.descriptors();
    for n in 0..RELOADS {
        // Both are on their way when the lobby is asked to reload.
        players[0].emit("tell_lobby", json!({ "text": format!("up {n}") }));
        let down = json!({ "room": rooms[0], "text": format!("down {n}") });
        boss.ask("tell", down).await.expect("a room");
        cluster.reload().await;
        assert_eq!(boss.back().await["you"], boss.you);
    }
    let asks = players.iter_mut().enumerate().map(async |(n, player)| {
        assert_eq!(player.ask("echo", json!({ "n": n })).await, Ok(json!(n)));
        let events = player.unheard();
        assert!(!events.contains(&"player_disconnected") && !events.contains(&"reroute"), "{n}");
    });
    join_all(asks).await;
    assert_eq!(boss.ask("list", json!({})).await, Ok(before));
    let (up, down) = (|n| format!("up {n}"), |n| format!("down {n}"));
    let said = cluster.lobby.lines().into_iter().filter(|line| line["message"] == "said");
    let said: Vec<_> = said.map(|line| line["text"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(said, (0..RELOADS).map(up).collect::<Vec<_>>());
    let told = boss.enter("join", json!({ "room": rooms[0] })).await.event("told").await;
    assert_eq!(told["texts"], json!((0..RELOADS).map(down).collect::<Vec<_>>()));
    let children = || ProcessStat::children(cluster.lobby.pid());
    eventually("one warm room", || (children().len() == ROOMS + 1).then_some(())).await;
    assert!(children().iter().all(ProcessStat::is_alive));
    let same = || (cluster.lobby.descriptors() <= descriptors).then_some(());
    eventually("as many descriptors as before", same).await;
}
