//! The waiting room: a table has two sides, the first of one player, the second of two.

use std::path::Path;
use std::time::Duration;

use cluster::testing::{Client, LobbyProcess, Signal, TestPlayer};
use serde_json::{Value, json};

use crate::common::builder;

async fn start() -> LobbyProcess {
    start_with(&[]).await
}

async fn start_with(flags: &[&str]) -> LobbyProcess {
    let program = builder(Path::new(env!("CARGO_BIN_EXE_parts")));
    // A room that nobody closes would stay for the rest of the test.
    program.flags(&["--dev=false", "--empty-timeout", "60s"]).flags(flags).start().await
}

/// Asks something of the waiting room; `Err`: the code of the refusal.
async fn ask(player: &mut TestPlayer, request: Value) -> Result<Value, String> {
    player.ask("table", request).await
}

async fn does(player: &mut TestPlayer, request: Value) -> Value {
    ask(player, request).await.expect("they may")
}

/// Opens a table with these options of its rooms. Returns its code.
async fn open(host: &mut TestPlayer, mut options: Value) -> Value {
    if options["grace_ms"].is_null() {
        options["grace_ms"] = json!(60_000);
    }
    host.ask("open_table", json!({ "options": options })).await.expect("anyone may")
}

async fn join(player: &mut TestPlayer, code: &Value) {
    assert_eq!(does(player, json!({ "join": { "code": code } })).await, *code);
}

/// A table with the host on the first side, and others on the second.
async fn table<const N: usize>(
    lobby: &LobbyProcess,
    options: Value,
    names: [&str; N],
) -> [TestPlayer; N] {
    let mut players = Vec::new();
    let mut code = Value::Null;
    for name in names {
        let mut player = lobby.player(name).await;
        match code {
            Value::Null => code = open(&mut player, options.clone()).await,
            _ => join(&mut player, &code).await,
        }
        players.push(player);
    }
    players.try_into().ok().expect("so many")
}

/// Waits until the player sees such a table.
async fn sees(player: &mut TestPlayer, wanted: impl Fn(&Value) -> bool) -> Value {
    let seen = player.lobby().event_where("table", wanted);
    // A countdown sends an event each second.
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("such a table")
}

/// One word for each player, such as `Ann-0-ready`.
fn seats(table: &Value) -> String {
    let seats = table["seats"].as_array().into_iter().flatten().map(|seat| {
        let flags = ["ready", "playing", "away"].into_iter();
        let flags = flags.filter(|flag| seat[flag] == true).map(|flag| format!("-{flag}"));
        format!("{}-{}{}", seat["name"].as_str().unwrap(), seat["side"], flags.collect::<String>())
    });
    seats.collect::<Vec<_>>().join(" ")
}

async fn sees_seats(player: &mut TestPlayer, wanted: &str) -> Value {
    sees(player, |table| seats(table) == wanted).await
}

async fn all_ready(players: &mut [TestPlayer]) {
    for player in players {
        does(player, json!({ "ready": true })).await;
    }
}

/// Follows the reroute. Returns the connection, and the side as the room knows it.
async fn enter(player: &mut TestPlayer) -> (Client, Value) {
    let reroute = player.rerouted().await;
    let mut room = player.take(&reroute).await;
    let side = room.event("you_are").await["side"].take();
    (room, side)
}

#[tokio::test]
async fn players_join_the_emptier_side_and_no_side_gets_too_many() {
    let lobby = start().await;
    let [mut ann, mut bob, mut cid] = table(&lobby, json!({}), ["Ann", "Bob", "Cid"]).await;
    let seen = sees_seats(&mut ann, "Ann-0 Bob-1 Cid-1").await;
    assert_eq!(seen["host"], ann.you["id"]);
    assert_eq!(ask(&mut cid, json!({ "side": 0 })).await, Err("side_full".into()));
    assert_eq!(ask(&mut cid, json!({ "side": 2 })).await, Err("side_full".into()));
    let mut dan = lobby.player("Dan").await;
    let full = ask(&mut dan, json!({ "join": { "code": seen["code"] } })).await;
    assert_eq!(full, Err("table_full".into()));
    does(&mut bob, json!("leave")).await;
    assert_eq!(bob.lobby().event_where("table", Value::is_null).await, Value::Null);
    does(&mut ann, json!({ "side": 1 })).await;
    sees_seats(&mut cid, "Ann-1 Cid-1").await;
    // As somebody types it.
    let typed = format!(" {} ", seen["code"].as_str().expect("a code").to_lowercase());
    does(&mut dan, json!({ "join": { "code": typed } })).await;
    sees_seats(&mut ann, "Ann-1 Cid-1 Dan-0").await;
}

