//! Your room by itself, and your lobby with rooms that the tests play: no processes, no sockets,
//! simulated time. Edit these along with your hooks.

use std::time::Duration;

use app::defaults::DEFAULTS;
use app::messages::{Options, ToLobby};
use app::room::Duel;
use app::server::Server;
use cluster::testing::{TestLobby, TestRoom};
use cluster::{Exit, Player, Refusal, refuse};
use serde_json::{Value, json};

const PATIENCE: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);
/// Pages have the newest state after this time: a room sends it at most 20 times a second.
const SYNC: Duration = Duration::from_millis(100);

/// Moves that fill the board without a winner.
const DRAW: &str = "545062455041104565311226266362030334314210";

#[test]
fn four_in_a_row_win_in_every_direction() {
    for (moves, cells) in [
        ("0011223", vec![35, 36, 37, 38]),
        ("0101010", vec![14, 21, 28, 35]),
        ("01122323363", vec![17, 23, 29, 35]),
        ("65544343303", vec![17, 25, 33, 41]),
        // Five in a row win, too, and all are shown.
        ("001122443", vec![35, 36, 37, 38, 39]),
    ] {
        let mut table = Table::new();
        let winner = table.turn();
        let (before, last) = moves.split_at(moves.len() - 1);
        table.play(before);
        assert_eq!(table.game()["end"], json!(null), "{moves}");
        table.play(last);
        let end = json!({ "winner": winner, "why": "four", "cells": cells });
        assert_eq!(table.game()["end"], end, "{moves}");
        assert_eq!(table.game()["sides"][winner]["wins"], 1);
    }
}

#[test]
fn a_full_board_is_a_draw() {
    let mut table = Table::new();
    table.play(DRAW);
    assert_eq!(table.game()["end"], json!({ "winner": null, "why": "board_full", "cells": [] }));
    table.room.advance(60 * SECOND);
    table.ends_with([("Ann", 0), ("Bob", 0)]);
}

#[test]
fn an_illegal_move_is_refused_and_changes_nothing() {
    let mut table = Table::new();
    let (turn, columns) = (table.turn(), "000000");
    let refused = |table: &mut Table, side: usize, event: &str, data: Value| {
        let before = table.game().clone();
        let refusal = table.emit(side, event, data).expect_err("refused");
        assert_eq!(*table.game(), before);
        refusal.code().to_owned()
    };
    assert_eq!(refused(&mut table, 1 - turn, "play", json!({ "column": 3 })), "not_your_turn");
    assert_eq!(refused(&mut table, turn, "play", json!({ "column": 7 })), "no_such_column");
    assert_eq!(refused(&mut table, turn, "play", json!({ "column": -1 })), "bad_message");
    assert_eq!(refused(&mut table, turn, "play", json!({ "column": 0.5 })), "bad_message");
    assert_eq!(refused(&mut table, turn, "rematch", json!({})), "game_not_over");
    table.play(columns);
    assert_eq!(refused(&mut table, turn, "play", json!({ "column": 0 })), "column_full");
    table.play("1212121");
    assert_eq!(refused(&mut table, 1 - turn, "play", json!({ "column": 3 })), "game_over");
}

#[test]
fn alone_nobody_plays() {
    let mut room = open();
    let ann = room.join("Ann").expect("a seat");
    for (event, data) in [("play", json!({ "column": 3 })), ("rematch", json!({}))] {
        let refusal = room.emit(&ann, event, data).expect_err("refused");
        assert_eq!(refusal.code(), "no_opponent");
    }
}

#[test]
fn a_game_that_has_begun_lets_nobody_in() {
    let mut table = Table::new();
    assert_eq!(table.room.join("Cem"), Err(Refusal::ROOM_LOCKED));
    let [ann, _] = table.players.clone();
    table.room.leave(&ann);
    assert_eq!(table.room.join("Cem"), Err(Refusal::ROOM_LOCKED));
}

#[test]
fn a_player_who_reconnects_in_time_plays_on_and_the_clock_has_stopped() {
    let mut table = Table::new();
    table.play("334");
    table.room.advance(10 * SECOND);
    let mut before = table.game().clone();
    before["seconds"] = json!(50);
    let [ann, bob] = table.players.clone();

    table.room.drop_player(&ann);
    assert_eq!(table.room.last(&bob, "player_disconnected"), Some(&json!({ "player": ann })));
    table.room.advance(29 * SECOND);
    table.room.sent(&ann);
    table.room.join_as(&ann).expect("her seat");
    assert_eq!(table.room.last(&bob, "player_reconnected"), Some(&json!({ "player": ann })));
    assert_eq!(table.room.state(&ann), Some(&before));
    table.play("4");
    assert_eq!(table.game()["end"], json!(null));
}

