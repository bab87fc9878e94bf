//! What pages are told of the other players of their room. When they are told is tested in
//! `room/core/announcements.rs`.

use cluster::testing::{Connection, Packet, soon};
use futures_util::future::join_all;
use serde_json::json;

use crate::common::{enter_room, start_features, start_game};

#[tokio::test]
async fn in_a_room_that_announces_nobody_a_page_is_told_only_of_its_own_player() {
    let lobby = start_features(&[]).await;
    let mut boss = lobby.player("Boss").await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let options = json!({ "options": { "announces_nobody": true } });
    let room = boss.ask("arena", options).await.expect("a room");
    let bobs = enter_room(&mut bob, &room).await;
    let mut anns = ann.enter("join", json!({ "room": room })).await;
    let joined = anns.event("joined").await;
    assert_eq!(joined["players"], json!([ann.you]));
    assert_eq!(anns.ask("who_is_here", json!({})).await, Ok(json!([bob.you, ann.you])));
    let profile = json!({ "color": "blue", "level": 2 });
    let asked = json!({ "player": ann.you["id"], "profile": profile });
    boss.ask("set_profile", asked).await.expect("a small one");
    assert_eq!(anns.event("player_changed").await["player"]["profile"], profile);
    for client in [&anns, &bobs] {
        assert!(!client.unheard().iter().any(|name| name.starts_with("player_")));
    }
}

#[tokio::test]
async fn many_who_come_at_once_are_announced_in_few_events() {
    const PLAYERS: usize = 20;
    let lobby = start_game(&["--seats", "22"]).await;
    let (mut ann, mut boss) = (lobby.player("Ann").await, lobby.player("Boss").await);
    let mut bosss = boss.enter("play", json!({})).await;
    let room = bosss.event("joined").await["room"].take();
    let reroute = ann.seat("join", json!({ "room": room })).await;
    let path = reroute["path"].as_str().expect("a path");
    let mut anns = Connection::open(&lobby.url, path).await.expect("a websocket");
    anns.introduce(&json!({ "ticket": reroute["ticket"] })).await.expect("a seat");
    anns.event("joined").await.expect("an event");
    let mut players = Vec::new();
    for n in 0..PLAYERS {
        let mut player = lobby.player(&format!("P{n}")).await;
        let reroute = player.seat("join", json!({ "room": room })).await;
        players.push((player, reroute));
    }
    // They come while the room does not look.
    bosss.emit("block", json!({ "ms": 1000 }));
    let come = players.iter_mut().map(|(player, reroute)| player.take(reroute));
    let clients = join_all(come).await;
    let (mut events, mut announced) = (0, Vec::new());
    while announced.len() < PLAYERS {
        let packet = soon("an announcement", anns.next()).await.expect("a packet");
        if let Packet::Event(name, _) = &packet
            && ["announcements", "player_joined"].contains(&&**name)
        {
            events += 1;
            announced.extend(packet.unpacked());
        }
    }
    assert!(events < PLAYERS, "{events} events");
    drop(clients);
}
