//! Limits per client address. 127.0.0.1 has none, so clients connect from other addresses in
//! 127.0.0.0/8.

use std::net::Ipv4Addr;
use std::time::Instant;

use cluster::testing::{Client, soon};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::common::raw::{Raw, path_of, request, status, websocket};
use crate::common::{NO_RATE_LIMITS, start_game};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The status of the answer to a new connection from this address, and the connection.
async fn asks(from: Ipv4Addr, url: &str, headers: &[(&str, &str)]) -> (u16, Raw) {
    let mut raw = Raw::connect_from(from, url).await;
    raw.send(&request("GET", "/dev", headers)).await;
    let head = raw.head().await;
    (status(&head), raw)
}

#[tokio::test]
async fn a_connection_over_the_address_limit_is_refused_and_other_addresses_are_not() {
    let cluster = start_game(&["--max-connections-per-address", "3"]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (status, raw) = asks(CLIENT, &cluster.url, &[]).await;
        assert_eq!(status, 200);
        clients.push(raw);
    }
    let (status, mut refused) = asks(CLIENT, &cluster.url, &[]).await;
    assert_eq!(status, 429);
    assert_eq!(refused.rest().await, "too many connections\n");
    // Silent connections are told as well.
    assert!(Raw::connect_from(CLIENT, &cluster.url).await.rest().await.contains(" 429 "));
    for from in [OTHER, Ipv4Addr::LOCALHOST] {
        for _ in 0..3 {
            let (status, raw) = asks(from, &cluster.url, &[]).await;
            assert_eq!(status, 200, "{from}");
            clients.push(raw);
        }
    }
    assert_eq!(asks(Ipv4Addr::LOCALHOST, &cluster.url, &[]).await.0, 200, "no limit here");
    drop(clients);
    let free = async { while asks(CLIENT, &cluster.url, &[]).await.0 != 200 {} };
    soon("a free place", free).await;
}

#[tokio::test]
async fn a_room_counts_handed_off_connections() {
    let cluster = start_game(&["--max-connections-per-address", "2"]).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    let (url, path) = (seat["url"].as_str().expect("a url"), path_of(&seat["room"]));
    let enter = async |from| {
        let mut raw = Raw::connect_from(from, url).await;
        raw.send(&websocket(&path, &[])).await;
        (status(&raw.head().await), raw)
    };
    let (first, second) = (enter(CLIENT).await, enter(CLIENT).await);
    assert_eq!((first.0, second.0), (101, 101));
    assert_eq!(enter(CLIENT).await.0, 429);
    assert_eq!(enter(OTHER).await.0, 101);
    drop(first);
    let free = async { while enter(CLIENT).await.0 != 101 {} };
    soon("a free place", free).await;
    ann.take(&seat).await.ask("echo", json!({ "n": 1 })).await.expect("a good room");
}

#[tokio::test]
async fn the_client_address_header_counts_only_when_configured() {
    let flags = ["--max-connections-per-address", "2"];
    let plain = start_game(&flags).await;
    // Whatever address the client claims.
    let says = |address| [("X-Forwarded-For", address)];
    let (first, second) = (
        asks(CLIENT, &plain.url, &says("192.0.2.1")).await,
        asks(CLIENT, &plain.url, &says("192.0.2.2")).await,
    );
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(asks(CLIENT, &plain.url, &says("192.0.2.3")).await.0, 429);

    let trusting = [&flags[..], &["--client-address-header", "x-forwarded-for"]].concat();
    let proxied = start_game(&trusting).await;
    let ask = async |address| asks(Ipv4Addr::LOCALHOST, &proxied.url, &says(address)).await;
    // The proxy adds the last address; a client may have sent those before it.
    let (first, second) = (ask("198.51.100.1, 192.0.2.1").await, ask("192.0.2.1").await);
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(ask("192.0.2.2, 192.0.2.1").await.0, 429);
    assert_eq!(ask("192.0.2.2").await.0, 200);
    // A connection of the proxy counts for the client that uses it.
    let mut shared = first.1;
    shared.body("on".len()).await;
    shared.send(&request("GET", "/dev", &says("192.0.2.9"))).await;
    assert_eq!(status(&shared.head().await), 200);
    assert_eq!(ask("192.0.2.1").await.0, 200);
    // A websocket counts until it closes, in rooms too.
    let mut ann = proxied.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    for path in ["/socket.io".to_owned(), path_of(&seat["room"])] {
        let upgrade = async || {
            let mut raw = Raw::connect(&proxied.url).await;
            raw.send(&websocket(&path, &says("192.0.2.77"))).await;
            (status(&raw.head().await), raw)
        };
        let both = (upgrade().await, upgrade().await);
        assert_eq!((both.0.0, both.1.0), (101, 101), "{path}");
        assert_eq!(upgrade().await.0, 429, "{path}");
        drop(both);
        let free = async { while upgrade().await.0 != 101 {} };
        soon("a free place", free).await;
    }
}