#[tokio::test]
async fn listed_tables_with_a_free_place_are_found() {
    let lobby = start().await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let code = does(&mut ann, json!({ "open": { "listed": true } })).await;
    open(&mut bob, json!({})).await;
    let listed = does(&mut bob, json!("list")).await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["code"]), (Some(1), &code));
    assert_eq!(seats(&listed[0]), "Ann-0");
    join(&mut bob, &code).await;
    let mut cid = lobby.player("Cid").await;
    join(&mut cid, &code).await;
    assert_eq!(does(&mut bob, json!("list")).await, json!([]), "it is full");
    let wrong = ask(&mut cid, json!({ "join": { "code": "BCDFGHJK" } })).await;
    assert_eq!(wrong, Err("no_such_table".into()));
}

#[tokio::test]
async fn all_who_are_ready_go_to_one_room_with_their_sides_and_meet_again_at_the_table() {
    let lobby = start().await;
    let mut players = table(&lobby, json!({ "countdown": 1 }), ["Ann", "Bob", "Cid"]).await;
    for _ in 0..2 {
        all_ready(&mut players).await;
        assert_eq!(sees(&mut players[0], |table| table["starts_in"] == 1).await["playing"], false);
        let [ann, bob, cid] = &mut players;
        let (mut anns, side) = enter(ann).await;
        assert_eq!(side, 0);
        let (mut bobs, side) = enter(bob).await;
        assert_eq!(side, 1);
        let (mut cids, side) = enter(cid).await;
        assert_eq!(side, 1);
        let rooms = [anns.event("joined").await, bobs.event("joined").await];
        assert_eq!(rooms[0]["room"], rooms[1]["room"]);
        assert_eq!(rooms[0]["host"], ann.you["id"]);
        // Its code is in their hands only, and lets nobody in.
        let mut dan = lobby.player("Dan").await;
        let joined = dan.ask("join", json!({ "code": rooms[0]["code"] })).await;
        assert_eq!(joined, Err("room_locked".into()));

        anns.ask("finish", json!({})).await.expect("anyone may");
        for (room, player) in [(&mut anns, &mut *ann), (&mut bobs, bob), (&mut cids, cid)] {
            room.end().await;
            player.back().await;
        }
        let is_over = |table: &Value| table["playing"] == false;
        sees(ann, |table| seats(table) == "Ann-0 Bob-1 Cid-1" && is_over(table)).await;
    }
}

#[tokio::test]
async fn the_countdown_stops_when_somebody_is_not_ready_any_more_leaves_or_comes() {
    let lobby = start().await;
    let options = json!({ "countdown": 100, "fewest": 1 });
    let [mut ann, mut bob] = table(&lobby, options, ["Ann", "Bob"]).await;
    let counts = |table: &Value| table["starts_in"].is_u64();
    let stopped = |table: &Value| table["starts_in"].is_null();
    let code = sees(&mut ann, Value::is_object).await["code"].take();
    for change in ["unready", "side", "join", "leave", "disconnect"] {
        for player in [&mut ann, &mut bob] {
            does(player, json!({ "ready": true })).await;
        }
        sees(&mut ann, counts).await;
        match change {
            "unready" => drop(does(&mut bob, json!({ "ready": false })).await),
            "side" => drop(does(&mut bob, json!({ "side": 1 })).await),
            "join" => {
                let mut cid = lobby.player("Cid").await;
                join(&mut cid, &code).await;
                sees(&mut ann, stopped).await;
                // Alone, the others are all who sit there: it begins again.
                does(&mut cid, json!("leave")).await;
                sees(&mut ann, counts).await;
                continue;
            }
            "leave" => {
                does(&mut bob, json!("leave")).await;
                sees(&mut ann, |table| seats(table) == "Ann-0-ready").await;
                join(&mut bob, &code).await;
            }
            _ => drop(bob.lobby.take()),
        }
        sees(&mut ann, stopped).await;
    }
    assert!(!ann.lobby().unheard().contains(&"reroute"));
}

