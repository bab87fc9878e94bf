//! Handoff at the public port: a connection for a room is passed to its process. Incomplete and
//! invalid requests end without delaying others or leaking descriptors.

use std::fs;
use std::time::Duration;

use cluster::testing::{Client, LobbyProcess, ProcessStat, descriptors, eventually, soon};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::raw::{Raw, http, path_of, status};
use crate::routing::relay::{counts, handing_off, upgrade};

/// Opens a room with one player. Returns its id and the player's connection.
async fn room(cluster: &LobbyProcess) -> (Value, Client) {
    let mut client = cluster.player("Ann").await.enter("create", json!({})).await;
    (client.event("joined").await["room"].take(), client)
}

/// The request line of its websocket.
fn line(room: &Value) -> String {
    upgrade(room).split_inclusive("\r\n").next().expect("a line").to_owned()
}

const PAGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn with_no_proxy_every_connection_to_a_room_is_handed_off() {
    let cluster = handing_off(&["--drain-timeout", "100ms", "--stop-timeout", "100ms"]).await;
    let (_, mut anns) = room(&cluster).await;
    let (_, mut bobs) = room(&cluster).await;
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    }
    assert_eq!(counts(cluster).await, (2, 0));
}

#[tokio::test]
async fn the_room_holds_the_browsers_socket_and_the_lobby_does_not() {
    let cluster = handing_off(&[]).await;
    let (id, _anns) = room(&cluster).await;
    let process = cluster.process_of(&id).await;
    let mut raw = Raw::connect(&cluster.url).await;
    raw.send(&upgrade(&id)).await;
    assert_eq!(status(&raw.head().await), 101);
    let (inode, lobby) = (socket_between(cluster.port(), raw.port()), cluster.pid());
    eventually("the lobby lets go", || (!holds(lobby, &inode)).then_some(())).await;
    assert!(holds(process, &inode), "the room has {inode}");
}

/// The inode of the server's end of a connection, found by both ports.
fn socket_between(server: u16, client: u16) -> String {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let ends = [format!(":{server:04X}"), format!(":{client:04X}")];
    let is_it = |line: &Vec<&str>| {
        let addresses = line.iter().skip(1).zip(&ends);
        addresses.filter(|(address, end)| address.ends_with(*end)).count() == 2
    };
    let mut lines = table.lines().map(|line| line.split_whitespace().collect());
    lines.find(is_it).expect("our connection")[9].to_owned()
}

/// Whether the process has the socket open.
fn holds(process: Pid, inode: &str) -> bool {
    let link = format!("socket:[{inode}]");
    descriptors(process).contains(&link)
}

#[tokio::test]
async fn a_request_line_may_arrive_in_pieces() {
    let cluster = handing_off(&["--drain-timeout", "100ms", "--stop-timeout", "100ms"]).await;
    let (id, _anns) = room(&cluster).await;
    let mut raw = Raw::connect(&cluster.url).await;
    let request = upgrade(&id);
    let (pieces, rest) = request.split_at("GET /rooms/1/soc".len());
    for piece in pieces.chars() {
        raw.send(&piece.to_string()).await;
        // Once this is answered, the lobby has read the piece.
        assert_eq!(http(&cluster.url, "GET", "/dev", &[]).await.0, 200);
    }
    raw.send(rest).await;
    assert_eq!(status(&raw.head().await), 101);
    assert_eq!(counts(cluster).await, (2, 0));
}

