//! Your lobby and rooms, end to end: four in a row, from the queue and by code. Edit these
//! along with your hooks.

use cluster::testing::{Client, LobbyProcess, Signal, TestPlayer};
use serde_json::{Value, json};

async fn start(flags: &[&str]) -> LobbyProcess {
    LobbyProcess::start(env!("CARGO_BIN_EXE_server"), flags).await
}

#[tokio::test]
async fn two_players_in_the_queue_are_paired() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ann.ask("find_opponent", json!({})).await.expect("anyone may wait");
    assert_eq!(ann.lobby().event("place").await, json!({ "place": 1, "waiting": 1 }));
    let mut bobs = bob.enter("find_opponent", json!({})).await;
    let reroute = ann.rerouted().await;
    let mut anns = ann.take(&reroute).await;
    assert_eq!(anns.event("joined").await["room"], bobs.event("joined").await["room"]);
    let game = begun(&mut anns).await;
    assert_eq!(begun(&mut bobs).await, game);
    assert_eq!(game["sides"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_player_who_left_the_queue_is_not_paired() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ann.ask("find_opponent", json!({})).await.expect("anyone may wait");
    ann.ask("stop_waiting", json!({})).await.expect("anyone may stop");
    bob.ask("find_opponent", json!({})).await.expect("anyone may wait");
    assert_eq!(bob.lobby().event("place").await, json!({ "place": 1, "waiting": 1 }));

    // A closed page leaves the queue, too.
    drop(bob);
    lobby.logged("left the lobby").await;
    let (mut cem, mut dan) = (lobby.player("Cem").await, lobby.player("Dan").await);
    cem.ask("find_opponent", json!({})).await.expect("anyone may wait");
    let _dans = dan.enter("find_opponent", json!({})).await;
    cem.rerouted().await;
    ann.ask("stop_waiting", json!({})).await.expect("also twice");
    assert!(!ann.lobby().unheard().contains(&"reroute"));
}

#[tokio::test]
async fn a_friend_joins_by_code_and_nobody_else_does() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut cem = lobby.player("Cem").await;
    let mut anns = ann.enter("invite_friend", json!({})).await;
    let joined = anns.event("joined").await;
    let code = joined["code"].as_str().expect("a code");

    // It is not listed, and its id is not a code.
    cem.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    assert_eq!(cem.lobby().event("rooms").await, json!([]));
    for wrong in ["", "AEIOU-AEIOU", &code[..10], joined["room"].as_str().expect("an id")] {
        let refused = cem.ask("join_friend", json!({ "code": wrong })).await;
        assert_eq!(refused, Err("no_such_room".into()), "{wrong:?}");
    }

    let typed = format!(" {} ", code.to_lowercase());
    let mut bobs = bob.enter("join_friend", json!({ "code": typed })).await;
    assert_eq!(bobs.event("joined").await["room"], joined["room"]);
    begun(&mut anns).await;
    // It is full, and locked once the lobby has been told.
    let late = cem.ask("join_friend", json!({ "code": code })).await.expect_err("two play");
    assert!(["room_full", "room_locked"].contains(&&*late), "{late}");
}

#[tokio::test]
async fn a_player_who_joins_a_friend_leaves_the_queue() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ann.ask("find_opponent", json!({})).await.expect("anyone may wait");
    // A wrong code costs nobody their place.
    let wrong = ann.ask("join_friend", json!({ "code": "BCDFGH" })).await;
    assert_eq!(wrong, Err("no_such_room".into()));
    let waits = ann.lobby().event("place").await;
    assert_eq!(waits, json!({ "place": 1, "waiting": 1 }));
    ann.seat("invite_friend", json!({})).await;
    bob.ask("find_opponent", json!({})).await.expect("anyone may wait");
    assert_eq!(bob.lobby().event("place").await, json!({ "place": 1, "waiting": 1 }));
}

