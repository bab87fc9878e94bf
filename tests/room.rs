//! Your room by itself, and then your lobby: no processes, no sockets, and a clock that only these
//! tests move. Edit these along with your hooks.

use std::collections::BTreeSet;
use std::time::Duration;

use app::defaults::DEFAULTS;
use app::messages::{Options, ToLobby};
use app::room::Arena;
use app::server::Server;
use cluster::testing::{TestLobby, TestRoom};
use cluster::{Exit, Player};
use serde_json::{Value, json};

/// One tick of the arena.
const MOMENT: Duration = Duration::from_millis(34);
/// Longer than a disconnected player's seat is kept, and than the pause between two rounds.
const LONG: Duration = Duration::from_secs(11);

fn arena(goal: u32) -> TestRoom<Arena> {
    let options = Options { title: "Ann's".to_owned(), goal };
    TestRoom::open(options, 8, 7).expect("an arena")
}

#[test]
fn a_dot_goes_where_its_player_steers_and_no_farther_than_the_border() {
    let mut arena = arena(10);
    let ann = arena.join("Ann").expect("a free seat");
    arena.emit(&ann, "steer", json!({ "x": 1, "y": 0 })).expect("a good direction");
    arena.advance(Duration::from_secs(10));
    assert_eq!(dot(&arena, &ann)["x"], 1.0);
}

#[test]
fn a_dot_is_as_fast_diagonally_and_however_hard_its_player_steers() {
    let distance = |x: f64, y: f64| {
        let mut arena = arena(10);
        let ann = arena.join("Ann").expect("a free seat");
        arena.advance(MOMENT);
        let before = dot(&arena, &ann);
        arena.emit(&ann, "steer", json!({ "x": x, "y": y })).expect("a good direction");
        arena.advance(3 * MOMENT);
        let after = dot(&arena, &ann);
        let moved = |axis: &str| after[axis].as_f64().unwrap() - before[axis].as_f64().unwrap();
        moved("x").hypot(moved("y"))
    };
    let straight = distance(1.0, 0.0);
    assert!(straight > 0.01, "{straight}");
    for (x, y) in [(1.0, 1.0), (-1.0, 1.0), (9.0, 0.0), (0.0, -1e39)] {
        assert!((distance(x, y) - straight).abs() < 0.001, "{x} {y}: {}", distance(x, y));
    }
}