#[tokio::test]
async fn a_wrong_client_address_header_lifts_no_limit() {
    let flags =
        ["--max-connections-per-address", "2", "--client-address-header", "x-forwarded-for"];
    let cluster = start_game(&flags).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    let wrong =
        [&b""[..], b"\xff", b"unknown", b"for=192.0.2.7", b"192.0.2.7,", b"\xff, 192.0.2.7, x"];
    for path in ["/socket.io".to_owned(), path_of(&seat["room"])] {
        let ask = async |value: &[u8]| {
            let mut raw = Raw::connect(&cluster.url).await;
            let head = websocket(&path, &[("X-Forwarded-For", "?")]);
            let (before, after) = head.rsplit_once('?').expect("the value");
            raw.send_bytes(&[before.as_bytes(), value, after.as_bytes()].concat()).await;
            (status(&raw.head().await), raw)
        };
        // All of them count as one address, whatever the rest of the header says.
        let admitted = async |value| loop {
            if let (101, raw) = ask(value).await {
                return raw;
            }
        };
        // The connections of the previous case close in a moment.
        let _first = soon("a free place", admitted(wrong[0])).await;
        let _second = soon("a free place", admitted(wrong[1])).await;
        for value in wrong {
            assert_eq!(ask(value).await.0, 429, "{path} {}", value.escape_ascii());
        }
        assert_eq!(ask(b"\xff, 192.0.2.7").await.0, 101, "the last entry is an address");
    }
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_for_a_while() {
    let flags = [
        "--max-connects-per-second",
        "1",
        "--max-connects-per-second-per-address",
        "2",
        "--pool",
        "0",
    ];
    let cluster = start_game(&flags).await;
    let ann = cluster.player("Ann").await;
    let connect = async |auth: Value| Client::connect(&cluster.url, auth).await.err();
    let token = json!({ "token": ann.token });
    for _ in 0..10 {
        assert_eq!(connect(token.clone()).await, None);
    }
    assert_eq!(connect(token.clone()).await.as_deref(), Some("too_fast"));
    assert_eq!(connect(json!({})).await, None, "others may");
    let again = async { while connect(token.clone()).await.is_some() {} };
    soon("the player's turn", again).await;

    let from = async |from| Client::connect_from(from, &cluster.url, "/socket.io", json!({})).await;
    let crowd = join_all((0..30).map(|_| from(CLIENT))).await;
    let refused: Vec<_> = crowd.iter().filter_map(|client| client.as_ref().err()).collect();
    assert!((8..=10).contains(&refused.len()), "20 at once: {refused:?}");
    assert!(refused.iter().all(|why| *why == "too_fast"), "{refused:?}");
    assert!(from(OTHER).await.is_ok());
    let again = async { while from(CLIENT).await.is_err() {} };
    soon("their turn", again).await;
}

#[tokio::test]
async fn the_room_limit_of_an_address_covers_all_its_players() {
    let flags = ["--max-rooms-per-address", "3", "--max-rooms-per-player", "2"];
    let cluster = start_game(&flags).await;
    let player = async |from, name: &str| {
        let client = Client::connect_from(from, &cluster.url, "/socket.io", json!({})).await;
        let mut client = client.expect("anyone may connect");
        client.ask("register", json!({ "name": name })).await.expect("registered");
        client
    };
    let open = json!({ "hosted": true });
    let (mut ann, mut bob) = (player(CLIENT, "Ann").await, player(CLIENT, "Bob").await);
    let room = ann.ask("open", open.clone()).await.expect("a room");
    ann.ask("open", open.clone()).await.expect("a room");
    assert_eq!(ann.ask("open", open.clone()).await, Err("too_many_rooms".into()));
    bob.ask("open", open.clone()).await.expect("a room");
    assert_eq!(bob.ask("open", open.clone()).await, Err("too_many_rooms".into()));
    player(OTHER, "Cid").await.ask("open", open.clone()).await.expect("others may");
    ann.ask("close", json!({ "room": room })).await.expect("their room");
    bob.event_where("exited", |exited| exited["room"] == room).await;
    bob.ask("open", open).await.expect("there is a place again");
}

#[tokio::test]
async fn code_attempts_from_one_address_are_counted_together() {
    let flags = [&["--max-code-attempts-per-minute", "1"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let began = Instant::now();
    let mut refused = Vec::new();
    // One attempt of each player, a hundred in all.
    for n in 0..120 {
        let client = Client::connect_from(CLIENT, &cluster.url, "/socket.io", json!({})).await;
        let mut client = client.expect("anyone may connect");
        client.ask("register", json!({ "name": format!("P{n}") })).await.expect("registered");
        let guess = client.ask("join_by_code", json!({ "code": "AAAAAA" })).await;
        refused.push(guess.expect_err("no such code"));
    }
    let told = |code| refused.iter().filter(|refused| *refused == code).count();
    let more = 1 + (began.elapsed().as_secs_f64() * 100.0 / 60.0) as usize;
    assert!((100..=100 + more).contains(&told("no_such_room")), "{refused:?}");
    assert_eq!(told("no_such_room") + told("too_many_guesses"), 120);
}

#[tokio::test]
async fn lobby_events_from_one_address_are_counted_together() {
    let cluster = start_game(&["--events-per-second-per-address", "10"]).await;
    let visitor = async |from| {
        let client = Client::connect_from(from, &cluster.url, "/socket.io", json!({})).await;
        client.expect("anyone may connect")
    };
    let (mut ann, mut bob) = (visitor(CLIENT).await, visitor(CLIENT).await);
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(ann.ask("watch_rooms", json!({})).await);
        answers.push(bob.ask("watch_rooms", json!({})).await);
    }
    let refused = answers.iter().filter(|answer| **answer == Err("too_fast".into())).count();
    let more = 1 + (began.elapsed().as_secs_f64() * 10.0) as usize;
    assert!((30..=30 + more).contains(&(40 - refused)), "30 at once, 10 a second: {answers:?}");
    visitor(OTHER).await.ask("watch_rooms", json!({})).await.expect("others may");
    // In a room each has their own.
    let again = async {
        while bob.ask("register", json!({ "name": "Bob" })).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    soon("Bob's turn", again).await;
    let mut boss = cluster.player("Boss").await;
    let seat = boss.seat("create", json!({})).await;
    let (url, path) =
        (seat["url"].as_str().expect("a url"), seat["path"].as_str().expect("a path"));
    let ticket = json!({ "ticket": seat["ticket"] });
    let mut room = Client::connect_from(CLIENT, url, path, ticket).await.expect("a good ticket");
    for n in 0..100 {
        room.ask("echo", json!({ "n": n })).await.expect("no limit");
    }
}

#[tokio::test]
async fn an_address_that_never_stops_connecting_is_refused_for_a_while() {
    let cluster = start_game(&["--max-connects-per-second-per-address", "1"]).await;
    let (began, mut welcome) = (Instant::now(), 0);
    let connects = async {
        loop {
            match asks(CLIENT, &cluster.url, &[("Connection", "close")]).await.0 {
                200 => welcome += 1,
                status => return status,
            }
        }
    };
    assert_eq!(soon("a refusal", connects).await, 429);
    let more = 1 + (began.elapsed().as_secs_f64() * 10.0) as usize;
    assert!((100..=100 + more).contains(&welcome), "100 at once, 10 a second: {welcome}");
    assert_eq!(asks(OTHER, &cluster.url, &[]).await.0, 200);
}