#[tokio::test]
async fn a_countdown_begins_anew_for_those_who_stay() {
    let lobby = start().await;
    let mut players = table(&lobby, json!({ "countdown": 3 }), ["Ann", "Bob", "Cid"]).await;
    all_ready(&mut players).await;
    let [ann, bob, cid] = &mut players;
    sees(ann, |table| table["starts_in"] == 2).await;
    does(cid, json!("leave")).await;
    let seen = sees_seats(ann, "Ann-0-ready Bob-1-ready").await;
    assert_eq!(seen["starts_in"], 3);
    enter(ann).await;
    enter(bob).await;
}

#[tokio::test]
async fn the_host_starts_kicks_passes_on_and_closes_and_nobody_else_does() {
    let lobby = start().await;
    let options = json!({ "fewest": 1 });
    let [mut ann, mut bob, mut cid] = table(&lobby, options, ["Ann", "Bob", "Cid"]).await;
    let (anns, cids) = (ann.you["id"].clone(), cid.you["id"].clone());
    for request in
        [json!("start"), json!("close"), json!({ "kick": anns }), json!({ "pass_on": cids })]
    {
        assert_eq!(ask(&mut bob, request).await, Err("not_host".into()));
    }
    does(&mut ann, json!({ "kick": cids })).await;
    assert_eq!(ask(&mut ann, json!({ "kick": cids })).await, Err("not_allowed".into()));
    cid.lobby().event_where("table", Value::is_null).await;
    let seen = sees_seats(&mut bob, "Ann-0 Bob-1").await;
    let again = ask(&mut cid, json!({ "join": { "code": seen["code"] } })).await;
    assert_eq!(again, Err("no_such_table".into()), "they were kicked");

    does(&mut ann, json!({ "pass_on": bob.you["id"] })).await;
    assert_eq!(ask(&mut ann, json!("start")).await, Err("not_host".into()));
    // Nobody is ready.
    does(&mut bob, json!("start")).await;
    let (mut room, _) = enter(&mut bob).await;
    enter(&mut ann).await;
    room.ask("finish", json!({})).await.expect("anyone may");
    bob.back().await;
    ann.back().await;
    sees(&mut bob, |table| table["playing"] == false).await;
    does(&mut bob, json!("close")).await;
    for player in [&mut ann, &mut bob] {
        player.lobby().event_where("table", Value::is_null).await;
        assert_eq!(ask(player, json!("leave")).await, Err("not_allowed".into()));
    }
}

#[tokio::test]
async fn the_host_cannot_start_with_too_few_players_or_twice() {
    let lobby = start().await;
    let [mut ann, mut bob] = table(&lobby, json!({ "fewest": 1 }), ["Ann", "Bob"]).await;
    does(&mut ann, json!({ "side": 1 })).await;
    assert_eq!(ask(&mut ann, json!("start")).await, Err("too_few_players".into()));
    does(&mut ann, json!({ "side": 0 })).await;
    does(&mut ann, json!("start")).await;
    assert_eq!(ask(&mut ann, json!("start")).await, Err("playing".into()));
    enter(&mut bob).await;
    assert_eq!(ask(&mut ann, json!("start")).await, Err("playing".into()));
}

#[tokio::test]
async fn the_next_player_is_the_host_when_the_host_leaves() {
    let lobby = start().await;
    let options = json!({ "grace_ms": 100 });
    let [mut ann, mut bob, mut cid] = table(&lobby, options, ["Ann", "Bob", "Cid"]).await;
    does(&mut ann, json!("leave")).await;
    assert_eq!(sees_seats(&mut bob, "Bob-1 Cid-1").await["host"], bob.you["id"]);
    drop(bob.lobby.take());
    sees_seats(&mut cid, "Bob-1-away Cid-1").await;
    assert_eq!(sees_seats(&mut cid, "Cid-1").await["host"], cid.you["id"]);
    bob.back().await;
    assert_eq!(bob.lobby().event("table").await, Value::Null);
    does(&mut cid, json!("leave")).await;
    assert_eq!(does(&mut cid, json!("list")).await, json!([]));
}

