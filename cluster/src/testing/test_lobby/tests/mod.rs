//! What happens to players; `rooms.rs` has what happens to rooms, and `server.rs` the lobby.

mod lists;
mod rooms;
mod server;

use serde_json::{Value, json};

use self::server::{DEFAULTS, Profile, SECOND, Server};
use super::*;
use crate::types::{LeaveReason, Player, refuse};

fn start() -> (TestLobby<Server>, Player<Profile>) {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let ann = lobby.player("Ann");
    lobby.state().hooks.clear();
    (lobby, ann)
}

fn hooks(lobby: &mut TestLobby<Server>) -> Vec<String> {
    std::mem::take(&mut lobby.state().hooks)
}

fn names(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| &*sent.event).collect()
}

#[test]
fn a_player_who_plays_is_rerouted_enters_and_returns() {
    let (mut lobby, ann) = start();
    let room = RoomId("1".to_owned());
    assert_eq!(lobby.ask(&ann, "play", json!({})), Ok(json!({ "room": room })));
    assert_eq!(hooks(&mut lobby), ["on_room_ready 1"]);
    assert_eq!(lobby.rerouted(&ann), Some(room.clone()));
    assert_eq!(lobby.enter(&ann), room);
    assert_eq!(hooks(&mut lobby), ["on_player_joined 1 Ann", "on_leave Ann"]);
    assert_eq!(lobby.lobby().find(&ann), Some(crate::Place::Room(room.clone())));
    assert_eq!(lobby.rerouted(&ann), None);
    lobby.leave(&ann, LeaveReason::Sent("Well played.".to_owned()));
    let came_back =
        ["on_player_left 1 Ann Well played.", "on_arrive Ann None Some(\"Well played.\") None"];
    assert_eq!(hooks(&mut lobby), came_back);
    let returned = json!({ "room": room, "reason": { "code": "sent", "message": "Well played." } });
    assert_eq!(lobby.last(&ann, "welcome").expect("a welcome")["returned"], returned);
    assert_eq!(names(&lobby.sent(&ann)), ["welcome", "reroute", "reroute", "welcome"]);
    assert!(lobby.sent(&ann).is_empty());
}

#[test]
fn a_registration_may_be_slow_or_refused_and_has_an_address_and_headers() {
    let (mut lobby, _) = start();
    assert_eq!(lobby.register(json!({ "name": "" })), Err(Refusal::BAD_NAME));
    let bob = lobby.register(json!({ "name": "Bob", "slow": true })).expect("a player");
    let headers = [("x-level".parse().unwrap(), "xxx".parse().unwrap())].into_iter().collect();
    let address = Some("192.0.2.7".parse().unwrap());
    let eve = lobby.register_from(json!({ "name": "Eve" }), address, headers).expect("a player");
    assert_eq!((bob.name, eve.name), ("Bob".to_owned(), "Eve of 192.0.2.7".to_owned()));
    assert_eq!(eve.profile.level, 3);
    let arrived =
        ["on_arrive Bob Some(7) None None", "on_arrive Eve of 192.0.2.7 Some(7) None None"];
    assert_eq!(hooks(&mut lobby), arrived);
}

#[test]
fn a_player_who_registers_again_with_the_same_id_has_another_window() {
    let (mut lobby, ann) = start();
    let again = lobby.register(json!({ "name": "Ann" })).expect("the same");
    assert_eq!(again, ann);
    assert_eq!(hooks(&mut lobby), ["on_leave Ann", "on_arrive Ann Some(7) None None"]);
    assert_eq!(lobby.last(&ann, "refused").expect("replaced")["code"], "replaced");
    lobby.ask(&ann, "hello", json!({})).expect("the new window");
}

#[test]
fn a_page_reconnects_with_its_token_until_it_logs_out() {
    let (mut lobby, ann) = start();
    lobby.disconnect(&ann);
    lobby.connect(&ann).expect("a valid token");
    assert_eq!(hooks(&mut lobby), ["on_leave Ann", "on_arrive Ann None None None"]);
    lobby.logout(&ann).expect("a logout");
    assert_eq!(hooks(&mut lobby), ["on_leave Ann"]);
    assert_eq!(lobby.connect(&ann), Err(Refusal::BAD_TOKEN));
}

