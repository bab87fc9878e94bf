//! Your room by itself: no processes, no sockets, and a clock that only these tests move. Edit
//! these along with `src/room.rs`.

use std::time::Duration;

use app::messages::{Options, ToLobby};
use app::room::Arena;
use cluster::testing::TestRoom;
use cluster::{Exit, Player};
use serde_json::{Value, json};

/// One tick of the arena.
const MOMENT: Duration = Duration::from_millis(34);

fn arena(goal: u32) -> TestRoom<Arena> {
    let options = Options { title: "Ann's".to_owned(), goal };
    TestRoom::open(options, 2, 7).expect("an arena")
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
fn the_first_player_with_enough_coins_wins_and_the_room_ends() {
    let mut arena = arena(2);
    let (ann, bob) = (arena.join("Ann").expect("a seat"), arena.join("Bob").expect("a seat"));
    arena.advance(MOMENT);
    // Two coins take less than a minute.
    for _ in 0..60 * 30 {
        let Some(state) = arena.last(&ann, "state") else { break };
        let coin = state["coin"].clone();
        let me = dot(&arena, &ann);
        let way = |axis: &str, at: usize| {
            let left = coin[at].as_f64().unwrap() - me[axis].as_f64().unwrap();
            (left * 20.0).clamp(-1.0, 1.0)
        };
        let steer = json!({ "x": way("x", 0), "y": way("y", 1) });
        if arena.emit(&ann, "steer", steer).is_err() {
            break;
        }
        arena.advance(MOMENT);
    }
    assert_eq!(arena.exit(), Some(Exit::Finished));
    let ann_won = ToLobby::Won { name: "Ann".to_owned() };
    assert_eq!(arena.told_lobby().last(), Some(&ann_won));
    let heard: Vec<_> = arena.sent(&bob).into_iter().filter(|sent| !sent.volatile).collect();
    assert!(heard.iter().any(|sent| sent.data == json!({ "player": ann.id, "score": 1 })));
    let goodbye = json!({ "to": "lobby", "reason": { "code": "finished" } });
    assert_eq!(heard.last().map(|sent| &sent.data), Some(&goodbye));
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

/// The last position of the player's dot.
fn dot(arena: &TestRoom<Arena>, player: &Player) -> Value {
    let state = arena.last(player, "state").expect("the arena shows itself");
    let dots = state["dots"].as_array().expect("a list of dots");
    dots.iter().find(|dot| dot["id"] == json!(player.id)).expect("the player's dot").clone()
}