#[tokio::test]
async fn a_player_who_reloads_the_page_keeps_the_place_and_is_not_ready() {
    let lobby = start().await;
    let options = json!({ "countdown": 100 });
    let mut players = table(&lobby, options, ["Ann", "Bob"]).await;
    all_ready(&mut players).await;
    let [ann, bob] = &mut players;
    sees(ann, |table| table["starts_in"].is_u64()).await;
    drop(bob.lobby.take());
    sees_seats(ann, "Ann-0-ready Bob-1-away").await;
    bob.back().await;
    assert_eq!(seats(&bob.lobby().event("table").await), "Ann-0-ready Bob-1", "it comes first");
    sees_seats(ann, "Ann-0-ready Bob-1").await;
}

#[tokio::test]
async fn a_player_is_at_one_table_and_one_who_plays_elsewhere_loses_the_place() {
    let lobby = start().await;
    let options = json!({ "grace_ms": 100 });
    let [mut ann, mut bob] = table(&lobby, options.clone(), ["Ann", "Bob"]).await;
    open(&mut bob, options).await;
    sees_seats(&mut ann, "Ann-0").await;
    let code = sees_seats(&mut bob, "Bob-0").await["code"].take();
    join(&mut ann, &code).await;
    sees_seats(&mut bob, "Bob-0 Ann-1").await;
    let _elsewhere = ann.enter("elsewhere", json!({})).await;
    sees_seats(&mut bob, "Bob-0 Ann-1-away").await;
    sees_seats(&mut bob, "Bob-0").await;
}

#[tokio::test]
async fn early_leavers_wait_at_the_table_until_the_last_player_is_back() {
    let lobby = start().await;
    let mut players = table(&lobby, json!({}), ["Ann", "Bob"]).await;
    all_ready(&mut players).await;
    let [ann, bob] = &mut players;
    let (mut anns, _) = enter(ann).await;
    let (mut bobs, _) = enter(bob).await;
    bobs.ask("send_back", json!({})).await.expect("anyone may");
    bob.back().await;
    let seen = sees_seats(bob, "Ann-0-playing Bob-1").await;
    assert_eq!(seen["playing"], true);
    does(bob, json!({ "ready": true })).await;
    // The last one is back, and the room is closed, though it has not ended by itself.
    anns.ask("send_back", json!({})).await.expect("anyone may");
    ann.back().await;
    let seen = sees_seats(ann, "Ann-0 Bob-1-ready").await;
    assert_eq!(seen["playing"], false);
    lobby.logged("room ended").await;
    does(ann, json!({ "ready": true })).await;
    enter(ann).await;
    enter(bob).await;
}

#[tokio::test]
async fn after_a_crash_the_players_are_at_their_table_and_play_again() {
    let lobby = start().await;
    let mut players = table(&lobby, json!({}), ["Ann", "Bob"]).await;
    for _ in 0..2 {
        all_ready(&mut players).await;
        let [ann, bob] = &mut players;
        let (mut anns, _) = enter(ann).await;
        let _bobs = enter(bob).await;
        let room = anns.event("joined").await["room"].take();
        lobby.signal_room(&room, Signal::KILL).await;
        ann.back().await;
        bob.back().await;
        let is_over = |table: &Value| table["playing"] == false;
        sees(ann, |table| seats(table) == "Ann-0 Bob-1" && is_over(table)).await;
    }
}

