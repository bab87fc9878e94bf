//! Kicks, bans, locks, and closing rooms with a reason.

use std::time::Duration;

use cluster::testing::{Client, soon};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::start_game;

/// Expects that a player in the lobby is dismissed and told why.
async fn dismissed(mut lobby: Client, code: &str, why: &str) {
    let refused = json!({ "event": "connect", "code": code, "message": why });
    assert_eq!(lobby.event("refused").await, refused);
    assert!(lobby.end().await);
}

/// Expects that a player in a room is sent to the lobby and told why.
async fn sent_away(room: &mut Client, code: &str, why: &str) {
    let reason = json!({ "code": code, "message": why });
    assert_eq!(room.event("reroute").await, json!({ "to": "lobby", "reason": reason }));
    assert!(room.end().await);
}

#[tokio::test]
async fn a_player_kicked_from_the_lobby_may_return() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let kick = json!({ "player": bob.you["id"], "reason": "Too loud, \"Bob\"." });
    ann.ask("kick", kick).await.expect("any player may");
    let lobby = bob.lobby.take().expect("in the lobby");
    dismissed(lobby, "kicked", "Too loud, \"Bob\".").await;
    assert_eq!(bob.back().await["you"], bob.you);
    let nobody = json!({ "player": "nobody", "reason": "" });
    ann.ask("kick", nobody).await.expect("it changes nothing");
}

#[tokio::test]
async fn a_player_kicked_from_a_room_may_return() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut bobs = bob.enter("create", json!({})).await;
    let room = bobs.event("joined").await["room"].take();
    let kick = json!({ "player": bob.you["id"], "reason": "Away from keys." });
    ann.ask("kick", kick).await.expect("any player may");
    sent_away(&mut bobs, "kicked", "Away from keys.").await;
    let returned =
        json!({ "room": room, "reason": { "code": "kicked", "message": "Away from keys." } });
    assert_eq!(bob.back().await["returned"], returned);
    cluster.logged("on_leave Bob Away from keys.").await;
    bob.enter("join", json!({ "room": room })).await.event("joined").await;
}

#[tokio::test]
async fn a_player_with_an_unused_ticket_can_be_kicked() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let seat = bob.seat("create", json!({})).await;
    let kick = json!({ "player": bob.you["id"], "reason": "No." });
    ann.ask("kick", kick).await.expect("any player may");
    let lobby = bob.lobby.take().expect("in the lobby");
    dismissed(lobby, "kicked", "No.").await;
    let about = json!({ "room": seat["room"] });
    ann.ask_until("about", about.clone(), |room| room["players"] == 0).await;
    // The ticket may still be accepted, but its seat is gone.
    if let Ok(mut room) = Client::redeem(&seat).await {
        room.end().await;
        assert!(!room.unheard().contains(&"joined"));
    }
}

#[tokio::test]
async fn a_player_kicked_during_a_transfer_is_in_neither_room() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut bobs = bob.enter("create", json!({})).await;
    let here = bobs.event("joined").await["room"].take();
    let there = ann.ask("open", json!({})).await.expect("a room");
    while ann.lobby().event("ready").await["room"] != there {}
    cluster.signal_room(&there, Signal::STOP).await;
    bobs.ask("send_to_room", json!({ "room": there })).await.expect("tried");
    let seated = json!({ "player": bob.you["id"] });
    ann.ask_until("seat_of", seated.clone(), |room| *room == there).await;
    let kick = json!({ "player": bob.you["id"], "reason": "Enough." });
    ann.ask("kick", kick).await.expect("any player may");
    sent_away(&mut bobs, "kicked", "Enough.").await;
    cluster.signal_room(&there, Signal::CONT).await;
    for room in [&here, &there] {
        let about = json!({ "room": room });
        ann.ask_until("about", about.clone(), |room| room["players"] == 0).await;
    }
    assert_eq!(ann.ask("seat_of", seated).await, Ok(Value::Null));
    assert_eq!(bob.back().await["returned"]["reason"]["message"], "Enough.");
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
}