#[tokio::test]
async fn an_incomplete_request_is_cut_off_and_delays_nobody() {
    let cluster = handing_off(&["--header-timeout", "1s"]).await;
    let (id, mut anns) = room(&cluster).await;
    let line = line(&id);
    let mut slow = Vec::new();
    for said in ["", "GET /roo", "GET /rooms/1", &*line, "GET / HTTP/1.1\r\nHost: local"] {
        for _ in 0..20 {
            let mut raw = Raw::connect(&cluster.url).await;
            raw.send(said).await;
            slow.push(raw);
        }
    }
    assert_eq!(http(&cluster.url, "GET", "/", &[]).await.0, 200);
    assert_eq!(anns.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    for mut raw in slow {
        assert_eq!(raw.rest().await, "", "no complete request");
    }
}

#[tokio::test]
async fn waiting_for_the_rest_of_a_line_costs_no_processor_time() {
    let cluster = handing_off(&["--header-timeout", "2s"]).await;
    let (id, _anns) = room(&cluster).await;
    let processor_time =
        || ProcessStat::of(cluster.pid()).expect("a process that runs").processor_time;
    let before = processor_time();
    let mut half = Raw::connect(&cluster.url).await;
    half.send(&line(&id)[..12]).await;
    half.rest().await;
    let spent = processor_time() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} of the 2 seconds that passed");
}

#[tokio::test]
async fn a_connection_closed_in_mid_request_is_dropped_at_once() {
    // Longer than the test waits.
    let cluster = handing_off(&["--header-timeout", "1m"]).await;
    let (id, _anns) = room(&cluster).await;
    for said in ["", "GET /roo", "GET /rooms/1", &line(&id)[..30], &line(&id)] {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(said).await;
        raw.hang_up().await;
        raw.rest().await;
    }
}

