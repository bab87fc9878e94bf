//! Events to some players, volatile ones, and ticks by a period.

use std::time::Instant;

use serde_json::{Value, json};

use crate::common::wire::{Place, Wire};
use crate::common::{NO_RATE_LIMITS, enter_arena, enter_room, start_features};

#[tokio::test]
async fn a_room_sends_to_the_players_that_it_names() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (mut cid, eve) = (lobby.player("Cid").await, lobby.player("Eve").await);
    let (room, mut anns) = enter_arena(&mut ann, json!({})).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    let mut cids = enter_room(&mut cid, &room).await;
    for client in [&mut anns, &mut bobs, &mut cids] {
        assert_eq!(client.event("line").await, "welcome");
    }
    let [ann, bob, cid, eve] = [&ann, &bob, &cid, &eve].map(|player| &player.you["id"]);
    let send = |players: Value, text: &str| json!({ "players": players, "text": text });
    // Eve is not in the room.
    anns.ask("send_to", send(json!([ann, cid, eve]), "team")).await.expect("sent");
    anns.ask("send_to", send(json!([]), "nobody")).await.expect("sent");
    anns.ask("send_to", send(json!([ann, bob, cid]), "all")).await.expect("sent");
    for (client, first) in [(&mut anns, "team"), (&mut bobs, "all"), (&mut cids, "team")] {
        assert_eq!(client.event("line").await, first);
    }
    assert_eq!((anns.event("line").await, cids.event("line").await), (json!("all"), json!("all")));
}

#[tokio::test]
async fn a_lobby_sends_to_the_players_that_it_names_if_they_are_there() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut cid = lobby.player("Cid").await;
    let (_, mut cids) = enter_arena(&mut cid, json!({})).await;
    let [a, b, c] = [&ann, &bob, &cid].map(|player| player.you["id"].clone());
    let send = |players: Value, text: &str| json!({ "players": players, "text": text });
    ann.ask("send_to", send(json!([b, c]), "some")).await.expect("sent");
    ann.ask("send_to", send(json!([a, b, c]), "all")).await.expect("sent");
    assert_eq!(ann.lobby().event("line").await, "all");
    assert_eq!(bob.lobby().event("line").await, "some");
    assert_eq!(bob.lobby().event("line").await, "all");
    assert_eq!(cids.event("line").await, "welcome");
    cids.ask("who_is_here", json!({})).await.expect("nothing comes before this");
    assert!(!cids.unheard().contains(&"line"), "those in rooms are not in the lobby");
}

/// So many events that are not volatile would end the connection of a player who does not read.
#[tokio::test]
async fn a_volatile_event_goes_to_one_player_who_may_miss_some() {
    const MARK: u64 = 1_000_000;
    let flags = [&NO_RATE_LIMITS[..], &["--max-outbound-packets", "16"]].concat();
    let lobby = start_features(&flags).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let (room, mut bobs) = enter_arena(&mut bob, json!({})).await;
    let seat = ann.seat("join", json!({ "room": room })).await;
    let place = Place {
        name: "a room",
        url: lobby.url.clone(),
        path: seat["path"].as_str().expect("a path").to_owned(),
        connect: format!("40{}", json!({ "ticket": seat["ticket"] })),
        first: "joined",
        player: None,
    };
    let mut anns = place.connected().await;
    let send = |from: u64, to: u64, bytes: usize| json!({ "player": ann.you["id"], "from": from, "to": to, "bytes": bytes });
    // More than the sockets hold, while little is read. A client that reads nothing
    // for seconds is disconnected.
    let mut numbers = vec![];
    for batch in 0..10 {
        let from = batch * 40 + 1;
        bobs.ask("send_volatile", send(from, from + 39, 50_000)).await.expect("sent");
        numbers.push(brief(&mut anns).await);
    }
    while numbers.last() != Some(&MARK) {
        bobs.ask("send_volatile", send(MARK, MARK, 0)).await.expect("sent");
        numbers.push(brief(&mut anns).await);
    }
    assert!(numbers.is_sorted() && (10..400).contains(&numbers.len()), "{numbers:?}");
    anns.ask("who_is_here", json!({})).await;
    assert!(!bobs.unheard().contains(&"brief"));
}

/// The number of the next volatile event.
async fn brief(wire: &mut Wire) -> u64 {
    let text = wire.until(r#"42["brief""#).await;
    let event: [Value; 2] = serde_json::from_str(&text[2..]).expect("an event");
    event[1]["n"].as_u64().expect("a number")
}

#[tokio::test]
async fn ticks_come_once_a_period() {
    let lobby = start_features(&NO_RATE_LIMITS).await;
    let mut ann = lobby.player("Ann").await;
    let (_, mut anns) = enter_arena(&mut ann, json!({})).await;
    assert_eq!(anns.ask("ticks", json!({})).await, Ok(json!(0)), "none by default");
    let started = Instant::now();
    anns.ask("tick_every", json!({ "ms": 20 })).await.expect("from now on");
    anns.ask_until("ticks", json!({}), |ticks| *ticks != 0 && ticks.as_u64() >= Some(10)).await;
    let ticks = anns.ask("ticks", json!({})).await.expect("a number").as_u64();
    let most = started.elapsed().as_millis() as u64 / 20 + 1;
    assert!(ticks <= Some(most), "{ticks:?} of at most {most}");
    // A millisecond is the shortest.
    let (started, before) = (Instant::now(), ticks.expect("a number"));
    anns.ask("tick_every", json!({ "ms": 0 })).await.expect("from now on");
    anns.ask_until("ticks", json!({}), |ticks| ticks.as_u64() >= Some(before + 100)).await;
    let ticks = anns.ask("ticks", json!({})).await.expect("a number").as_u64().expect("a number");
    let most = started.elapsed().as_millis() as u64 + 4;
    assert!(ticks - before <= most, "{} of at most {most}", ticks - before);
}
