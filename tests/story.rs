//! Your own lobby and rooms, as they come: dots that race for coins. Edit these along with your
//! hooks.

use std::process::{Child, Command, Stdio};

use cluster::testing::{Client, LobbyProcess, Signal};
use serde_json::{Value, json};

async fn start(flags: &[&str]) -> LobbyProcess {
    LobbyProcess::start(env!("CARGO_BIN_EXE_server"), flags).await
}

#[tokio::test]
async fn two_players_meet_and_see_each_other_move() {
    let lobby = start(&["--seats", "2"]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut anns = ann.enter("play", json!({})).await;
    let mut bobs = bob.enter("play", json!({})).await;
    assert_eq!(anns.event("joined").await["room"], bobs.event("joined").await["room"]);
    assert_eq!(anns.event("player_joined").await, json!({ "player": bob.you }));

    let before = dot(&mut bobs, &ann.you).await["x"].as_f64();
    let x = if before < Some(0.5) { 1.0 } else { -1.0 };
    anns.ask("steer", json!({ "x": x, "y": 0.0 })).await.expect("a good direction");
    while dot(&mut bobs, &ann.you).await["x"].as_f64() == before {}
}

#[tokio::test]
async fn a_player_who_reaches_the_coin_scores_and_the_lobby_is_told() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut room = ann.enter("create", json!({ "title": "Ann's" })).await;
    race(&mut room, &ann.you, |dot, _| dot["score"] == 1).await;
    assert_eq!(room.event("scored").await, json!({ "player": ann.you["id"], "score": 1 }));
    assert_eq!(
        bob.lobby().event("news").await,
        json!({ "title": "Ann's", "text": "Ann has 1 of 10 coins." })
    );
}

#[tokio::test]
async fn everyone_who_played_is_told_who_won_and_may_play_again() {
    let lobby = start(&["--seats", "2"]).await;
    let [mut ann, mut bob, mut eve] =
        [lobby.player("Ann").await, lobby.player("Bob").await, lobby.player("Eve").await];
    let mut anns = ann.enter("create", json!({ "title": "Ann's" })).await;
    let bobs = bob.enter("play", json!({})).await;
    race(&mut anns, &ann.you, |_, state| !state["results"].is_null()).await;
    let won = json!({ "title": "Ann's", "text": "Ann has won." });
    eve.lobby().event_where("news", |news| *news == won).await;

    // Bob's connection is lost; they are back in time.
    drop(bobs);
    bob.back().await;
    let reroute = bob.rerouted().await;
    let mut bobs = bob.take(&reroute).await;
    for room in [&mut anns, &mut bobs] {
        let state = room.event_where("state", |state| !state["results"].is_null()).await;
        let scores = state["results"]["scores"].as_array().expect("scores");
        let names: Vec<_> = scores.iter().map(|score| &score["name"]).collect();
        assert_eq!(names, ["Ann", "Bob"]);
    }

    for room in [&mut anns, &mut bobs] {
        room.ask("play_again", json!({})).await.expect("a good request");
    }
    for (room, you) in [(&mut anns, &ann.you), (&mut bobs, &bob.you)] {
        let state = room.event_where("state", |state| state["results"].is_null()).await;
        assert_eq!(find(&state, you).expect("a dot")["score"], 0);
    }
}