#[tokio::test]
async fn a_player_who_was_lost_in_the_room_loses_the_place_when_the_room_has_ended() {
    let lobby = start().await;
    let mut players = table(&lobby, json!({ "grace_ms": 100 }), ["Ann", "Bob"]).await;
    all_ready(&mut players).await;
    let [ann, bob] = &mut players;
    let (mut anns, _) = enter(ann).await;
    let (bobs, _) = enter(bob).await;
    drop(bobs);
    anns.event("player_disconnected").await;
    anns.ask("send_back", json!({})).await.expect("anyone may");
    ann.back().await;
    // The room keeps a seat for Bob.
    sees_seats(ann, "Ann-0 Bob-1-playing").await;
    let room = anns.event("joined").await["room"].take();
    lobby.signal_room(&room, Signal::KILL).await;
    assert_eq!(sees_seats(ann, "Ann-0 Bob-1-away").await["playing"], false);
    sees_seats(ann, "Ann-0").await;
}

#[tokio::test]
async fn a_player_who_is_back_in_time_keeps_the_place() {
    let lobby = start().await;
    let options = json!({ "grace_ms": 3_000 });
    let [mut ann, mut bob, mut cid] = table(&lobby, options, ["Ann", "Bob", "Cid"]).await;
    drop(bob.lobby.take());
    sees_seats(&mut ann, "Ann-0 Bob-1-away Cid-1").await;
    bob.back().await;
    sees_seats(&mut ann, "Ann-0 Bob-1 Cid-1").await;
    // The time of the one who leaves later is over later.
    drop(cid.lobby.take());
    sees_seats(&mut ann, "Ann-0 Bob-1 Cid-1-away").await;
    sees(&mut ann, |table| !seats(table).contains("Cid")).await;
    bob.back().await;
    assert_eq!(seats(&bob.lobby().event("table").await), "Ann-0 Bob-1");
}

#[tokio::test]
async fn many_changes_are_few_events() {
    let lobby = start().await;
    let [mut ann, mut bob] = table(&lobby, json!({ "countdown": 100 }), ["Ann", "Bob"]).await;
    sees_seats(&mut bob, "Ann-0 Bob-1").await;
    for n in 0..19 {
        ann.lobby().emit("table", json!({ "ready": n % 2 == 0 }));
    }
    does(&mut ann, json!({ "side": 1 })).await;
    sees_seats(&mut bob, "Ann-1 Bob-1").await;
    // Meanwhile all events about what Ann did are sent.
    for _ in 0..10 {
        lobby.player("Late").await;
    }
    does(&mut bob, json!({ "ready": true })).await;
    let mut events = 0;
    while seats(&bob.lobby().event("table").await) != "Ann-1 Bob-1-ready" {
        events += 1;
    }
    assert!(events < 10, "{events}");
}

#[tokio::test]
async fn a_room_that_does_not_open_or_refuses_a_player_leaves_all_at_the_table() {
    let lobby = start().await;
    for (options, code, problem) in [
        (json!({ "refuses_to_open": true }), "no_map", "There is no such map."),
        (json!({ "refuses_side": 1 }), "not_you", "This side may not play."),
    ] {
        let mut players = table(&lobby, options, ["Ann", "Bob"]).await;
        all_ready(&mut players).await;
        let [ann, bob] = &mut players;
        for player in [ann, bob] {
            assert_eq!(player.lobby().event("refused").await["code"], code);
            let seen = sees(player, |table| table["problem"] == problem).await;
            assert_eq!((seats(&seen), &seen["playing"]), ("Ann-0 Bob-1".into(), &json!(false)));
        }
    }
}

#[tokio::test]
async fn if_no_room_is_free_the_players_are_told_and_can_try_again() {
    let lobby = start_with(&["--max-rooms", "1", "--stop-timeout", "100ms"]).await;
    let mut boss = lobby.player("Boss").await;
    let mut room = boss.enter("elsewhere", json!({})).await;
    let mut players = table(&lobby, json!({}), ["Ann", "Bob"]).await;
    all_ready(&mut players).await;
    let [ann, bob] = &mut players;
    for player in [&mut *ann, bob] {
        let seen = sees(player, |table| table["problem"].is_string()).await;
        assert_eq!(seats(&seen), "Ann-0 Bob-1");
    }
    assert_eq!(ask(ann, json!("start")).await, Err("no_room".into()));
    room.ask("finish", json!({})).await.expect("anyone may");
    lobby.logged("room ended").await;
    does(ann, json!("start")).await;
    enter(bob).await;
}