#[test]
fn a_kicked_player_gets_the_reason_as_the_answer_and_a_banned_one_stays_away() {
    let (mut lobby, ann) = start();
    let kicked = lobby.ask(&ann, "kick", json!({ "player": "Ann" }));
    assert_eq!(kicked, Err(refuse("kicked", "Please be kind.")));
    lobby.connect(&ann).expect("only kicked");
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    lobby.call(|_, lobby| lobby.ban(&ann, "Enough."));
    assert_eq!(lobby.lobby().find(&ann), None, "their page came back, and was refused");
    assert_eq!(lobby.connect(&ann), Err(refuse("banned", "Enough.")));
}

#[test]
fn a_page_that_is_back_before_the_lobby_knows_why_waits_a_moment() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    hooks(&mut lobby);
    lobby.connect(&ann).expect("another window");
    assert!(hooks(&mut lobby).is_empty());
    lobby.advance(SECOND);
    assert_eq!(hooks(&mut lobby), [r#"on_arrive Ann None None Some(RoomId("1"))"#]);
}

#[test]
fn an_answer_may_be_the_result_of_a_computation() {
    let (mut lobby, ann) = start();
    assert_eq!(lobby.ask(&ann, "square", json!({ "n": 3 })), Ok(json!(9)));
}

#[test]
fn timers_fire_when_the_test_says_so() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "later", json!({ "seconds": 3600 })).expect("a timer");
    lobby.advance(3599 * SECOND);
    assert_eq!(lobby.last(&ann, "line"), None);
    lobby.advance(SECOND);
    assert_eq!(lobby.last(&ann, "line"), Some(&json!("now")));
}

#[test]
fn requests_are_checked_as_in_the_lobby() {
    let (mut lobby, ann) = start();
    for (event, data, code) in [
        ("nonsense", json!({}), "unknown_event"),
        ("open", json!({ "title": 7 }), "bad_message"),
        ("open", json!({ "title": "x".repeat(70_000) }), "too_large"),
        ("join", json!({ "room": "99" }), "no_such_room"),
        ("play", json!({ "kind": "chess" }), "no_such_kind"),
    ] {
        let refused = lobby.ask(&ann, event, data).expect_err(event);
        assert_eq!(refused.code(), code, "{event}");
    }
    lobby.sent(&ann);
    lobby.emit(&ann, "open", json!({ "title": 7 }));
    assert_eq!(lobby.last(&ann, "refused").expect("an event")["code"], "bad_message");
}

#[test]
fn presence_is_sent_to_those_who_may_watch() {
    let (mut lobby, ann) = start();
    let eve = lobby.player("Eve");
    assert_eq!(lobby.ask(&eve, "watch_players", json!({})), Err(Refusal::NOT_ALLOWED));
    lobby.ask(&ann, "watch_players", json!({})).expect("the list");
    lobby.ask(&eve, "play", json!({})).expect("a room");
    lobby.enter(&eve);
    lobby.advance(SECOND);
    let list = lobby.last(&ann, "players").and_then(Value::as_array).expect("a list");
    let eve = list.iter().find(|player| player["name"] == "Eve").expect("Eve");
    assert_eq!([&eve["place"], &eve["room"]], ["room", "1"]);
}

#[test]
fn flags_and_on_start_decide_whether_a_lobby_starts() {
    let started = TestLobby::<Server>::start_with(DEFAULTS, &["--max-rooms", "1"]);
    let mut lobby = started.expect("a lobby");
    assert_eq!(hooks(&mut lobby), ["on_start"]);
    let ann = lobby.player("Ann");
    lobby.ask(&ann, "open", json!({ "title": "" })).expect("a room");
    let second = lobby.ask(&ann, "open", json!({ "title": "" })).expect_err("one is the limit");
    assert_eq!(second.code(), "no_room");
    let unlucky = TestLobby::<Server>::start_with(DEFAULTS, &["--max-rooms", "13"]);
    assert_eq!(unlucky.err(), Some(refuse("unlucky", "Not with 13 rooms.")));
}

#[test]
fn a_lobby_that_stops_closes_its_rooms() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    hooks(&mut lobby);
    lobby.stop();
    assert_eq!(hooks(&mut lobby), ["on_stop"]);
    lobby.advance(2 * SECOND);
    assert!(lobby.rooms().is_empty());
    assert_eq!(lobby.ask(&ann, "play", json!({})), Err(Refusal::STOPPING));
}

#[test]
#[should_panic(expected = "as asked")]
fn a_panic_in_a_hook_fails_the_test() {
    let (mut lobby, ann) = start();
    let _ = lobby.ask(&ann, "panic", json!({}));
}
