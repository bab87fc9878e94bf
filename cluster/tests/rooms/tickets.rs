//! Guessed and expired tickets.

use std::time::Duration;

use cluster::testing::{Client, TestPlayer, eventually, soon};
use serde_json::{Value, json};

use crate::common::start_game;

#[tokio::test]
async fn guessed_tickets_are_refused_and_counted_in_the_rooms_log() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    let good = seat["ticket"].as_str().expect("a ticket");
    let mut guesses = vec![
        json!(null),
        json!(5),
        json!([good]),
        json!({ "ticket": good }),
        json!(""),
        json!(good.to_uppercase() + "0"),
        json!(format!("{good}\0")),
        json!(format!(" {good}")),
        json!(good[..31]),
        json!(ann.token),
        json!("0".repeat(50_000)),
    ];
    for at in 0..32 {
        let other = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
        guesses.push(json!(format!("{}{other}{}", &good[..at], &good[at + 1..])));
    }
    guesses.extend((0..60).map(|n| json!(format!("{n:032x}"))));
    for guess in &guesses {
        let shown = json!({ "url": seat["url"], "path": seat["path"], "ticket": guess });
        assert_eq!(Client::redeem(&shown).await.err().as_deref(), Some("bad_ticket"), "{guess}");
    }
    assert!(guesses.len() > 100);
    let counts = || {
        let lines = cluster.lines();
        let texts = lines.iter().filter_map(|line| line["message"].as_str());
        let counts = texts.filter_map(|text| text.strip_prefix("invalid tickets count="));
        let counts: Vec<String> = counts.map(str::to_owned).collect();
        counts.contains(&"100".to_owned()).then_some(counts)
    };
    assert_eq!(eventually("a hundred of them", counts).await, ["1", "10", "100"]);
    let mut anns = Client::redeem(&seat).await.expect("still good");
    anns.event("joined").await;
    assert!(!cluster.text().contains(good), "tickets are not for the log");
}

#[tokio::test]
async fn an_expired_ticket_takes_no_seat() {
    let cluster = start_game(&["--ticket-ttl", "300ms"]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let room = ann.ask("open", json!({ "capacity": 1 })).await.expect("a room");
    for _ in 0..3 {
        let late = ann.seat("join", json!({ "room": room })).await;
        assert_eq!(bob.ask("join", json!({ "room": room })).await, Err("room_full".into()));
        let mut bobs = seat_as_soon_as_it_is_free(&mut bob, &room).await;
        bobs.event("joined").await;
        // The only seat is taken, and this ticket was for it.
        assert_eq!(Client::redeem(&late).await.err().as_deref(), Some("bad_ticket"));
        let census = bobs.ask("census", json!({})).await.expect("a census");
        assert_eq!(census["most"], 1, "{census}");
        assert_eq!(ann.ask("about", json!({ "room": room })).await.expect("a room")["players"], 1);
        assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_full".into()));
        bobs.leave().await;
        ann.ask_until("about", json!({ "room": room }), |room| room["players"] == 0).await;
    }
}

/// Asks for a seat until there is one, and takes it.
async fn seat_as_soon_as_it_is_free(player: &mut TestPlayer, room: &Value) -> Client {
    let asking = async {
        loop {
            match player.ask("join", json!({ "room": room })).await {
                Ok(_) => {
                    let seat = player.rerouted().await;
                    // On a busy machine the player's own ticket may be late.
                    if let Ok(client) = Client::redeem(&seat).await {
                        return client;
                    }
                }
                Err(code) => assert_eq!(code, "room_full"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("a free seat", asking).await
}
