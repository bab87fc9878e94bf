//! Every join has exactly one leave, in the hooks of the room and of the lobby.

use cluster::testing::{Client, LobbyProcess, eventually, soon};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

/// The lines that a room's hooks have logged, in order: `on_join NAME`, `on_leave NAME REASON`.
fn told(cluster: &LobbyProcess, room: &Value) -> Vec<String> {
    let lines = cluster.lines().into_iter().filter(|line| line["room"] == *room);
    let texts = lines.filter_map(|line| Some(line["message"].as_str()?.to_owned()));
    texts.filter(|text| text.starts_with("on_join ") || text.starts_with("on_leave ")).collect()
}

/// Waits until the room is gone and its last lines are logged.
async fn disposed(cluster: &LobbyProcess, room: &Value) {
    let last = |line: &Value| line["room"] == *room && line["message"] == "on_dispose";
    eventually("the last hook", || cluster.lines().iter().any(last).then_some(())).await;
}

#[tokio::test]
async fn every_join_has_exactly_one_leave_however_it_ends() {
    let flags = [&["--stop-timeout", "2s", "--ticket-ttl", "2s"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let mut boss = cluster.player("Boss").await;
    let other = boss.ask("open", json!({})).await.expect("a room");
    let new = json!({ "capacity": 20, "options": { "grace_ms": 2000 } });
    let mut stays = cluster.player("Stays").await.enter("create", new).await;
    let room = stays.event("joined").await["room"].take();
    let moved = json!({ "room": other });
    let mut expected = vec![("Stays".to_owned(), "finished".to_owned())];
    for (name, reason) in [
        ("left", "left"),
        ("dropped", "dropped"),
        ("returned", "left"),
        ("expired", ""),
        ("kicked by the room", "out"),
        ("kicked by the lobby", "out"),
        ("banned by the room", "out"),
        ("banned by the lobby", "out"),
        ("moved by the room", "moved"),
        ("moved by the lobby", "moved"),
        ("elsewhere", "moved"),
        ("sent", "won"),
        ("replaced", "left"),
        ("flood", "dropped"),
    ] {
        let name = &name[..name.len().min(24)];
        let mut guest = cluster.player(name).await;
        let out = json!({ "player": guest.you["id"], "reason": "out" });
        let seat = guest.seat("join", json!({ "room": room })).await;
        if name == "expired" {
            // The player never comes: no join, and no leave.
            let about = json!({ "room": room });
            boss.ask_until("about", about.clone(), |room| room["players"] == 1).await;
            continue;
        }
        let mut client = guest.take(&seat).await;
        client.event("joined").await;
        match name {
            "left" => client.leave().await,
            "dropped" => drop(client),
            "returned" => {
                drop(client);
                guest.back().await;
                let reroute = guest.rerouted().await;
                // After the grace period there is no seat to return to.
                guest.take(&reroute).await.leave().await;
            }
            "kicked by the room" => drop(stays.ask("kick", out).await.expect("it may")),
            "banned by the room" => drop(stays.ask("ban", out).await.expect("it may")),
            "kicked by the lobby" => drop(boss.ask("kick", out).await.expect("it may")),
            "banned by the lobby" => drop(boss.ask("ban", out).await.expect("it may")),
            "moved by the room" => {
                client.emit("send_to_room", moved.clone());
                guest.follow(&mut client).await.event("joined").await;
            }
            "moved by the lobby" => {
                let asked = json!({ "players": [guest.you], "room": other });
                boss.ask("send_there", asked).await.expect("it may");
                guest.follow(&mut client).await.event("joined").await;
            }
            "elsewhere" => {
                guest.back().await;
                // First rerouted back to the room; then asks for another one.
                guest.rerouted().await;
                guest.enter("join", moved.clone()).await.event("joined").await;
                assert_eq!(client.event("refused").await["code"], "replaced");
            }
            "sent" => client.emit("send_me_away", json!({ "reason": "won" })),
            "replaced" => {
                guest.back().await;
                let reroute = guest.rerouted().await;
                let newest = Client::redeem(&reroute).await.expect("a good ticket");
                assert_eq!(client.event("refused").await["code"], "replaced");
                assert!(client.end().await);
                newest.leave().await;
            }
            _ => {
                client.emit("print", json!({ "text": "x".repeat(260 * 1024) }));
                client.end().await;
            }
        }
        while stays.event("player_left").await["player"] != guest.you {}
        expected.push((name.to_owned(), reason.to_owned()));
    }
    let census = stays.ask("census", json!({})).await.expect("a census");
    assert_eq!((&census["joins"], &census["returns"]), (&json!(14), &json!(2)));
    stays.emit("finish", json!({ "winner": "Stays" }));
    disposed(&cluster, &room).await;
    let mut told = told(&cluster, &room);
    told.sort();
    let mut all: Vec<_> = expected
        .into_iter()
        .flat_map(|(name, why)| [format!("on_join {name}"), format!("on_leave {name} {why}")])
        .collect();
    all.sort();
    assert_eq!(told, all);
    let gone = async { while boss.ask("about", json!({ "room": room })).await.is_ok() {} };
    soon("the room's end", gone).await;
}

#[tokio::test]
async fn closed_and_killed_rooms_free_all_their_seats() {
    let cluster = start_game(&["--stop-timeout", "2s"]).await;
    let mut boss = cluster.player("Boss").await;
    for how in ["closed", "crashed"] {
        let new = json!({ "options": { "grace_ms": 60_000 } });
        let room = boss.ask("open", new).await.expect("a room");
        let [mut here, mut away, mut waits] = [
            cluster.player("Here").await,
            cluster.player("Away").await,
            cluster.player("Waits").await,
        ];
        let mut inside = here.enter("join", json!({ "room": room })).await;
        inside.event("joined").await;
        drop(away.enter("join", json!({ "room": room })).await);
        inside.event("player_disconnected").await;
        waits.seat("join", json!({ "room": room })).await;
        match how {
            "closed" => drop(boss.ask("close", json!({ "room": room })).await.expect("a room")),
            _ => cluster.signal_room(&room, Signal::KILL).await,
        }
        while boss.lobby().event("exited").await["room"] != room {}
        for player in [&here, &away, &waits] {
            let asked = json!({ "player": player.you["id"] });
            assert_eq!(boss.ask("seat_of", asked).await, Ok(Value::Null));
        }
        // Players who had been rerouted there are told the reason.
        for player in [&mut here, &mut away] {
            let returned = player.back().await["returned"].take();
            assert_eq!((&returned["room"], &returned["reason"]["code"]), (&room, &json!(how)));
        }
        if how == "closed" {
            disposed(&cluster, &room).await;
            let mut told = told(&cluster, &room);
            told.sort();
            let all =
                ["on_join Away", "on_join Here", "on_leave Away closed", "on_leave Here closed"];
            assert_eq!(told, all);
        }
    }
}

#[tokio::test]
async fn every_lobby_hook_is_called_once_per_event() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut ann = cluster.player("Ann").await;
    let anns = ann.enter("create", json!({})).await;
    eventually("the player has left", || (cluster.count("left the lobby") == 1).then_some(()))
        .await;
    anns.leave().await;
    ann.back().await;
    ann.lobby.take().expect("in the lobby").leave().await;
    ann.back().await;
    let hooks = boss.ask("hooks", json!({})).await.expect("the hooks");
    let all = [
        "on_start",
        "on_arrive Boss new",
        "on_arrive Ann new",
        "on_leave Ann",
        "on_arrive Ann left",
        "on_leave Ann",
        "on_arrive Ann resumed",
    ];
    assert_eq!(hooks, json!(all));
    cluster.signal(Signal::TERM);
    cluster.logged("on_stop").await;
}
