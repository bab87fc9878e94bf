//! Rooms that the test plays.

use super::*;
use crate::testing::test_lobby::tests::server::{Game, Options, ToRoom};
use crate::types::Exit;

#[test]
fn rooms_may_be_held_refuse_to_open_and_refuse_players() {
    let (mut lobby, ann) = start();
    lobby.hold_rooms(true);
    lobby.emit(&ann, "play", json!({}));
    let [first] = &lobby.rooms()[..] else { panic!("a room") };
    let first = first.clone();
    assert_eq!(lobby.rerouted(&ann), None);
    lobby.settle();
    let sorry = refuse("full_moon", "Not tonight.");
    lobby.refuse_to_open(&first, sorry.clone());
    assert_eq!(lobby.last(&ann, "refused").expect("a refusal")["code"], "full_moon");
    assert_eq!(hooks(&mut lobby), ["on_room_exit 1 never became ready"]);

    lobby.emit(&ann, "play", json!({}));
    let second = lobby.rooms().pop().expect("another");
    lobby.ready(&second);
    assert_eq!(lobby.rerouted(&ann), Some(second.clone()));
    lobby.refuse_joins(&second, sorry.clone());
    let bob = lobby.player("Bob");
    assert_eq!(lobby.ask(&bob, "join", json!({ "room": second })), Err(sorry));
    lobby.refuse_joins(&second, None);
    lobby.ask(&bob, "join", json!({ "room": second })).expect("a seat");
    let eve = lobby.player("Eve");
    assert_eq!(lobby.ask(&eve, "join", json!({ "room": second })), Err(Refusal::ROOM_FULL));
}

#[test]
#[should_panic(expected = "waits for a room that the test holds")]
fn an_answer_that_waits_for_the_test_fails_it() {
    let (mut lobby, ann) = start();
    lobby.hold_rooms(true);
    let _ = lobby.ask(&ann, "play", json!({}));
}

#[test]
fn a_room_that_is_not_ready_in_time_is_given_up() {
    let (mut lobby, ann) = start();
    lobby.hold_rooms(true);
    lobby.emit(&ann, "play", json!({}));
    lobby.advance(5 * SECOND);
    assert_eq!(lobby.last(&ann, "refused").expect("a refusal")["code"], "no_room");
    assert_eq!(hooks(&mut lobby), ["on_room_exit 1 never became ready"]);
    assert!(lobby.rooms().is_empty());
}

#[test]
fn messages_and_listings_go_between_lobby_and_rooms() {
    let (mut lobby, ann) = start();
    let room = lobby.ask(&ann, "open", json!({ "title": "Maze" })).expect("a room");
    let room: RoomId = serde_json::from_value(room).expect("its id");
    lobby.tell_lobby::<Game>(&room, "hi".to_owned());
    lobby.ask(&ann, "tell", json!({ "room": room, "text": "hello" })).expect("told");
    assert_eq!(lobby.told::<Game>(&room), [ToRoom::Text("hello".to_owned())]);
    assert_eq!(lobby.told::<Game>(&room), []);
    assert_eq!(hooks(&mut lobby), ["on_room_ready 1", "on_room_message 1 hi"]);
    lobby.ask(&ann, "watch_rooms", json!({})).expect("the list");
    lobby.sent(&ann);
    lobby.set_listing::<Game>(&room, Options { title: "Level 2".to_owned() });
    assert_eq!(lobby.last(&ann, "rooms"), None, "not yet");
    lobby.advance(SECOND);
    let list = lobby.last(&ann, "rooms").expect("the list");
    assert_eq!(list[0]["listing"]["title"], "Level 2");
    assert_eq!(list[0]["options"]["title"], "Maze");
    assert_eq!(names(&lobby.sent(&ann)), ["rooms"]);
    lobby.advance(SECOND);
    assert!(lobby.sent(&ann).is_empty(), "nothing has changed");
}

#[test]
#[should_panic(expected = "a message that can be parsed")]
fn a_message_that_a_room_cannot_parse_fails_the_test() {
    let (mut lobby, ann) = start();
    let room = lobby.ask(&ann, "open", json!({ "title": "" })).expect("a room");
    let room: RoomId = serde_json::from_value(room).expect("its id");
    lobby.call(|_, lobby| lobby.tell::<Game>(&room, ToRoom::Lopsided(7))).expect("told");
    lobby.told::<Game>(&room);
}