#[tokio::test]
async fn a_lost_connection_loses_no_game_and_the_winner_is_news() {
    let lobby = start(&[]).await;
    let mut cem = lobby.player("Cem").await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let [mut anns, mut bobs] = pair(&mut ann, &mut bob).await;
    let mut game = begun(&mut anns).await;
    begun(&mut bobs).await;
    for column in [0, 1, 0, 1] {
        game = play(&mut [&mut anns, &mut bobs], &game, column).await;
    }

    // Dropping her connection cuts the line.
    drop(anns);
    assert_eq!(bobs.event("player_disconnected").await, json!({ "player": ann.you }));
    ann.back().await;
    let reroute = ann.rerouted().await;
    let mut anns = ann.take(&reroute).await;
    assert_eq!(bobs.event("player_reconnected").await, json!({ "player": ann.you }));
    let back = anns.event("room_state").await;
    assert_eq!(back["state"]["board"], game["board"]);

    for column in [0, 1, 0] {
        game = play(&mut [&mut anns, &mut bobs], &game, column).await;
    }
    let winner = if game["end"]["winner"] == 0 { ["Ann", "Bob"] } else { ["Bob", "Ann"] };
    anns.leave().await;
    bobs.leave().await;
    let line = format!("{} has beaten {} with a score of 1 : 0", winner[0], winner[1]);
    let news = json!({ "lines": [line] });
    while cem.lobby().event("news").await != news {}
    // A player who registers later gets the news, too.
    ann.back().await;
    while ann.lobby().event("news").await != news {}
}

#[tokio::test]
async fn a_killed_room_sends_its_players_back_and_makes_news() {
    let lobby = start(&[]).await;
    let mut cem = lobby.player("Cem").await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let [mut anns, _bobs] = pair(&mut ann, &mut bob).await;
    let id = anns.event("joined").await["room"].take();
    lobby.signal_room(&id, Signal::KILL).await;
    assert!(!anns.end().await);
    assert_eq!(
        ann.back().await["returned"],
        json!({ "room": id, "reason": { "code": "crashed" } })
    );
    let room = id.as_str().expect("an id");
    let news = json!({ "lines": [format!("The game in room {room} is over: the room crashed.")] });
    while cem.lobby().event("news").await != news {}
}

#[tokio::test]
async fn the_page_is_served() {
    let lobby = start(&[]).await;
    for path in ["/", "/client.js", "/board.js", "/style.css"] {
        assert_eq!(lobby.http("GET", path).await.0, 200, "{path}");
    }
    assert_eq!(lobby.http("GET", "/missing").await.0, 404);
}

/// Brings two players from the queue into a room.
async fn pair(ann: &mut TestPlayer, bob: &mut TestPlayer) -> [Client; 2] {
    ann.ask("find_opponent", json!({})).await.expect("anyone may wait");
    ann.lobby().event("place").await;
    let to_bob = bob.seat("find_opponent", json!({})).await;
    let to_ann = ann.rerouted().await;
    // In this order: Ann is side 0.
    let anns = ann.take(&to_ann).await;
    let bobs = bob.take(&to_bob).await;
    [anns, bobs]
}

/// The game, when both players are there.
async fn begun(room: &mut Client) -> Value {
    loop {
        let game = room.event("room_state").await["state"].take();
        if game["sides"].as_array().is_some_and(|sides| sides.len() == 2) {
            return game;
        }
    }
}

/// Plays a move; returns the game when both players have it.
async fn play(sides: &mut [&mut Client; 2], game: &Value, column: usize) -> Value {
    let turn = usize::from(game["turn"] == 1);
    sides[turn].ask("play", json!({ "column": column })).await.expect("a good move");
    let mut seen = Value::Null;
    for side in sides {
        seen = side.event("room_state").await["state"].take();
        while seen["last"] == game["last"] {
            seen = side.event("room_state").await["state"].take();
        }
    }
    seen
}