#[test]
fn one_may_move_while_the_other_is_away() {
    let mut table = Table::new();
    let turn = table.turn();
    let away = table.players[1 - turn].clone();
    table.room.drop_player(&away);
    table.emit(turn, "play", json!({ "column": 3 })).expect("a good move");
    table.room.join_as(&away).expect("a seat");
    let cell = table.room.state(&away).expect("the state")["board"][38].clone();
    assert_eq!(cell, turn);
}

#[test]
fn a_player_who_does_not_reconnect_in_time_loses() {
    let mut table = Table::new();
    let [ann, bob] = table.players.clone();
    table.room.drop_player(&ann);
    table.room.advance(30 * SECOND);
    let end = json!({ "winner": 1, "why": "away", "cells": [] });
    assert_eq!(table.room.state(&bob).expect("news")["end"], end);
    // The player can look at the board for a moment.
    table.room.advance(10 * SECOND);
    table.ends_with([("Bob", 1), ("Ann", 0)]);
}

#[test]
fn a_player_who_leaves_loses_and_the_room_ends_when_the_other_leaves_too() {
    let mut table = Table::new();
    let [ann, bob] = table.players.clone();
    table.room.leave(&bob);
    let end = json!({ "winner": 0, "why": "left", "cells": [] });
    assert_eq!(table.room.state(&ann).expect("news")["end"], end);
    let refusal = table.emit(0, "rematch", json!({})).expect_err("nobody to play with");
    assert_eq!(refusal.code(), "no_opponent");
    assert!(table.room.exit().is_none());
    table.room.leave(&ann);
    table.ends_with([("Ann", 1), ("Bob", 0)]);
}

#[test]
fn a_player_who_does_not_move_in_time_loses() {
    let mut table = Table::new();
    table.play("3");
    let slow = table.turn();
    table.room.advance(60 * SECOND);
    let end = json!({ "winner": 1 - slow, "why": "too_slow", "cells": [] });
    assert_eq!(table.game()["end"], end);
}

#[test]
fn a_rematch_begins_when_both_want_it_and_the_other_one_begins() {
    let mut table = Table::new();
    let first = table.turn();
    table.play("0101010");
    table.emit(0, "rematch", json!({})).expect("it is over");
    assert!(!table.game()["end"].is_null());
    table.emit(1, "rematch", json!({})).expect("it is over");
    assert_eq!(table.game()["end"], json!(null));
    assert_eq!(table.turn(), 1 - first);
    table.play("0101010");
    table.room.advance(60 * SECOND);
    table.ends_with([("Ann", 1), ("Bob", 1)]);
}

#[test]
fn a_room_without_an_opponent_closes_in_time() {
    let mut room = open();
    let ann = room.join("Ann").expect("a seat");
    room.advance(PATIENCE * SECOND);
    let goodbye = json!({ "to": "lobby", "reason": { "code": "sent", "message": "Nobody came." } });
    assert_eq!(room.last(&ann, "reroute"), Some(&goodbye));
    assert_eq!(room.exit(), Some(Exit::Closed));
}

#[test]
fn a_room_whose_only_player_leaves_is_over() {
    let mut room = open();
    let ann = room.join("Ann").expect("a seat");
    room.leave(&ann);
    assert_eq!(room.exit(), Some(Exit::Closed));
}

/// Ann and Bob at a board.
struct Table {
    room: TestRoom<Duel>,
    players: [Player; 2],
}

impl Table {
    fn new() -> Table {
        let mut room = open();
        let players = ["Ann", "Bob"].map(|name| room.join(name).expect("a seat"));
        room.advance(SYNC);
        Table { room, players }
    }

    /// Plays these columns in turn.
    fn play(&mut self, columns: &str) {
        for column in columns.bytes().map(|digit| digit - b'0') {
            let turn = self.turn();
            self.emit(turn, "play", json!({ "column": column })).expect("a good move");
        }
    }

    fn emit(&mut self, side: usize, event: &str, data: Value) -> Result<Value, Refusal> {
        let answer = self.room.emit(&self.players[side], event, data);
        self.room.advance(SYNC);
        answer
    }

    /// The game as Ann's page shows it.
    fn game(&self) -> &Value {
        self.room.state(&self.players[0]).expect("the room shows itself")
    }

    fn turn(&self) -> usize {
        self.game()["turn"].as_u64().expect("a side") as usize
    }

    /// Asserts that the room has ended after reporting these scores.
    fn ends_with(&mut self, scores: [(&str, u32); 2]) {
        assert_eq!(self.room.exit(), Some(Exit::Finished));
        let scores = ToLobby::Scores(scores.map(|(name, wins)| (name.to_owned(), wins)));
        assert_eq!(self.room.told_lobby().last(), Some(&scores));
    }
}

fn open() -> TestRoom<Duel> {
    TestRoom::open(Options { patience: PATIENCE }, 2, 7).expect("a room")
}

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