#[test]
fn a_seat_is_kept_for_those_who_lose_their_connection() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    let room = lobby.enter(&ann);
    lobby.drop_player(&ann, 10 * SECOND);
    hooks(&mut lobby);
    lobby.advance(3 * SECOND);
    let away = crate::Place::Away { room: room.clone(), left: 7 * SECOND };
    assert_eq!(lobby.lobby().find(&ann), Some(away));
    lobby.connect(&ann).expect("their token");
    assert_eq!(hooks(&mut lobby), [r#"on_arrive Ann None Some("dropped") Some(RoomId("1"))"#]);
    assert_eq!(lobby.enter(&ann), room);
    lobby.drop_player(&ann, 10 * SECOND);
    hooks(&mut lobby);
    lobby.advance(10 * SECOND);
    assert_eq!(hooks(&mut lobby), ["on_player_left 1 Ann dropped"]);
    lobby.advance(30 * SECOND);
    assert_eq!(hooks(&mut lobby), ["on_room_exit 1 closed"], "it was empty");
    lobby.connect(&ann).expect("their token");
    assert_eq!(hooks(&mut lobby), [r#"on_arrive Ann None Some("dropped") None"#]);
}

#[test]
fn a_player_who_does_not_come_in_time_loses_their_seat() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.advance(15 * SECOND);
    assert_eq!(lobby.lobby().seat_of(&ann), None);
    hooks(&mut lobby);
    lobby.advance(30 * SECOND);
    assert_eq!(hooks(&mut lobby), ["on_room_exit 1 closed"]);
}

#[test]
fn the_ends_of_a_room_bring_its_players_back() {
    for (exit, how, why) in [
        (Exit::Finished, "finished", "finished"),
        (Exit::Closed, "closed", "The room was closed."),
        (Exit::Crashed("as asked".to_owned()), "crashed", "crashed"),
        (Exit::Hung, "hung", "hung"),
    ] {
        let (mut lobby, ann) = start();
        lobby.ask(&ann, "play", json!({})).expect("a room");
        let room = lobby.enter(&ann);
        hooks(&mut lobby);
        lobby.end(&room, exit);
        let expected = [
            format!("on_player_left 1 Ann {why}"),
            format!("on_room_exit 1 {how}"),
            format!("on_arrive Ann None Some({why:?}) None"),
        ];
        assert_eq!(hooks(&mut lobby), expected);
        assert!(lobby.rooms().is_empty());
    }
}

#[test]
fn a_room_that_was_asked_to_close_does_so_when_it_is_empty_or_after_a_while() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    let room = lobby.enter(&ann);
    lobby.call(|_, lobby| lobby.close(&room, "Enough.")).expect("it runs");
    assert_eq!(lobby.closing(&room), Some("Enough.".to_owned()));
    hooks(&mut lobby);
    lobby.advance(2 * SECOND);
    let expected = [
        "on_player_left 1 Ann Enough.",
        "on_room_exit 1 closed",
        "on_arrive Ann None Some(\"Enough.\") None",
    ];
    assert_eq!(hooks(&mut lobby), expected);
    let empty = lobby.ask(&ann, "open", json!({ "title": "" })).expect("a room");
    lobby.ask(&ann, "close", json!({ "room": empty })).expect("it runs");
    assert!(lobby.rooms().is_empty());
}

#[test]
fn players_go_from_room_to_room() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    let first = lobby.enter(&ann);
    let second = lobby.call(|_, lobby| lobby.create::<Game>(None, 1, Options::default()));
    let second = second.expect("another room");
    lobby.send_to_room(&ann, &second);
    assert_eq!(lobby.rerouted(&ann), Some(second.clone()));
    hooks(&mut lobby);
    assert_eq!(lobby.enter(&ann), second);
    assert_eq!(hooks(&mut lobby), ["on_player_joined 2 Ann"]);
    let bob = lobby.player("Bob");
    lobby.ask(&bob, "send", json!({ "player": "Ann", "room": first })).expect("on the way");
    assert_eq!(lobby.rerouted(&ann), Some(first.clone()));
    lobby.end(&first, Exit::Finished);
    assert_eq!(lobby.lobby().find(&ann), Some(crate::Place::Lobby), "the room is gone");
}

#[test]
fn a_player_who_is_refused_elsewhere_is_told_so_in_their_room() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    let first = lobby.enter(&ann);
    let second = lobby.call(|_, lobby| lobby.create::<Game>(None, 0, Options::default()));
    lobby.send_to_room(&ann, &second.expect("another room"));
    assert_eq!(lobby.last(&ann, "refused").expect("a refusal")["code"], "room_full");
    assert_eq!(lobby.lobby().find(&ann), Some(crate::Place::Room(first)));
}

#[test]
fn the_circuit_breaker_follows_the_clock_of_the_test() {
    let (mut lobby, ann) = start();
    lobby.hold_rooms(true);
    for _ in 0..10 {
        let room = lobby.call(|_, lobby| lobby.create::<Game>(None, 1, Options::default()));
        room.expect("a room");
    }
    lobby.advance(5 * SECOND);
    let refused = lobby.ask(&ann, "open", json!({ "title": "" })).expect_err("too many failures");
    assert_eq!(refused.message(), "No room can be opened. Try again in 10 s.");
    lobby.advance(10 * SECOND);
    lobby.ask(&ann, "open", json!({ "title": "" })).expect("the cooldown is over");
}
