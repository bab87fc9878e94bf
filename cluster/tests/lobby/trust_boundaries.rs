//! Trust boundaries: what players, rooms and hooks must not be able to do to a cluster.

use cluster::testing::Client;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game, start_game_with};

#[tokio::test]
async fn an_identity_too_large_for_a_frame_is_refused_and_harms_no_room() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    ann.enter("join", json!({ "room": room })).await.event("joined").await;
    for form in [
        json!({ "id": "a", "name": "x".repeat(50_000) }),
        json!({ "id": "a".repeat(50_000), "name": "Bob" }),
        json!({ "id": "a", "name": "ä".repeat(129) }),
        json!({ "id": "a\nb", "name": "Bob" }),
        json!({ "id": "", "name": "Bob" }),
        json!({ "id": "a", "name": "" }),
        json!({ "id": "a", "name": "\u{1b}[2J" }),
        json!({ "id": "a", "name": "\u{3164}" }),
        json!({ "id": "a", "name": "Bob\u{202e}" }),
    ] {
        let mut visitor = cluster.visitor().await;
        assert_eq!(visitor.ask("register", form).await, Err("internal".into()));
    }
    let reason = "on_register: an id or a name is a readable line of 1 to 256 bytes";
    cluster.logged(reason).await;
    // The longest allowed identities: 32 of them join together.
    let mut party = Vec::new();
    for n in 0..32 {
        let id = format!("{n:\"<256}");
        party.push(cluster.player_as(json!({ "id": id, "name": "\"".repeat(256) })).await);
    }
    let room = party[0].ask("open", json!({ "capacity": 32 })).await.expect("a room");
    let with: Vec<_> = party[1..].iter().map(|player| &player.you).collect();
    let asked = json!({ "room": room, "with": with });
    assert_eq!(party[0].ask("together", asked).await, Ok(json!({ "room": room })));
}

#[tokio::test]
async fn a_room_cannot_affect_the_players_of_another() {
    let cluster = start_game_with(&[], &[("FAULTY", "silence")]).await;
    let mut players = join_all((0..3).map(async |_| cluster.player("Ann").await)).await;
    let first = players[0].ask("open", json!({})).await.expect("a room");
    players[0].seat("join", json!({ "room": first })).await;
    // The second player waits for a room that never answers.
    let mute = json!({ "options": { "title": "mute" } });
    let waits = players[1].ask("open", mute).await.expect("a room");
    players[1].lobby().emit("join", json!({ "room": waits }));
    players[1].ask("list", json!({})).await.expect("the lobby has heard it");
    // Another room claims all of them, refuses them, and lets them go.
    let thief = json!({ "options": { "title": "thief" } });
    let thief = players[2].ask("open", thief).await.expect("a room");
    players[2].seat("join", json!({ "room": thief })).await;
    for (n, room) in [(0, &first), (1, &waits)] {
        let id = players[n].you["id"].clone();
        assert_eq!(players[2].ask("seat_of", json!({ "player": id })).await, Ok(room.clone()));
        players[n].ask("list", json!({})).await.expect("nothing comes after this");
        let unheard = players[n].lobby().unheard();
        assert!(!unheard.contains(&"reroute") && !unheard.contains(&"refused"), "{unheard:?}");
    }
    // A player who waits for a room that does not answer can join another.
    let lively = players[1].ask("open", json!({})).await.expect("a room");
    assert_eq!(players[1].seat("join", json!({ "room": lively })).await["room"], lively);
}

#[tokio::test]
async fn a_party_sent_to_a_room_that_dies_loses_nothing() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut party = join_all((0..8).map(async |n| cluster.player(&format!("P{n}")).await)).await;
    for round in 0..20 {
        let room = boss.ask("open", json!({ "capacity": 8 })).await.expect("a room");
        while boss.lobby().event("ready").await["room"] != room {}
        let with: Vec<_> = party[1..].iter().map(|player| player.you.clone()).collect();
        party[0].lobby().emit("together", json!({ "room": room, "with": with }));
        if round % 2 == 0 {
            // By then the lobby has asked the room, which may have answered.
            party[0].ask("list", json!({})).await.expect("the lobby has heard it");
        }
        cluster.signal_room(&room, Signal::KILL).await;
        while boss.lobby().event("exited").await["room"] != room {}
        let mut rerouted = 0;
        for player in &mut party {
            assert_eq!(player.ask("seat_of", json!({})).await, Ok(Value::Null));
            let unheard = player.lobby().unheard();
            rerouted += usize::from(unheard.contains(&"reroute"));
            while player.lobby().unheard().iter().any(|name| ["reroute", "refused"].contains(name))
            {
                player.lobby().either("reroute", "refused").await;
            }
        }
        assert!([0, 8].contains(&rerouted), "together or not at all: {rerouted}");
    }
    // The players can still join together.
    let room = boss.ask("open", json!({ "capacity": 8 })).await.expect("a room");
    let with: Vec<_> = party[1..].iter().map(|player| player.you.clone()).collect();
    party[0].ask("together", json!({ "room": room, "with": with })).await.expect("eight seats");
    for player in &mut party {
        assert_eq!(player.rerouted().await["room"], room);
    }
}

