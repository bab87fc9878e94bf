//! Limits: of rooms and sizes. What is beyond one is refused, and nothing else suffers.

use std::time::Duration;

use cluster::testing::{TestPlayer, soon};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::raw::{Raw, request, status, websocket};
use crate::common::{NO_RATE_LIMITS, start_game, start_game_with_open_files};

#[tokio::test]
async fn a_room_over_the_limit_is_refused() {
    let cluster = start_game(&["--max-rooms", "2"]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("the first");
    ann.ask("open", json!({})).await.expect("the second");
    assert_eq!(ann.ask("open", json!({})).await, Err("no_room".into()));
    ann.ask("close", json!({ "room": room })).await.expect("its room");
    ann.lobby().event("exited").await;
    ann.ask("open", json!({})).await.expect("there is a place again");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_a_huge_one_ends_its_connection() {
    for (flags, kib) in [(&[][..], 64), (&["--max-message", "2k"], 2)] {
        let cluster = start_game(flags).await;
        let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
        let text = |parts: usize| json!({ "text": "x".repeat(kib * parts * 1024 / 16) });
        let mut visitor = cluster.visitor().await;
        assert_eq!(visitor.ask("register", text(17)).await, Err("too_large".into()));
        assert_eq!(visitor.ask("register", text(1)).await, Err("bad_name".into()));
        visitor.emit("register", text(65));
        visitor.end().await;

        let mut anns = ann.enter("create", json!({})).await;
        let room = anns.event("joined").await["room"].take();
        let mut bobs = bob.enter("join", json!({ "room": room })).await;
        bobs.ask("print", text(15)).await.expect("small enough");
        assert_eq!(bobs.ask("print", text(17)).await, Err("too_large".into()));
        let refused = bobs.ask_binary(&vec![0; kib * 1100]).await;
        assert_eq!(refused["error"]["code"], "too_large");
        bobs.emit("print", text(65));
        bobs.end().await;
        assert_eq!(anns.event("player_left").await["player"], bob.you);
        assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    }
}

#[tokio::test]
async fn guessing_codes_is_stopped_even_after_a_correct_guess() {
    let cluster = start_game(&["--max-code-attempts-per-minute", "5"]).await;
    let mut boss = cluster.player("Boss").await;
    let room = boss.ask("open", json!({ "private": true })).await.expect("a room");
    let code = boss.ask("about", json!({ "room": room })).await.expect("the room")["code"].take();
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    for _ in 0..5 {
        let guess = json!({ "code": "AAAAAA" });
        assert_eq!(ann.ask("join_by_code", guess).await, Err("no_such_room".into()));
    }
    let right = json!({ "code": code });
    assert_eq!(ann.ask("join_by_code", right.clone()).await, Err("too_many_guesses".into()));
    bob.ask("join_by_code", right).await.expect("others may");
}

#[tokio::test]
async fn a_websocket_without_a_socketio_handshake_is_closed() {
    let cluster = start_game(&["--connect-timeout", "2s", "--header-timeout", "1m"]).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    for path in ["/socket.io", seat["path"].as_str().expect("a path")] {
        let mut raw = Raw::connect(seat["url"].as_str().expect("a url")).await;
        raw.send(&websocket(path, &[])).await;
        let answer = raw.rest().await;
        let upgraded = status(&answer) == 101 || path == "/socket.io" && status(&answer) == 404;
        assert!(upgraded, "{answer}");
    }
    ann.take(&seat).await.ask("echo", json!({ "n": 1 })).await.expect("the seat is still theirs");
}

#[tokio::test]
async fn reads_stop_while_a_client_does_not_read_and_it_is_disconnected() {
    let quick = ["--ping-interval", "200ms", "--ping-timeout", "500ms"];
    let cluster = start_game(&[&quick[..], &NO_RATE_LIMITS].concat()).await;
    let mut flood = Raw::connect(&cluster.url).await;
    flood.send(&websocket("/socket.io", &[])).await;
    assert_eq!(status(&flood.head().await), 101);
    flood.send_frame("40").await;
    // Websocket pings, which ask for answers, and now and then an Engine.IO pong.
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    let alive = [0x81, 0x80 | 1, 0, 0, 0, 0, b'3'];
    // More than the socket buffers hold.
    let most = 128 << 20;
    let taken = flood.send_for_ever(&[&ping.repeat(1000)[..], &alive].concat(), most).await;
    assert!(taken < most, "{taken} bytes");
}

#[tokio::test]
async fn a_client_with_a_full_outbound_queue_is_disconnected_without_notice() {
    let cluster = start_game(&["--max-outbound-packets", "3"]).await;
    for _ in 0..5 {
        let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
        client.event("joined").await;
        // A room has one thread: it handles all of the burst before it writes the first answer.
        let bursts = async {
            let mut goes_on = true;
            while goes_on {
                (0..8).for_each(|n| client.emit("echo", json!({ "n": n })));
                goes_on = timeout(Duration::from_millis(300), client.ended()).await.is_err();
            }
        };
        soon("its end", bursts).await;
    }
}

/// Joins a room, then neither sends nor reads.
async fn join_in_silence(player: &mut TestPlayer, room: &Value) -> Raw {
    let seat = player.seat("join", json!({ "room": room })).await;
    let mut raw = Raw::connect(seat["url"].as_str().expect("a url")).await;
    raw.send(&websocket(seat["path"].as_str().expect("a path"), &[])).await;
    raw.head().await;
    raw.send_frame(&format!("40{}", json!({ "ticket": seat["ticket"] }))).await;
    raw
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_disconnected() {
    let flags = ["--ping-interval", "200ms", "--ping-timeout", "3s", "--connect-timeout", "1m"];
    let cluster = start_game(&flags).await;
    let mut ann = cluster.player("Ann").await;
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bob = cluster.player("Bob").await;
    let mut raw = join_in_silence(&mut bob, &room).await;
    assert_eq!(anns.event("player_joined").await["player"], bob.you);
    // Silent from now on, pongs included.
    assert_eq!(anns.event("player_left").await["player"], bob.you);
    raw.rest().await;
    assert_eq!(
        anns.ask("echo", json!({ "n": 1 })).await,
        Ok(json!(1)),
        "a client that answers stays"
    );
}

#[tokio::test]
async fn a_client_that_overflows_its_event_queue_is_told_and_disconnected() {
    let flags = ["--max-queued-events", "100", "--events-per-second", "1000"];
    let cluster = start_game(&flags).await;
    let mut ann = cluster.player("Ann").await;
    ann.lobby().emit("block", json!({ "ms": 3000 }));
    (0..150).for_each(|_| ann.lobby().emit("list", json!({})));
    assert_eq!(ann.lobby().event("refused").await["code"], "too_fast");
    assert!(ann.lobby().end().await);
    // Fewer, if they are large.
    ann.back().await;
    ann.lobby().emit("block", json!({ "ms": 3000 }));
    (0..10).for_each(|_| ann.lobby().emit("list", json!({ "x": "x".repeat(60_000) })));
    assert_eq!(ann.lobby().event("refused").await["code"], "too_fast");
    assert!(ann.lobby().end().await);
    ann.back().await;
    ann.ask("list", json!({})).await.expect("the lobby lives");
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_ends() {
    let cluster = start_game(&["--max-connections", "2", "--header-timeout", "1m"]).await;
    let silent = [Raw::connect(&cluster.url).await, Raw::connect(&cluster.url).await];
    let mut third = Raw::connect(&cluster.url).await;
    third.send(&request("GET", "/dev", &[])).await;
    let early = tokio::time::timeout(Duration::from_millis(300), third.head()).await;
    assert!(early.is_err(), "{early:?}");
    drop(silent);
    assert_eq!(status(&third.head().await), 200);
}

#[tokio::test]
async fn connections_never_use_up_the_open_files_of_rooms() {
    // The lowest limit with which the lobby starts.
    let cluster = start_game_with_open_files(115, &["--max-rooms", "4"]).await;
    let mut ann = cluster.player("Ann").await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Raw::connect(&cluster.url).await);
    }
    for _ in 0..4 {
        ann.ask("open", json!({})).await.expect("a room");
        ann.lobby().event("ready").await;
    }
    let failed =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("cannot"));
    assert!(!cluster.lines().iter().any(failed), "nothing failed for want of open files");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_when_its_queue_is_full() {
    let cluster = start_game(&["--max-outbound-packets", "10", "--ping-timeout", "1m"]).await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bob = cluster.player("Bob").await;
    let _raw = join_in_silence(&mut bob, &room).await;
    anns.event("player_joined").await;
    // The kernel buffers some megabytes; a thousand packets more would be sixty.
    for _ in 0..400 {
        anns.ask("bytes", json!({ "n": 60_000 })).await.expect("a good room");
        if anns.unheard().contains(&"player_left") {
            return assert_eq!(anns.event("player_left").await["player"], bob.you);
        }
    }
    panic!("the player is still there");
}