#[tokio::test]
async fn a_handed_off_connection_is_for_one_request() {
    let cluster = handing_off(&[]).await;
    let (id, mut anns) = room(&cluster).await;
    let plain = line(&id) + "Host: localhost\r\n\r\n";
    let answers = Raw::ask(&cluster.url, &(plain + PAGE)).await;
    assert_eq!(status(&answers), 400, "rooms accept websockets only: {answers}");
    assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    assert!(answers.to_lowercase().contains("connection: close"), "{answers}");

    let answers = Raw::ask(&cluster.url, &(upgrade(&id) + PAGE)).await;
    assert_eq!(status(&answers), 400, "data before the upgrade response: {answers}");
    assert_eq!(answers.matches("HTTP/1.1").count(), 1, "what follows is no request: {answers}");
    assert_eq!(anns.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
}

#[tokio::test]
async fn requests_that_are_too_long_are_refused_by_lobby_and_room() {
    let cluster = handing_off(&[]).await;
    let (id, mut anns) = room(&cluster).await;
    let long = "x".repeat(64 * 1024);
    let room = id.as_str().expect("an id");
    let page = PAGE.trim_end();
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /rooms/{room}/socket.io/?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("{page}\r\nCookie: {long}\r\n\r\n"),
        format!("{}Host: localhost\r\nCookie: {long}\r\n\r\n", line(&id)),
        format!("{}Host: localhost\r\n{}\r\n", line(&id), "A: b\r\n".repeat(2000)),
    ] {
        let answer = Raw::ask(&cluster.url, &request).await;
        assert!([0, 431].contains(&status(&answer)), "{answer}");
    }
    assert_eq!(anns.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let cluster = handing_off(&[]).await;
    for garbage in [
        "\r\n\r\n\r\n\r\n",
        "\0\0\0\0\0\0\0\0",
        "\x16\x03\x01\x02\0\x01\0\x01", // a TLS client hello
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /rooms/1/\x07 HTTP/1.1\r\n\r\n",
        "GET /rooms/1 /socket.io HTTP/9.9\r\n\r\n",
        "GET\t/rooms/1/socket.io\tHTTP/1.1\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(garbage).await;
        raw.hang_up().await;
        let answer = raw.rest().await;
        assert!([0, 400].contains(&status(&answer)), "{}: {answer}", garbage.escape_debug());
    }
    assert_eq!(http(&cluster.url, "GET", "/", &[]).await.0, 200);
}

#[tokio::test]
async fn a_path_that_names_no_room_is_not_found() {
    let cluster = handing_off(&[]).await;
    let (id, _anns) = room(&cluster).await;
    assert_eq!(id, "1", "the room whose neighbours are asked for");
    // The warm room in the pool.
    eventually("the pool", || (cluster.processes().len() == 2).then_some(())).await;
    let highest = u64::MAX;
    for path in [
        "/rooms/2/socket.io/",
        "/rooms/0/socket.io/",
        "/rooms/01/socket.io/",
        "/rooms/999/socket.io/",
        &format!("/rooms/{highest}/socket.io/"),
        &format!("/rooms/{highest}0/socket.io/"),
        "/rooms/x/socket.io/",
        "/rooms//socket.io/",
        "/rooms/1",
        "/rooms/1/",
        "/rooms/1/socket.iox/",
        "/rooms/1/../1/socket.io/",
        "/rooms/",
    ] {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
}

#[tokio::test]
async fn connections_to_a_dead_room_are_refused_at_once() {
    let cluster = handing_off(&[]).await;
    let (id, _anns) = room(&cluster).await;
    let process = cluster.process_of(&id).await;
    kill_process(process, Signal::KILL).expect("it runs");
    let gone = async {
        loop {
            // Not a half-closed connection: the server may drop that before it has answered.
            let (status, answer) = http(&cluster.url, "GET", &path_of(&id), &[]).await;
            assert!([0, 404, 426, 503].contains(&status), "{answer}");
            if answer.contains("there is no such room") {
                return;
            }
        }
    };
    soon("the room is not known any more", gone).await;
}

#[tokio::test]
async fn a_room_that_does_not_read_its_channel_delays_nobody() {
    let cluster = handing_off(&["--heartbeat-timeout", "4s"]).await;
    let (stopped, _anns) = room(&cluster).await;
    let (_, mut bobs) = room(&cluster).await;
    let before = cluster.descriptors();
    let process = cluster.process_of(&stopped).await;
    kill_process(process, Signal::STOP).expect("it runs");
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&upgrade(&stopped)).await;
        waiting.push(raw);
    }
    assert_eq!(bobs.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
    assert_eq!(http(&cluster.url, "GET", "/", &[]).await.0, 200);
    let mut refused = 0;
    for mut raw in waiting {
        let answer = raw.rest().await;
        refused += usize::from(status(&answer) == 503);
        assert!([0, 503].contains(&status(&answer)), "{answer}");
    }
    // The others were in the channel and ended with the room.
    assert!((100..200).contains(&refused), "{refused} of 200 were told that the room is busy");
    let left = || (cluster.descriptors() <= before).then_some(());
    eventually("descriptors are closed", left).await;
}

#[tokio::test]
async fn a_room_refuses_connections_over_its_limit() {
    let cluster = handing_off(&["--max-connections", "5"]).await;
    let (id, _anns) = room(&cluster).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&upgrade(&id)).await;
        assert_eq!(status(&raw.head().await), 101);
        others.push(raw);
    }
    let ask = async || status(&Raw::ask(&cluster.url, &upgrade(&id)).await);
    assert_eq!(ask().await, 429, "one too many");
    others.pop();
    let admitted = async { while ask().await == 429 {} };
    soon("a place that was left is free again", admitted).await;
}

#[tokio::test]
async fn misbehaving_connections_leave_no_descriptors() {
    let cluster = handing_off(&["--header-timeout", "1s", "--connect-timeout", "2s"]).await;
    let (id, mut anns) = room(&cluster).await;
    let process = cluster.process_of(&id).await;
    let open = || (cluster.descriptors(), descriptors(process).len());
    let pool = || (cluster.processes().len() == 2).then(open);
    let before = eventually("the pool", pool).await;
    let line = line(&id);
    for _ in 0..20 {
        for said in ["", "GET /roo", &line[..14], &line, "\0", &upgrade(&id), PAGE] {
            for hangs_up in [false, true] {
                let mut raw = Raw::connect(&cluster.url).await;
                raw.send(said).await;
                if hangs_up {
                    raw.hang_up().await;
                }
            }
        }
    }
    let same = || (open() <= before).then_some(());
    eventually("all are closed", same).await;
    assert_eq!(anns.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));
}