#[tokio::test]
async fn a_player_moving_to_a_room_that_dies_stays_or_returns_to_the_lobby() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let here = boss.ask("open", json!({ "capacity": 100 })).await.expect("a room");
    let mut ann = cluster.player("Ann").await;
    let mut client = ann.enter("join", json!({ "room": here })).await;
    client.event("joined").await;
    for round in 0..20 {
        let there = boss.ask("open", json!({})).await.expect("a room");
        while boss.lobby().event("ready").await["room"] != there {}
        client.emit("send_to_room", json!({ "room": there }));
        if round % 2 == 0 {
            boss.ask("list", json!({})).await.expect("the lobby lives");
        }
        cluster.signal_room(&there, Signal::KILL).await;
        while boss.lobby().event("exited").await["room"] != there {}
        match client.either("reroute", "refused").await {
            (name, refused) if name == "refused" => {
                assert!(
                    ["room_gone", "no_such_room"].map(Some).contains(&refused["code"].as_str())
                );
                assert_eq!(client.ask("echo", json!({ "n": 2 })).await, Ok(json!(2)));
            }
            // Too late to stay: the room is gone, and the player returns to the lobby.
            (_, reroute) => {
                assert!(Client::redeem(&ann.route(reroute)).await.is_err(), "nobody is there");
                let returned = ann.back().await["returned"].take();
                assert_eq!(returned, json!({ "room": there, "reason": { "code": "crashed" } }));
                assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
                client = ann.enter("join", json!({ "room": here })).await;
                client.event("joined").await;
            }
        }
    }
    let about = boss.ask("about", json!({ "room": here })).await.expect("a room");
    assert_eq!(about["players"], 1);
}

#[tokio::test]
async fn a_player_kicked_while_joining_leaves_no_seat_behind() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let mut boss = cluster.player("Boss").await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        rooms.push(boss.ask("open", json!({ "capacity": 4 })).await.expect("a room"));
    }
    let mut guests = join_all((0..4).map(async |_| cluster.player("Guest").await)).await;
    for round in 0..30 {
        for (n, guest) in guests.iter_mut().enumerate() {
            if guest.lobby.is_none() {
                guest.back().await;
            }
            guest.lobby().emit("join", json!({ "room": rooms[(n + round) % 2] }));
            guest.lobby().emit("join", json!({ "room": rooms[(n + round + 1) % 2] }));
            if n % 2 == 0 {
                guest.ask("list", json!({})).await.expect("the lobby has heard it");
            }
            let kick = json!({ "player": guest.you["id"], "reason": "out" });
            boss.ask("kick", kick).await.expect("the boss may");
            let mut lobby = guest.lobby.take().expect("in the lobby");
            // After the answers to the player's requests.
            while lobby.event("refused").await["code"] != "kicked" {}
        }
    }
    for room in &rooms {
        let about = json!({ "room": room });
        boss.ask_until("about", about.clone(), |room| room["players"] == 0).await;
    }
    for guest in &guests {
        let asked = json!({ "player": guest.you["id"] });
        assert_eq!(boss.ask("seat_of", asked).await, Ok(Value::Null));
    }
}

#[tokio::test]
async fn a_stopping_lobby_refuses_all_requests() {
    let cluster = start_game(&["--drain-timeout", "1h"]).await;
    let mut ann = cluster.player("Ann").await;
    let mut bobs = cluster.player("Bob").await.enter("create", json!({})).await;
    let room = bobs.event("joined").await["room"].take();
    cluster.signal(Signal::TERM);
    cluster.logged("on_stop").await;
    assert_eq!(ann.ask("open", json!({})).await, Err("stopping".into()));
    assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("stopping".into()));
    bobs.emit("send_to_room", json!({ "room": "99" }));
    assert_eq!(bobs.event("refused").await["code"], "stopping");
}
