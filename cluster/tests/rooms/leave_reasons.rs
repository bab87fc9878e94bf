//! The reasons for which players leave a room, and what everyone is told.

use cluster::testing::{Client, TestPlayer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

/// Opens a room with these options for Ann and Bob. Returns its id and their connections.
async fn both_in(
    ann: &mut TestPlayer,
    bob: &mut TestPlayer,
    options: Value,
) -> (Value, Client, Client) {
    let mut anns = ann.enter("create", json!({ "options": options })).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    anns.event("player_joined").await;
    (room, anns, bobs)
}

#[tokio::test]
async fn a_player_who_leaves_returns_with_the_reason_left() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({})).await;
    bobs.leave().await;
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "left" } })
    );
    assert_eq!(bob.back().await["returned"], json!({ "room": room, "reason": { "code": "left" } }));
    bob.lobby.take().expect("in the lobby").leave().await;
    assert_eq!(bob.back().await["returned"], Value::Null, "told once");
}

#[tokio::test]
async fn a_disconnected_player_returns_with_the_reason_dropped() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({})).await;
    drop(bobs);
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "dropped" } })
    );
    assert_eq!(
        bob.back().await["returned"],
        json!({ "room": room, "reason": { "code": "dropped" } })
    );
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
}

#[tokio::test]
async fn within_the_grace_period_the_lobby_reroutes_a_returning_player() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({ "grace_ms": 60_000 })).await;
    drop(bobs);
    assert_eq!(anns.event("player_disconnected").await, json!({ "player": bob.you }));
    assert_eq!(
        bob.back().await["returned"],
        json!({ "room": room, "reason": { "code": "dropped" } })
    );
    let reroute = bob.rerouted().await;
    assert_eq!(reroute["room"], room);
    let mut bobs = bob.take(&reroute).await;
    let joined = bobs.event("joined").await;
    assert_eq!((&joined["room"], &joined["you"]), (&room, &bob.you));
    assert_eq!((&joined["players"], &joined["away"]), (&json!([ann.you, bob.you]), &json!([])));
    assert_eq!(anns.event("player_reconnected").await, json!({ "player": bob.you }));
    assert!(!anns.unheard().contains(&"player_left"));
}

#[tokio::test]
async fn after_the_grace_period_the_seat_is_free() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut visitor = cluster.visitor().await;
    let (_, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({ "grace_ms": 300 })).await;
    visitor.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    drop(bobs);
    anns.event("player_disconnected").await;
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "dropped" } })
    );
    while visitor.event("rooms").await[0]["players"] != 1 {}
    assert_eq!(bob.back().await["returned"]["reason"], json!({ "code": "dropped" }));
    assert_eq!(bob.ask("seat_of", json!({})).await, Ok(Value::Null));
}

#[tokio::test]
async fn a_second_connection_to_the_same_seat_replaces_the_first() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (_, mut anns, mut old) = both_in(&mut ann, &mut bob, json!({})).await;
    bob.back().await;
    let reroute = bob.rerouted().await;
    let mut new = Client::redeem(&reroute).await.expect("a good ticket");
    new.event("joined").await;
    let refused = old.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!("connect"), &json!("replaced")));
    assert!(old.end().await, "the old one is disconnected");
    assert_eq!(new.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_eq!(anns.event("player_reconnected").await, json!({ "player": bob.you }));
    anns.event("echoed").await;
    assert!(!anns.unheard().contains(&"player_left"));
}

#[tokio::test]
async fn a_player_rerouted_to_their_room_just_before_leaving_it_can_join() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (_, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({})).await;
    bob.back().await;
    let reroute = bob.rerouted().await;
    // The first window closes; the second has a valid ticket.
    bobs.leave().await;
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "left" } })
    );
    let mut again = bob.take(&reroute).await;
    again.event("joined").await;
    assert_eq!(anns.event("player_joined").await, json!({ "player": bob.you }));
    let census = anns.ask("census", json!({})).await.expect("a census");
    assert_eq!((&census["joins"], &census["leaves"]), (&json!(3), &json!({ "left": 1 })));
}

#[tokio::test]
async fn a_room_kicks_a_player_with_its_own_reason() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, mut anns, mut bobs) = both_in(&mut ann, &mut bob, json!({})).await;
    bobs.emit("send_me_away", json!({ "reason": "won" }));
    let won = json!({ "code": "sent", "message": "won" });
    assert_eq!(bobs.event("reroute").await, json!({ "to": "lobby", "reason": won }));
    assert!(bobs.end().await);
    assert_eq!(anns.event("player_left").await, json!({ "player": bob.you, "reason": won }));
    assert_eq!(bob.back().await["returned"], json!({ "room": room, "reason": won }));
}

#[tokio::test]
async fn when_a_room_finishes_everyone_returns_and_the_lobby_has_the_outcome() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (room, mut anns, mut bobs) = both_in(&mut ann, &mut bob, json!({})).await;
    assert_eq!(anns.ask("finish", json!({ "winner": "Ann" })).await, Ok(json!({})));
    for (player, room_client) in [(&mut ann, &mut anns), (&mut bob, &mut bobs)] {
        let reroute = room_client.event("reroute").await;
        assert_eq!(reroute, json!({ "to": "lobby", "reason": { "code": "finished" } }));
        assert!(room_client.end().await);
        assert_eq!(
            player.back().await["returned"],
            json!({ "room": room, "reason": { "code": "finished" } })
        );
    }
    let exited = json!({ "room": room, "how": "finished", "winner": "Ann" });
    assert_eq!(boss.lobby().event("exited").await, exited);
    assert_eq!(boss.ask("list", json!({})).await, Ok(json!([])));
}