#[tokio::test]
async fn a_ban_lasts_until_the_player_is_unbanned() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let form = json!({ "name": "Bob", "id": "bob" });
    let mut bob = cluster.player_as(form.clone()).await;
    let mut bobs = bob.enter("create", json!({})).await;
    bobs.event("joined").await;
    ann.ask("ban", json!({ "player": "bob", "reason": "Cheating." }))
        .await
        .expect("any player may");
    sent_away(&mut bobs, "kicked", "Cheating.").await;
    // A valid token does not help, nor does registering under the same id.
    for _ in 0..2 {
        let auth = json!({ "token": bob.token });
        let lobby = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
        assert!(!lobby.unheard().contains(&"welcome"));
        dismissed(lobby, "banned", "Cheating.").await;
    }
    let mut visitor = cluster.visitor().await;
    assert_eq!(visitor.ask("register", form.clone()).await, Err("banned".into()));
    ann.ask("unban", json!({ "player": "bob" })).await.expect("any player may");
    assert_eq!(bob.back().await["you"], bob.you);
    bob.enter("create", json!({})).await.event("joined").await;

    let mut eve = cluster.player("Eve").await;
    let ban = json!({ "player": eve.you["id"], "reason": "In the lobby." });
    ann.ask("ban", ban).await.expect("any player may");
    dismissed(eve.lobby.take().expect("in the lobby"), "banned", "In the lobby.").await;
    let hooks = ann.ask("hooks", json!({})).await.expect("the hooks");
    let leaves = |name: &str| {
        let all = hooks.as_array().unwrap().iter();
        all.filter(|hook| **hook == json!(format!("on_leave {name}"))).count()
    };
    assert_eq!((leaves("Eve"), leaves("Bob")), (1, 2), "no leave without an arrival");
}

#[tokio::test]
async fn a_room_kicks_and_bans_for_itself_alone() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    let out = |reason: &str| json!({ "player": bob.you["id"], "reason": reason });
    anns.ask("kick", out("First.")).await.expect("any player may");
    sent_away(&mut bobs, "kicked", "First.").await;
    let left = json!({ "player": bob.you, "reason": { "code": "kicked", "message": "First." } });
    assert_eq!(anns.event("player_left").await, left);
    let second = out("Second.");
    let mut bobs = bob.back_into("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    anns.ask("ban", second).await.expect("any player may");
    sent_away(&mut bobs, "kicked", "Second.").await;
    bob.back().await;
    let answer = bob.lobby().ask_raw(json!(["join", { "room": room }])).await;
    assert_eq!(answer, json!({ "error": { "code": "banned", "message": "Second." } }));
    bob.enter("create", json!({})).await.event("joined").await;
}

