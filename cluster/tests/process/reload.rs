//! A reload: the program at the lobby's path takes over, and rooms and their players notice
//! nothing.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster::testing::{
    Client, LobbyProcess, ProcessStat, TestFolder, TestPlayer, eventually, is_alive,
};
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, builder, command, game, script};

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
        install(game(), &self.folder);
        assert!(self.runs().ends_with("(deleted)"));
        self.reloaded().await;
        assert_eq!(self.runs(), self.program().display().to_string());
    }

    async fn reloaded(&self) {
        let before = self.lobby.count("reloaded");
        self.lobby.signal(Signal::HUP);
        let after = || (self.lobby.count("reloaded") > before).then_some(());
        eventually("a reload", after).await;
    }

    /// Installs a shell script instead of the program. It gets the path of the game and the flags
    /// as `"$@"`.
    fn install_script(&self, text: &str) {
        let text = format!("set -- '{}' \"$@\"\n{text}", game().display());
        install(&script(&self.folder, "script", &text), &self.folder);
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

/// A player who is in a room of their own.
async fn in_a_room(cluster: &Installed, name: &str, new: Value) -> (TestPlayer, Client, Value) {
    let mut player = cluster.lobby.player(name).await;
    let mut client = player.enter("create", new).await;
    let room = client.event("joined").await["room"].take();
    (player, client, room)
}

#[tokio::test]
async fn a_program_that_cannot_take_over_changes_nothing() {
    let cluster = Installed::start(&[]).await;
    let (_, mut anns, room) = in_a_room(&cluster, "Ann", json!({})).await;
    let mut boss = cluster.lobby.player("Boss").await;
    for (text, error) in [
        ("exit 3", "it says nothing"),
        ("echo no >&2", "no"),
        ("sleep 60", "it does not answer"),
        ("echo this program can take over | tr a-z A-Z", "it says nothing"),
        ("shift; echo \"unexpected $1\" >&2", "unexpected check-reload"),
        ("exec env FEATURES=1 \"$@\"", "room 1: no kind 'game'"),
        ("exec env CLUSTER_OLD_KEY_FILE=/ \"$@\"", "it is not a regular file"),
        ("exec \"$@\" --seats 0", "--seats"),
    ] {
        cluster.install_script(text);
        cluster.is_refused(error).await;
        assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{text}");
        // The same connection to the lobby, which tells the room.
        let told = json!({ "room": room, "text": text });
        assert!(boss.ask("tell", told).await.is_ok(), "{text}");
    }
    fs::remove_file(cluster.program()).expect("it is there");
    cluster.is_refused("No such file").await;
    fs::write(cluster.program(), "no program").expect("a file");
    cluster.is_refused("Permission denied").await;
    // New rooms are still of the old program, which is gone, and connections are accepted.
    let (_, mut bobs, _) = in_a_room(&cluster, "Bob", json!({})).await;
    assert_eq!(bobs.ask("echo", json!({ "n": 2 })).await, Ok(json!(2)));
    let events = anns.unheard();
    assert!(!events.contains(&"reroute"), "{events:?}");
    drop(boss);
}

#[tokio::test]
async fn what_players_have_in_rooms_and_in_the_lobby_is_kept() {
    let cluster = Installed::start(&["--on-room-panic", "end-room"]).await;
    let mut boss = cluster.lobby.player("Boss").await;
    let private = json!({ "private": true, "hosted": true });
    let hidden = boss.ask("open", private).await.expect("a room");
    let about = boss.ask("about", json!({ "room": hidden })).await.expect("a room");
    let keeps = json!({ "options": { "grace_ms": 3_600_000 } });
    let (mut ann, anns, anns_room) = in_a_room(&cluster, "Ann", keeps).await;
    let (mut bob, bobs, _) = in_a_room(&cluster, "Bob", json!({})).await;
    let (cy, mut cys, cys_room) = in_a_room(&cluster, "Cy", json!({})).await;
    boss.ask("lock", json!({ "room": anns_room, "locked": true })).await.expect("a room");
    // Ann loses her connection, Bob's room crashes, Cy is banned once she is in the lobby again,
    // Dee has logged out, and Eve asks for a room that is not ready.
    drop(anns);
    bobs.emit("panic", json!({}));
    cluster.lobby.logged("room crashed").await;
    boss.ask("ban", json!({ "player": cy.you["id"], "reason": "Not you." })).await.expect("done");
    assert_eq!(cys.event("reroute").await["reason"]["code"], "kicked");
    let mut dee = cluster.lobby.player("Dee").await;
    let token = dee.token.clone();
    dee.ask("logout", json!({ "token": token })).await.expect("logged out");
    let mut eve = cluster.lobby.player("Eve").await;
    let late = json!({ "options": { "opening": { "late": { "ms": 1000 } } } });
    eve.lobby().emit("create", late);
    boss.ask_until("list", json!({}), |rooms| rooms.as_array().is_some_and(|all| all.len() == 4))
        .await;

    cluster.reload().await;
    assert_eq!(ann.back().await["returned"]["reason"]["code"], "dropped");
    assert_eq!(ann.rerouted().await["room"], anns_room);
    assert_eq!(bob.back().await["returned"]["reason"]["code"], "crashed");
    let mut banned = Client::connect(&cluster.lobby.url, json!({ "token": cy.token })).await;
    assert_eq!(banned.as_mut().expect("a connection").event("refused").await["code"], "banned");
    let mut gone = Client::connect(&cluster.lobby.url, json!({ "token": token })).await;
    let welcome = gone.as_mut().expect("a connection").event("welcome").await;
    assert_eq!(welcome["refused"]["code"], "bad_token");
    boss.back().await;
    assert_eq!(boss.ask("about", json!({ "room": hidden })).await, Ok(about.clone()));
    let code = json!({ "code": about["code"] });
    assert!(boss.ask("join_by_code", code).await.is_ok());
    assert_eq!(bob.ask("join", json!({ "room": anns_room })).await, Err("room_locked".into()));
    assert!(bob.ask("join", json!({ "room": cys_room })).await.is_ok());
    eve.back().await;
    let reroute = eve.rerouted().await;
    let mut eves = eve.take(&reroute).await;
    eves.event("joined").await;
    assert_eq!(eves.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_room_of_the_program_before_ends_as_any_other() {
    let cluster = Installed::start(&[]).await;
    let (mut ann, mut anns, _) = in_a_room(&cluster, "Ann", json!({})).await;
    let (mut bob, mut bobs, _) = in_a_room(&cluster, "Bob", json!({})).await;
    let (mut cy, cys, room) = in_a_room(&cluster, "Cy", json!({})).await;
    cluster.reload().await;
    anns.emit("finish", json!({ "winner": "Ann" }));
    assert_eq!(anns.event("reroute").await["reason"]["code"], "finished");
    assert_eq!(ann.back().await["returned"]["reason"]["code"], "finished");
    bobs.emit("abort", json!({}));
    bobs.ended().await;
    assert_eq!(bob.back().await["returned"]["reason"]["code"], "crashed");
    cluster.lobby.signal_room(&room, Signal::STOP).await;
    drop(cys);
    cluster.lobby.logged("room hung and was killed").await;
    assert_eq!(cy.back().await["returned"]["reason"]["code"], "hung");
    let hooks = cy.ask("hooks", json!({})).await.expect("names");
    let hooks: Vec<_> = hooks.as_array().expect("names").iter().filter_map(Value::as_str).collect();
    let expected =
        ["on_start", "on_room_adopted 1 1", "on_room_adopted 2 1", "on_room_adopted 3 1"];
    assert_eq!(hooks[..4], expected);
    let zombies = || ProcessStat::children(cluster.lobby.pid());
    eventually("a warm room alone", || (zombies().len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_message_of_another_build_is_left_out() {
    let cluster = Installed::start(&[]).await;
    let (_, mut anns, room) = in_a_room(&cluster, "Ann", json!({})).await;
    cluster.install_script("exec env OTHER_BUILD=1 \"$@\"");
    cluster.reloaded().await;
    cluster.lobby.logged("on_room_adopted").await;
    anns.emit("tell_lobby", json!({ "text": "words" }));
    cluster.lobby.logged("a message of another build does not parse").await;
    let mut boss = cluster.lobby.player("Boss").await;
    boss.ask("number", json!({ "room": room, "n": 7 })).await.expect("the room");
    let warned = |line: &Value| {
        let text = line["message"].as_str().unwrap_or_default();
        (text.starts_with("a message of the lobby does not parse") && line["room"] == room)
            .then_some(())
    };
    eventually("a warning of the room", || cluster.lobby.lines().iter().find_map(warned)).await;
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn an_on_start_that_refuses_after_a_reload_is_called_again_and_ends_no_room() {
    let cluster = Installed::start(&[]).await;
    let (mut ann, mut anns, _) = in_a_room(&cluster, "Ann", json!({})).await;
    let away = cluster.folder.path().join("away");
    fs::write(&away, "").expect("a file");
    let refuses = format!("echo starting; exec env REFUSES_START='{}' \"$@\"", away.display());
    cluster.install_script(&refuses);
    cluster.lobby.signal(Signal::HUP);
    cluster.lobby.logged("cannot start; trying again").await;
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    fs::remove_file(away).expect("it is there");
    cluster.lobby.logged("reloaded").await;
    anns.emit("send_me_away", json!({ "reason": "enough" }));
    anns.event("reroute").await;
    assert_eq!(ann.back().await["returned"]["reason"]["message"], "enough");
}

#[tokio::test]
async fn no_request_fails_while_the_lobby_reloads() {
    let cluster = Installed::start(&NO_RATE_LIMITS).await;
    let over = std::cell::Cell::new(false);
    let requests = async {
        let mut answered = 0;
        while !over.get() {
            assert_eq!(cluster.lobby.http("GET", "/healthz").await.0, 200);
            answered += 1;
        }
        assert!(answered > RELOADS);
    };
    let reloads = async {
        for _ in 0..RELOADS {
            cluster.reload().await;
        }
        over.set(true);
    };
    tokio::join!(requests, reloads);
}

#[tokio::test]
async fn the_death_of_the_next_program_ends_the_rooms() {
    let mut cluster = Installed::start(&[]).await;
    let (_, mut anns, room) = in_a_room(&cluster, "Ann", json!({})).await;
    let process = cluster.lobby.process_of(&room).await;
    cluster.reload().await;
    cluster.lobby.signal(Signal::KILL);
    cluster.lobby.ended().await;
    anns.ended().await;
    eventually("the room's end", || (!is_alive(process)).then_some(())).await;
}

#[tokio::test]
async fn a_lobby_that_has_reloaded_drains_and_stops_in_order() {
    let mut cluster = Installed::start(&["--drain-timeout", "1h", "--stop-timeout", "1h"]).await;
    let (_, anns, _) = in_a_room(&cluster, "Ann", json!({})).await;
    cluster.reload().await;
    cluster.lobby.signal(Signal::TERM);
    cluster.lobby.logged("on_drain").await;
    // A reload would interrupt it.
    cluster.lobby.signal(Signal::HUP);
    anns.emit("finish", json!({ "winner": "Ann" }));
    assert_eq!(cluster.lobby.ended().await.code(), Some(0));
    assert_eq!(cluster.lobby.count("reloaded"), 1);
}

#[tokio::test]
async fn many_signals_to_reload_end_no_room() {
    let cluster = Installed::start(&[]).await;
    let (_, mut anns, _) = in_a_room(&cluster, "Ann", json!({})).await;
    for _ in 0..RELOADS {
        let before = cluster.lobby.count("reloaded");
        cluster.lobby.signal(Signal::HUP);
        // One more while the lobby waits for requests, or for the answer of the next program.
        cluster.lobby.signal(Signal::HUP);
        let after = || (cluster.lobby.count("reloaded") > before).then_some(());
        eventually("a reload", after).await;
    }
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}
