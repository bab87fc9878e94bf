//! Your room by itself: no processes, no sockets, simulated time. Edit these with `src/room.rs`.

use std::time::Duration;

use app::messages::Options;
use app::room::Game;
use cluster::testing::TestRoom;
use cluster::{Exit, Refusal};
use serde_json::json;

fn room() -> TestRoom<Game> {
    TestRoom::open(Options::default(), 2, 7).expect("a room")
}

#[test]
fn bytes_are_refused_as_unknown() {
    let mut room = room();
    let ann = room.join("Ann").expect("a free seat");
    let refused = room.emit_binary(&ann, vec![1, 2, 3]);
    assert_eq!(refused, Err(Refusal::unknown_event("binary")));
}

#[test]
fn a_player_who_loses_the_connection_leaves_at_once() {
    let mut room = room();
    let (ann, bob) = (room.join("Ann").expect("a seat"), room.join("Bob").expect("a seat"));
    room.drop_player(&ann);
    let left = json!({ "player": ann, "reason": { "code": "dropped" } });
    assert_eq!(room.last(&bob, "player_left"), Some(&left));
}

#[test]
fn a_room_that_is_to_end_waits_for_its_players() {
    let mut room = room();
    let ann = room.join("Ann").expect("a free seat");
    room.drain(Duration::from_secs(5));
    assert_eq!(room.join("Bob").map(drop), Err(Refusal::ROOM_LOCKED));
    assert!(room.exit().is_none());
    room.leave(&ann);
    assert_eq!(room.exit(), Some(Exit::Closed));
}