#[tokio::test]
async fn a_closed_room_tells_its_players_the_reason() {
    let cluster = start_game(&["--stop-timeout", "2s"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut bobs = bob.enter("create", json!({})).await;
    let room = bobs.event("joined").await["room"].take();
    ann.ask("close", json!({ "room": room, "reason": "maintenance" }))
        .await
        .expect("any player may");
    cluster.logged("on_drain").await;
    sent_away(&mut bobs, "closed", "maintenance").await;
    let reason = json!({ "code": "closed", "message": "maintenance" });
    assert_eq!(bob.back().await["returned"], json!({ "room": room, "reason": reason }));
    cluster.logged("on_leave Bob maintenance").await;
    let missing = json!({ "room": "99", "reason": "x" });
    assert_eq!(ann.ask("close", missing).await, Err("no_such_room".into()));
}

#[tokio::test]
async fn a_room_can_be_closed_before_it_is_ready() {
    let cluster = start_game(&["--ready-timeout", "2s", "--stop-timeout", "100ms"]).await;
    let mut ann = cluster.player("Ann").await;
    let never = json!({ "options": { "opening": "never" } });
    let room = ann.ask("open", never).await.expect("a room");
    ann.ask("close", json!({ "room": room })).await.expect("its room");
    assert_eq!(ann.lobby().event("exited").await["room"], room);
}

#[tokio::test]
async fn a_room_that_ignores_close_is_killed() {
    let cluster = start_game(&["--stop-timeout", "100ms"]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({ "options": { "clings": true } })).await.expect("a room");
    ann.lobby().event("ready").await;
    ann.ask("close", json!({ "room": room })).await.expect("its room");
    assert_eq!(ann.lobby().event("exited").await["how"], "hung");
}

#[tokio::test]
async fn repeated_closes_do_not_extend_the_deadline() {
    let cluster = start_game(&["--stop-timeout", "2s"]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut room = ann.enter("create", json!({})).await;
    let id = room.event("joined").await["room"].take();
    let closing = async {
        while boss.ask("close", json!({ "room": id })).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the room's end", closing).await;
    assert_eq!(boss.lobby().event("exited").await["how"], "closed", "and was not killed");
}

#[tokio::test]
async fn options_that_cannot_be_listed_open_no_room_and_harm_no_lobby() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    ann.lobby().send(format!(r#"420["open",{{"options":{{"big":{}}}}}]"#, u128::MAX));
    assert_eq!(ann.lobby().answer(0, "open").await["error"]["code"], "no_room");
    assert_eq!(ann.ask("list", json!({})).await, Ok(json!([])));
}

#[tokio::test]
async fn a_reason_of_any_length_harms_nobody() {
    let cluster = start_game(&["--stop-timeout", "2s"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    // The longest message: a player may be asked for the reason.
    let long = "ä".repeat(32_000);
    for (by_lobby, event) in
        [(false, "send_me_away"), (false, "kick"), (true, "kick"), (false, "ban")]
    {
        let mut bobs = match &bob.lobby {
            Some(_) => bob.enter("join", json!({ "room": room })).await,
            None => bob.back_into("join", json!({ "room": room })).await,
        };
        bobs.event("joined").await;
        let out = json!({ "player": bob.you["id"], "reason": long });
        match (by_lobby, event) {
            (true, _) => {
                let mut boss = cluster.player("Boss").await;
                boss.ask(event, out).await.expect("the lobby may");
            }
            (false, "send_me_away") => bobs.emit(event, json!({ "reason": long })),
            (false, _) => drop(anns.ask(event, out).await.expect("the room may")),
        }
        let reason = bobs.event("reroute").await["reason"]["message"].take();
        let reason = reason.as_str().expect("a text");
        assert!(!reason.is_empty() && long.starts_with(reason) && reason.len() <= 1024);
        bobs.end().await;
    }
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "the room runs on");
    let mut boss = cluster.player("Boss").await;
    boss.ask("close", json!({ "room": room, "reason": long })).await.expect("its room");
    anns.event("reroute").await;
    assert_eq!(boss.lobby().event("exited").await["how"], "closed");
}

#[tokio::test]
async fn a_lobby_lock_lets_players_with_a_seat_in() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let room = ann.ask("open", json!({})).await.expect("a room");
    let seat = bob.seat("join", json!({ "room": room })).await;
    ann.ask("lock", json!({ "room": room, "locked": true })).await.expect("their room");
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
    let mut bobs = Client::redeem(&seat).await.expect("a good ticket");
    bobs.event("joined").await;
    bob.seat("join", json!({ "room": room })).await;
    let missing = json!({ "room": "99", "locked": true });
    assert_eq!(ann.ask("lock", missing).await, Err("no_such_room".into()));
}

#[tokio::test]
async fn a_room_is_unlocked_when_neither_lobby_nor_room_locks_it() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut bobs = bob.enter("create", json!({})).await;
    let room = bobs.event("joined").await["room"].take();
    let lock = |locked: bool| json!({ "room": room, "locked": locked });
    bobs.ask("lock_room", json!({ "locked": true })).await.expect("a room may");
    // At once, even if the lobby does not know it yet.
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
    ann.ask("lock", lock(true)).await.expect("the lobby may");
    bobs.ask("lock_room", json!({ "locked": false })).await.expect("a room may");
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
    ann.ask("lock", lock(false)).await.expect("the lobby may");
    ann.ask_until("about", json!({ "room": room }), |room| room["locked"] == false).await;
    ann.enter("join", json!({ "room": room })).await.event("joined").await;
}

#[tokio::test]
async fn a_message_can_be_sent_to_all_rooms() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut rooms = Vec::new();
    for name in ["Ann", "Bob", "Cid"] {
        let mut room = cluster.player(name).await.enter("create", json!({})).await;
        assert_eq!(room.event("told").await, json!({ "texts": [] }));
        rooms.push(room);
    }
    boss.ask("tell_all", json!({ "text": "to all" })).await.expect("the lobby may");
    for room in &mut rooms {
        assert_eq!(room.event("told").await, json!({ "texts": ["to all"] }));
    }
    let large = json!({ "text": "x".repeat(62 * 1024) });
    assert_eq!(boss.ask("tell_all", large).await, Err("internal".into()));
}