#[tokio::test]
async fn a_draining_room_keeps_its_players_until_the_deadline() {
    let cluster = start_game(&["--stop-timeout", "2s"]).await;
    let mut boss = cluster.player("Boss").await;
    let mut ann = cluster.player("Ann").await;
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    boss.ask("close", json!({ "room": room })).await.expect("its room");
    assert_eq!(boss.ask("join", json!({ "room": room })).await, Err("room_locked".into()));
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "still open");
    assert_eq!(
        anns.event("reroute").await,
        json!({ "to": "lobby", "reason": { "code": "closed", "message": "closed" } })
    );
    let exited = json!({ "room": room, "how": "closed", "winner": null });
    assert_eq!(boss.lobby().event("exited").await, exited);
}

#[tokio::test]
async fn an_empty_room_closes_itself() {
    let cluster = start_game(&["--empty-timeout", "200ms"]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    let exited = json!({ "room": room, "how": "closed", "winner": null });
    assert_eq!(ann.lobby().event("exited").await, exited);
}

#[tokio::test]
async fn every_join_has_exactly_one_leave() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut stays = boss.enter("create", json!({})).await;
    let room = stays.event("joined").await["room"].take();
    for name in ["left", "cut", "sent"] {
        let mut guests = cluster.player(name).await.enter("join", json!({ "room": room })).await;
        match name {
            "left" => guests.leave().await,
            "cut" => drop(guests),
            _ => assert_eq!(
                guests.ask("send_me_away", json!({ "reason": "x" })).await,
                Ok(json!({}))
            ),
        }
        stays.event("player_left").await;
    }
    stays.emit("finish", json!({ "winner": "Boss" }));
    cluster.logged("on_dispose").await;
    let lines =
        cluster.lines().into_iter().filter_map(|line| Some(line["message"].as_str()?.to_owned()));
    let left: Vec<_> = lines.filter(|text| text.starts_with("on_leave ")).collect();
    assert_eq!(
        left,
        ["on_leave left left", "on_leave cut dropped", "on_leave sent x", "on_leave Boss finished"]
    );
}

#[tokio::test]
async fn a_player_in_the_lobby_can_give_up_their_seat() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let (_, mut anns, bobs) = both_in(&mut ann, &mut bob, json!({ "grace_ms": u64::MAX })).await;
    drop(bobs);
    anns.event("player_disconnected").await;
    bob.back().await;
    let reroute = bob.rerouted().await;
    bob.ask("leave_room", json!({})).await.expect("a player may give up their seat");
    assert_eq!(
        anns.event("player_left").await,
        json!({ "player": bob.you, "reason": { "code": "left" } })
    );
    assert_eq!(Client::redeem(&reroute).await.err().as_deref(), Some("bad_ticket"));
}

#[tokio::test]
async fn giving_up_a_seat_in_one_window_ends_the_game_in_the_other() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut room = ann.enter("create", json!({})).await;
    room.event("joined").await;
    ann.back().await;
    ann.rerouted().await;
    ann.ask("leave_room", json!({})).await.expect("a player may give up their seat");
    assert_eq!(room.event("refused").await["code"], "replaced");
    assert!(room.end().await);
    ann.ask_until("seat_of", json!({}), Value::is_null).await;
}

#[tokio::test]
async fn a_player_who_left_a_slow_room_is_not_sent_back() {
    let cluster = start_game(&["--heartbeat-timeout", "20s"]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let room = boss.ask("open", json!({})).await.expect("a room");
    boss.lobby().event("ready").await;
    cluster.signal_room(&room, Signal::STOP).await;
    ann.lobby().emit("join", json!({ "room": room }));
    // As the page does.
    ann.ask("leave_room", json!({})).await.expect("a player may give up their seat");
    ann.back().await;
    cluster.signal_room(&room, Signal::CONT).await;
    boss.ask_until("about", json!({ "room": room }), |room| room["players"] == 0).await;
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    assert!(!ann.lobby().unheard().contains(&"reroute"), "the player has left");
}

#[tokio::test]
async fn repeated_joins_and_leaves_do_not_kill_a_busy_room() {
    for asked in ["leave_room", "join"] {
        let flags = [&["--heartbeat-timeout", "20s"], &NO_RATE_LIMITS[..]].concat();
        let cluster = start_game(&flags).await;
        let (mut ann, mut eve) = (cluster.player("Ann").await, cluster.player("Eve").await);
        let mut anns = ann.enter("create", json!({})).await;
        let room = anns.event("joined").await["room"].take();
        eve.seat("join", json!({ "room": room })).await;
        let data = if asked == "join" { json!({ "room": room }) } else { Value::Null };
        cluster.signal_room(&room, Signal::STOP).await;
        // More than fit into the queue of a room that does not read; the client may be disconnected
        // before.
        for _ in 0..50 {
            (0..200).for_each(|_| eve.lobby().emit(asked, data.clone()));
            if eve.lobby().try_ask("seat_of", json!({})).await.is_none() {
                break;
            }
        }
        cluster.signal_room(&room, Signal::CONT).await;
        assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{asked}");
    }
}
