//! Your lobby by itself: no processes, no sockets, and rooms that these tests play. Edit these
//! along with `src/server.rs` and `src/room_manager.rs`.

use app::defaults::DEFAULTS;
use app::messages::ToLobby;
use app::room::Arena;
use app::server::Server;
use cluster::Exit;
use cluster::testing::TestLobby;
use serde_json::json;

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
