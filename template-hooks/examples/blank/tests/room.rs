//! Your own room on a stage: no processes, no sockets, and a clock that only these tests move. Edit
//! these along with `src/room.rs`.

use std::time::Duration;

use app::{
    messages::{Options, ToLobby, ToRoom},
    room::Game,
};
use cluster::{Exit, Refusal, testing::TestRoom};
use serde_json::json;

fn room() -> TestRoom<Game> {
    TestRoom::open(Options {}, 2, 7).expect("a room")
}

#[test]
fn everyone_hears_hello_and_so_does_the_lobby() {
    let mut room = room();
    let (ann, bob) = (room.join("Ann").expect("a seat"), room.join("Bob").expect("a seat"));
    room.emit(&ann, "hello", json!({})).expect("it is polite");
    let greeting = json!({ "text": "Ann says hello" });
    assert_eq!(room.last(&ann, "greeting"), Some(&greeting));
    assert_eq!(room.last(&bob, "greeting"), Some(&greeting));
    let told = room.told_lobby();
    assert!(matches!(&told[..], [ToLobby::Hello { from }] if from == "Ann"), "{told:?}");
    room.tell(ToRoom::Hellos(1));
}

#[test]
fn bytes_are_refused_as_unknown() {
    let mut room = room();
    let ann = room.join("Ann").expect("a free seat");
    let refused = room.emit_binary(&ann, vec![1, 2, 3]);
    assert_eq!(refused, Err(Refusal::UnknownEvent("binary".to_owned())));
}

#[test]
fn who_loses_his_connection_is_out_at_once() {
    let mut room = room();
    let (ann, bob) = (room.join("Ann").expect("a seat"), room.join("Bob").expect("a seat"));
    room.drop_player(&ann);
    let left = json!({ "player": ann, "reason": "dropped" });
    assert_eq!(room.last(&bob, "player_left"), Some(&left));
}

#[test]
fn a_room_that_is_to_end_waits_for_its_players() {
    let mut room = room();
    let ann = room.join("Ann").expect("a free seat");
    room.drain(Duration::from_secs(5));
    assert_eq!(room.join("Bob").map(drop), Err(Refusal::RoomLocked));
    assert!(room.exit().is_none());
    room.leave(&ann);
    assert!(matches!(room.exit(), Some(Exit::Closed)), "{:?}", room.exit());
}
