//! A room of a thousand players dies.

use std::time::{Duration, Instant};

use cluster::testing::Client;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::ONE_AT_A_TIME;
use crate::common::start_game;

const CROWD: usize = 1000;
/// Concurrent joins. Each join is sent to all players in the room.
const GROUP: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_players_return_to_the_lobby_when_their_room_dies() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let new = json!({ "capacity": CROWD, "options": { "quiet": true } });
    let room = boss.ask("open", new).await.expect("a room");
    let begun = Instant::now();
    let mut crowd = Vec::new();
    while crowd.len() < CROWD {
        let group = (0..GROUP).map(async |_| {
            let mut ann = cluster.player("Ann").await;
            let client = ann.enter("join", json!({ "room": room })).await;
            (ann, client)
        });
        crowd.extend(join_all(group).await);
    }
    println!("{CROWD} in one room after {:.1?}", begun.elapsed());
    let killed = Instant::now();
    cluster.signal_room(&room, Signal::KILL).await;
    let returned = json!({ "room": room, "reason": { "code": "crashed" } });
    let back = crowd.into_iter().map(async |(ann, mut client)| {
        client.end().await;
        // Jitter, as in the page.
        sleep(rand::random_range(Duration::ZERO..Duration::from_millis(500))).await;
        let auth = json!({ "token": ann.token });
        let mut failed = 0;
        let mut lobby = loop {
            match Client::connect(&cluster.url, auth.clone()).await {
                Ok(lobby) => break lobby,
                Err(_) => failed += 1,
            }
        };
        assert_eq!(lobby.event("welcome").await["returned"], returned);
        (killed.elapsed(), failed)
    });
    let mut back = join_all(back).await;
    back.sort();
    let failed: usize = back.iter().map(|(_, failed)| failed).sum();
    let [p50, p99, all] = [500, 990, 999].map(|part| back[CROWD * part / 1000].0);
    println!("all back: p50 {p50:.2?}, p99 {p99:.2?}, the last {all:.2?}; {failed} tried again");
    boss.ask_until("list", json!({}), |list| *list == json!([])).await;
}
