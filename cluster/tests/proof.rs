//! Seats, tickets, first events and message order under enough repetitions to find a fault that
//! occurs once in ten thousand times. Takes minutes; CI runs it once.

#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod common;
mod proof {
    mod tickets;
}

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use cluster::testing::{Client, TestPlayer};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

const ROUNDS: usize = 1000;
const PLAYERS: usize = 200;
const SEATS: u64 = 8;
/// The players use the rooms in turn, so that seats have time to expire.
const ROOMS: usize = 16;

/// What a player does with a seat.
#[derive(Clone, Copy)]
enum Whim {
    TakeAndLeave,
    /// The connection is cut, and the seat is kept for a moment.
    Drop,
    /// The connection is cut, and the player is back at once.
    Return,
    /// The player returns in another window.
    Replace,
    /// The player never comes.
    Expire,
}

const WHIMS: [Whim; 5] =
    [Whim::TakeAndLeave, Whim::Drop, Whim::Return, Whim::Replace, Whim::Expire];

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_players_compete_for_eight_seats_in_a_thousand_rounds() {
    let flags =
        [&["--ticket-ttl", "500ms", "--empty-timeout", "10m"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let mut boss = cluster.player("Boss").await;
    let new = json!({ "capacity": SEATS, "options": { "grace_ms": 200, "quiet": true } });
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(boss.ask("open", new.clone()).await.expect("a room"));
    }
    let mut players = join_all((0..PLAYERS).map(async |_| cluster.player("Ann").await)).await;
    let over = AtomicBool::new(false);
    // Checks the lobby's own count all the time.
    let look = async {
        let mut looks = 0;
        while !over.load(Relaxed) {
            let list = boss.ask("list", json!({})).await.expect("the rooms");
            for room in list.as_array().expect("a list") {
                assert!(room["players"].as_u64() <= Some(SEATS), "{room}");
            }
            looks += 1;
        }
        (boss, looks)
    };
    let play = async {
        // Until which round a player stays away, so that the seat expires.
        let mut resting = [0; PLAYERS];
        let mut given = 0;
        for round in 0..ROUNDS {
            let room = &rooms[round % ROOMS];
            let awake = players.iter_mut().enumerate().filter(|(n, _)| resting[*n] <= round);
            let played = join_all(awake.map(async |(n, player)| {
                let whim = WHIMS[(n + round) % WHIMS.len()];
                compete(player, room, whim).await.then_some((n, whim))
            }));
            let winners: Vec<_> = played.await.into_iter().flatten().collect();
            given += winners.len();
            for (n, whim) in winners {
                if matches!(whim, Whim::Expire) {
                    resting[n] = round + 2 * ROOMS;
                }
            }
        }
        over.store(true, Relaxed);
        given
    };
    let ((mut boss, looks), given) = tokio::join!(look, play);
    println!("{given} seats given in {ROUNDS} rounds; the lobby was asked {looks} times");
    assert!(given > ROUNDS, "there were seats to be had");

    // No seats are taken, and each room's counts are consistent.
    for room in &rooms {
        let about = json!({ "room": room });
        boss.ask_until("about", about.clone(), |room| room["players"] == 0).await;
    }
    let mut guard = cluster.player("Guard").await;
    for room in &rooms {
        guard.lobby().emit("join", json!({ "room": room }));
        let reroute = guard.rerouted().await;
        let mut client = Client::redeem(&reroute).await.expect("a good ticket");
        let census = client.ask("census", json!({})).await.expect("a census");
        let leaves = census["leaves"].as_object().expect("reasons").values();
        let leaves: u64 = leaves.filter_map(Value::as_u64).sum();
        assert_eq!(census["joins"].as_u64(), Some(leaves + 1), "{census}");
        assert!(census["most"].as_u64() <= Some(SEATS), "{census}");
        client.leave().await;
    }
}

/// Asks for a seat, and takes, drops or keeps it at random; whether there was one.
async fn compete(player: &mut TestPlayer, room: &Value, whim: Whim) -> bool {
    match player.ask("join", json!({ "room": room })).await {
        Ok(_) => {}
        Err(code) => {
            assert_eq!(code, "room_full");
            return false;
        }
    }
    let seat = player.rerouted().await;
    if matches!(whim, Whim::Expire) {
        return true;
    }
    // On a busy machine any ticket may expire.
    let Ok(client) = Client::redeem(&seat).await else { return true };
    match whim {
        Whim::TakeAndLeave => client.leave().await,
        Whim::Drop | Whim::Expire => drop(client),
        Whim::Return | Whim::Replace => {
            if matches!(whim, Whim::Return) {
                drop(client);
            }
            if player.ask("join", json!({ "room": room })).await.is_ok() {
                let again = player.rerouted().await;
                if let Ok(again) = Client::redeem(&again).await {
                    again.leave().await;
                }
            }
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_joins_lose_no_first_event() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let mut boss = cluster.player("Boss").await;
    let new = json!({ "capacity": 101, "options": { "quiet": true } });
    let mut bosses = boss.enter("create", new).await;
    let room = bosses.event("joined").await["room"].take();
    let come_and_go = async |first: u64| {
        let mut player = cluster.player("Guest").await;
        for n in first * 100..(first + 1) * 100 {
            let seat = player.seat("join", json!({ "room": room })).await;
            let mut client = Client::redeem(&seat).await.expect("a good ticket");
            // Heard before the player comes again, with a connection that replaces this one.
            client.ask("log", json!({ "n": n })).await.expect("the first event");
            client.leave().await;
        }
    };
    join_all((0..100).map(come_and_go)).await;
    // The last players' events arrive before they leave.
    let alone = |about: &Value| about["players"].as_array().is_some_and(|all| all.len() == 1);
    bosses.ask_until("about", json!({}), alone).await;
    let logged = bosses.ask("logged", json!({})).await.expect("the numbers");
    let logged: Vec<u64> = logged.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(logged.len(), 10_000, "none twice");
    assert_eq!(logged.into_iter().collect::<HashSet<_>>(), (0..10_000).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_messages_of_a_hundred_players_arrive_in_order() {
    // Heartbeats of a flooded room are not under test here.
    let flags = [&["--heartbeat-timeout", "20s"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let mut boss = cluster.player("Boss").await;
    let new = json!({ "capacity": 101, "options": { "quiet": true } });
    let mut bosses = boss.enter("create", new).await;
    let room = bosses.event("joined").await["room"].take();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(cluster.player("Guest").await.enter("join", json!({ "room": room })).await);
    }
    let say = async |mut client: Client| {
        for chunk in 0..100 {
            (1..=100).for_each(|n| client.emit("next", json!({ "n": chunk * 100 + n })));
            // No player may be further ahead of the room, which answers after all of them.
            client.ask("later", json!({ "n": 0 })).await.expect("still there");
        }
        client
    };
    let clients = join_all(clients.into_iter().map(say)).await;
    let census = bosses.ask("census", json!({})).await.expect("a census");
    assert_eq!((&census["in_order"], &census["out_of_order"]), (&json!(1_000_000), &json!(0)));
    drop(clients);
}