#[test]
fn eight_players_have_eight_numbers_and_the_next_one_gets_a_number_that_is_free() {
    let mut arena = arena(10);
    let names = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal"];
    let players = names.map(|name| arena.join(name).expect("a free seat"));
    arena.advance(MOMENT);
    let numbers: BTreeSet<_> =
        players.iter().map(|player| dot(&arena, player)["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=8).map(Some).collect());

    let free = dot(&arena, &players[2])["number"].clone();
    arena.leave(&players[2]);
    let ivy = arena.join("Ivy").expect("a free seat");
    arena.advance(MOMENT);
    assert_eq!(dot(&arena, &ivy)["number"], free);
}

#[test]
fn a_player_who_reconnects_in_time_has_the_same_number_and_score_and_their_dot_has_stopped() {
    let mut arena = arena(10);
    let (ann, bob) = (arena.join("Ann").expect("a seat"), arena.join("Bob").expect("a seat"));
    play(&mut arena, &bob, |state| dot_in(state, &bob)["score"] == 1);
    arena.emit(&bob, "steer", json!({ "x": 0.1, "y": 0.1 })).expect("a good direction");
    arena.drop_player(&bob);
    arena.advance(MOMENT);
    let before = dot_in(state(&arena, &ann), &bob);
    assert_eq!((&before["number"], &before["score"]), (&json!(2), &json!(1)));

    arena.advance(LONG / 2);
    arena.join_as(&bob).expect("their seat");
    arena.advance(MOMENT);
    assert_eq!(dot(&arena, &bob), before);

    arena.drop_player(&bob);
    arena.advance(LONG);
    assert_eq!(state(&arena, &ann)["dots"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_first_player_with_enough_coins_wins_and_everyone_sees_the_scores() {
    let mut arena = arena(2);
    let (ann, bob) = (arena.join("Ann").expect("a seat"), arena.join("Bob").expect("a seat"));
    play(&mut arena, &bob, |state| dot_in(state, &bob)["score"] == 1);
    play(&mut arena, &ann, |state| state["results"].is_object());
    let final_scores = [("Ann".to_owned(), 2), ("Bob".to_owned(), 1)];
    for player in [&ann, &bob] {
        assert_eq!(scores(&arena, player), final_scores);
    }
    assert_eq!(arena.told_lobby().last(), Some(&ToLobby::Won { name: "Ann".to_owned() }));

    // Also a player who reconnects, and after the winner has left.
    arena.drop_player(&bob);
    arena.leave(&ann);
    arena.sent(&bob);
    arena.join_as(&bob).expect("their seat");
    arena.advance(MOMENT);
    assert_eq!(scores(&arena, &bob), final_scores);

    // Dots stand still meanwhile.
    let before = dot(&arena, &bob);
    arena.emit(&bob, "steer", json!({ "x": 1, "y": 0 })).expect("a good direction");
    arena.advance(LONG / 2);
    assert_eq!(dot(&arena, &bob), before);
}

#[test]
fn the_next_round_begins_after_a_pause() {
    let mut arena = arena(1);
    let (ann, bob) = (arena.join("Ann").expect("a seat"), arena.join("Bob").expect("a seat"));
    play(&mut arena, &ann, |state| state["results"].is_object());
    arena.advance(LONG / 2);
    assert!(state(&arena, &bob)["results"].is_object());
    arena.advance(LONG / 2);
    assert!(state(&arena, &bob)["results"].is_null());
    assert_eq!(dot(&arena, &ann)["score"], 0);
    assert_eq!(arena.exit(), None);
}

#[test]
fn the_next_round_begins_sooner_if_everyone_wants_to_play_again() {
    let mut arena = arena(1);
    let (ann, bob) = (arena.join("Ann").expect("a seat"), arena.join("Bob").expect("a seat"));
    // Not before the end of a round.
    arena.emit(&bob, "play_again", json!({})).expect("a good request");
    for round in 1..=2 {
        play(&mut arena, &ann, |state| state["results"].is_object());
        arena.emit(&ann, "play_again", json!({})).expect("a good request");
        arena.advance(MOMENT);
        assert_eq!(dot(&arena, &ann)["ready"], true);
        assert!(state(&arena, &ann)["results"].is_object(), "round {round}: Bob is not ready");
        arena.emit(&bob, "play_again", json!({})).expect("a good request");
        arena.advance(MOMENT);
        assert!(state(&arena, &ann)["results"].is_null(), "round {round}");
        assert_eq!(dot(&arena, &ann)["score"], 0);
    }
}

#[test]
fn the_same_seed_and_the_same_moves_are_the_same_game() {
    let play = || {
        let mut arena = arena(10);
        let ann = arena.join("Ann").expect("a free seat");
        arena.emit(&ann, "steer", json!({ "x": 0.3, "y": -0.2 })).expect("a good direction");
        arena.advance(Duration::from_secs(3));
        arena.sent(&ann)
    };
    assert_eq!(play(), play());
}

/// The player steers towards each coin until the room's state is as wanted; a coin takes seconds.
fn play(arena: &mut TestRoom<Arena>, player: &Player, done: impl Fn(&Value) -> bool) {
    for _ in 0..60 * 30 {
        arena.advance(MOMENT);
        let state = state(arena, player);
        if done(state) {
            return;
        }
        let me = dot_in(state, player);
        let way = |axis: &str, at: usize| {
            let left = state["coin"][at].as_f64().unwrap() - me[axis].as_f64().unwrap();
            (left * 20.0).clamp(-1.0, 1.0)
        };
        let steer = json!({ "x": way("x", 0), "y": way("y", 1) });
        arena.emit(player, "steer", steer).expect("a good direction");
    }
    panic!("{} has played for a minute", player.name);
}

/// The last state that the player was sent.
fn state<'a>(arena: &'a TestRoom<Arena>, player: &Player) -> &'a Value {
    arena.last(player, "state").expect("the arena shows itself")
}

/// The player's own dot, as they see it.
fn dot(arena: &TestRoom<Arena>, player: &Player) -> Value {
    dot_in(state(arena, player), player)
}

fn dot_in(state: &Value, player: &Player) -> Value {
    let dots = state["dots"].as_array().expect("a list of dots");
    dots.iter().find(|dot| dot["id"] == json!(player.id)).expect("the player's dot").clone()
}

/// Names and scores of the results that the player sees.
fn scores(arena: &TestRoom<Arena>, player: &Player) -> Vec<(String, u64)> {
    let scores = state(arena, player)["results"]["scores"].as_array().expect("results").iter();
    let score = |dot: &Value| Some((dot["name"].as_str()?.to_owned(), dot["score"].as_u64()?));
    scores.map(|dot| score(dot).expect("a name and a score")).collect()
}

// --- The lobby ---

#[test]
fn players_meet_in_the_fullest_room_and_the_next_one_gets_another() {
    let mut lobby = TestLobby::<Server>::start_with(DEFAULTS, &["--seats", "2"]).expect("a lobby");
    let players = ["Ann", "Bob", "Cem"].map(|name| lobby.player(name));
    let rooms = players.map(|player| {
        lobby.ask(&player, "play", json!({})).expect("a room");
        lobby.enter(&player)
    });
    assert_eq!(rooms[0], rooms[1]);
    assert_ne!(rooms[0], rooms[2]);
    let info = lobby.lobby().room::<Arena>(&rooms[2]).expect("it runs");
    assert_eq!(info.options.title, "Arena of Cem");
}

#[test]
fn everyone_in_the_lobby_hears_who_has_won() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let (ann, bob) = (lobby.player("Ann"), lobby.player("Bob"));
    lobby.ask(&ann, "create", json!({ "title": "Ann's" })).expect("a room");
    let room = lobby.enter(&ann);
    lobby.tell_lobby::<Arena>(&room, ToLobby::Won { name: "Ann".to_owned() });
    let news = json!({ "title": "Ann's", "text": "Ann has won." });
    assert_eq!(lobby.last(&bob, "news"), Some(&news));
    assert_eq!(lobby.state().games_played, 1);
    lobby.end(&room, Exit::Crashed("a bug".to_owned()));
    let news = json!({ "title": "Ann's", "text": "The room crashed." });
    assert_eq!(lobby.last(&bob, "news"), Some(&news));
}

#[test]
fn a_title_is_a_line_of_at_most_40_characters() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let ann = lobby.player("Ann");
    for title in ["", "two\nlines", &"x".repeat(41)] {
        let refused =
            lobby.ask(&ann, "create", json!({ "title": title })).expect_err("a bad title");
        assert_eq!(refused.code(), "bad_title", "{title:?}");
    }
    assert!(lobby.rooms().is_empty());
}