#[tokio::test]
async fn a_room_shows_up_in_the_list_with_its_seats() {
    let lobby = start(&["--seats", "3"]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    bob.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    assert_eq!(bob.lobby().event("rooms").await, json!([]));
    let room =
        ann.ask("create", json!({ "title": " Ann's " })).await.expect("a room")["room"].take();
    let shown = json!([{
        "room": room, "kind": "arena", "options": { "title": "Ann's", "goal": 10 }, "listing": null,
        "host": ann.you["id"], "players": 1, "capacity": 3, "locked": false,
    }]);
    bob.lobby().event_where("rooms", |rooms| *rooms == shown).await;
}

#[tokio::test]
async fn a_title_is_checked() {
    let lobby = start(&[]).await;
    let mut ann = lobby.player("Ann").await;
    for bad in ["", "   ", &"x".repeat(41), &"\u{200b}".repeat(40), "a\u{202e}", "a\u{2028}b"] {
        let refused = ann.ask("create", json!({ "title": bad })).await;
        assert_eq!(refused, Err("bad_title".into()), "{bad:?}");
    }
}

#[tokio::test]
async fn a_killed_room_sends_its_players_back_and_makes_news() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut room = ann.enter("create", json!({ "title": "Ann's" })).await;
    let id = room.event("joined").await["room"].take();
    lobby.signal_room(&id, Signal::KILL).await;
    assert!(!room.end().await);
    assert_eq!(
        ann.back().await["returned"],
        json!({ "room": id, "reason": { "code": "crashed" } })
    );
    assert_eq!(
        bob.lobby().event("news").await,
        json!({ "title": "Ann's", "text": "The room crashed." })
    );
}

/// `examples/loadtest.rs`: its bots know the arena's messages.
#[tokio::test]
async fn bots_play_and_score() {
    let lobby = start(&[]).await;
    let mut bob = lobby.player("Bob").await;
    let mut bot = load_test(&["--url", &lobby.url, "--players", "1", "--for", "1h"]);
    let _bot = Bots(bot.stdout(Stdio::null()).spawn().expect("Cargo runs"));
    let news = |text: &str| json!({ "title": "Arena of Bot 1", "text": text });
    let score = news("Bot 1 has 1 of 10 coins.");
    assert_eq!(bob.lobby().event("news").await, score);

    // However the room ends, the bot continues in the next one.
    let room = lobby.logged("room created").await["room"].take();
    lobby.signal_room(&room, Signal::KILL).await;
    let over = news("The room crashed.");
    while bob.lobby().event("news").await != over {}
    assert_eq!(bob.lobby().event("news").await, score);
}

#[tokio::test]
async fn a_load_test_starts_a_lobby_of_its_own_and_no_request_is_refused() {
    let flags = ["--players", "6", "--rooms", "2", "--ramp-up", "100ms", "--for", "3s"];
    let thresholds = ["errors.total<1", "join.count>5", "requests.count>6", "tick_jitter.count>30"];
    let thresholds = thresholds.iter().flat_map(|threshold| ["--threshold", threshold]);
    let flags: Vec<_> = flags.into_iter().chain(thresholds).collect();
    let output = load_test(&flags).output().expect("Cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn the_page_is_served() {
    let lobby = start(&[]).await;
    assert_eq!(lobby.http("GET", "/").await.0, 200);
    assert_eq!(lobby.http("GET", "/missing").await.0, 404);
}

fn load_test(flags: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--locked", "--example", "loadtest", "--"]).args(flags);
    cargo
}

/// Ends when dropped.
struct Bots(Child);

impl Drop for Bots {
    fn drop(&mut self) {
        // Cargo replaces itself with the load test.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The player steers towards each coin until their dot and the room's state are as wanted.
async fn race(room: &mut Client, you: &Value, done: impl Fn(&Value, &Value) -> bool) {
    loop {
        let state = room.event("state").await;
        let Some(dot) = find(&state, you) else { continue };
        if done(&dot, &state) {
            return;
        }
        let way = |axis: &str, at: usize| {
            let left = state["coin"][at].as_f64().unwrap() - dot[axis].as_f64().unwrap();
            (left * 20.0).clamp(-1.0, 1.0)
        };
        room.emit("steer", json!({ "x": way("x", 0), "y": way("y", 1) }));
    }
}

/// This player's dot in the next state of the room.
async fn dot(room: &mut Client, you: &Value) -> Value {
    loop {
        if let Some(dot) = find(&room.event("state").await, you) {
            return dot;
        }
    }
}

fn find(state: &Value, you: &Value) -> Option<Value> {
    state["dots"].as_array()?.iter().find(|dot| dot["id"] == you["id"]).cloned()
}
