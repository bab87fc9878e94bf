//! The queue and the news by themselves: no processes, no sockets, and rooms that these tests play.
//! Edit these along with `src/server.rs` and `src/room_manager.rs`.

use app::defaults::DEFAULTS;
use app::messages::ToLobby;
use app::room::Duel;
use app::server::Server;
use cluster::refuse;
use cluster::testing::TestLobby;
use serde_json::json;

#[test]
fn two_players_in_the_queue_go_to_a_room_of_their_own() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let players = ["Ann", "Bob", "Cem"].map(|name| lobby.player(name));
    for player in &players {
        lobby.ask(player, "find_opponent", json!({})).expect("anyone may wait");
    }
    let [ann, bob, cem] = &players;
    assert_eq!(lobby.enter(ann), lobby.enter(bob));
    assert_eq!(lobby.rerouted(cem), None);
    assert_eq!(lobby.last(cem, "place"), Some(&json!({ "place": 1, "waiting": 1 })));
}

#[test]
fn a_player_who_leaves_the_lobby_leaves_the_queue() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let (ann, bob) = (lobby.player("Ann"), lobby.player("Bob"));
    lobby.ask(&ann, "find_opponent", json!({})).expect("anyone may wait");
    lobby.disconnect(&ann);
    lobby.ask(&bob, "find_opponent", json!({})).expect("anyone may wait");
    assert_eq!(lobby.last(&bob, "place"), Some(&json!({ "place": 1, "waiting": 1 })));
    assert!(lobby.rooms().is_empty());
}

#[test]
fn a_room_that_does_not_open_is_told_to_both_players() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let (ann, bob) = (lobby.player("Ann"), lobby.player("Bob"));
    lobby.hold_rooms(true);
    lobby.ask(&ann, "find_opponent", json!({})).expect("anyone may wait");
    lobby.ask(&bob, "find_opponent", json!({})).expect("anyone may wait");
    let room = lobby.rooms().pop().expect("a room for two");
    lobby.refuse_to_open(&room, refuse("no_board", "There is no board."));
    for player in [&ann, &bob] {
        assert_eq!(lobby.last(player, "refused").expect("a refusal")["code"], "no_board");
    }
}

#[test]
fn everyone_in_the_lobby_hears_how_a_game_ended() {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let (ann, bob) = (lobby.player("Ann"), lobby.player("Bob"));
    lobby.ask(&ann, "play", json!({})).expect("a room");
    let room = lobby.enter(&ann);
    let scores = [("Ann".to_owned(), 2), ("Cem".to_owned(), 1)];
    lobby.tell_lobby::<Duel>(&room, ToLobby::Scores(scores));
    let lines = ["Ann has beaten Cem with a score of 2 : 1"];
    assert_eq!(lobby.last(&bob, "news"), Some(&json!({ "lines": lines })));
}
