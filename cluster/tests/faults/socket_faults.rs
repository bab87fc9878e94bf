//! Connections between the public port and a room.

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::common::raw::{Raw, http, path_of, status, websocket};
use crate::faults::fault_test::FaultTest;

const PAGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub async fn all(test: &mut FaultTest) {
    let must = "a connection whose room dies between handoff and upgrade ends at once";
    let inject = async |test: &mut FaultTest| {
        let group = test.victims();
        let request = websocket(&path_of(&group.room), &[]);
        let mut half = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::connect(&test.cluster.url).await;
            raw.send(&request[..60]).await;
            half.push(raw);
        }
        // The room has answered a later request.
        let process = group.process().await;
        kill_process(process, Signal::KILL).expect("it runs");
        for mut raw in half {
            raw.send(&request[60..]).await;
            let answer = raw.rest().await;
            assert!([0, 404, 503].contains(&status(&answer)), "{answer}");
        }
        test.are_back(group, "crashed", json!({})).await;
    };
    test.fault(must, inject).await;

    let must = "a request line may be split anywhere";
    let inject = async |test: &mut FaultTest| {
        let request = websocket(&path_of(&test.group().room), &[]);
        let line = request.find('\r').expect("a line");
        for cut in 1..=line {
            let mut raw = Raw::connect(&test.cluster.url).await;
            raw.send(&request[..cut]).await;
            tokio::task::yield_now().await;
            raw.send(&request[cut..]).await;
            assert_eq!(status(&raw.head().await), 101, "cut at {cut}");
        }
    };
    test.fault(must, inject).await;

    let must = "pipelined data after a request for a room is refused";
    let inject = async |test: &mut FaultTest| {
        let request = websocket(&path_of(&test.group().room), &[]);
        for pipelined in [format!("{request}{PAGE}"), format!("{request}{request}")] {
            let answers = Raw::ask(&test.cluster.url, &pipelined).await;
            assert_eq!(status(&answers), 400, "{answers}");
            assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
        }
    };
    test.fault(must, inject).await;

    let must = "a request that is too long is refused by the lobby and by a room";
    let inject = async |test: &mut FaultTest| {
        let path = path_of(&test.group().room);
        let long = "x".repeat(1 << 20);
        for request in [
            websocket(&format!("{path}/{long}"), &[]),
            websocket(&path, &[("Cookie", &long)]),
            websocket("/socket.io", &[("Cookie", &long)]),
            format!("GET /{long}"),
        ] {
            let answer = Raw::ask(&test.cluster.url, &request).await;
            assert!([0, 400, 431].contains(&status(&answer)), "{answer}");
        }
    };
    test.fault(must, inject).await;

    let must = "a path that names no room is not found, and plain HTTP to a room's path is refused";
    let inject = async |test: &mut FaultTest| {
        let room = path_of(&test.group().room);
        for (path, expected) in [
            ("/rooms/9999/socket.io/", 404),
            ("/rooms/x/socket.io/", 404),
            ("/rooms/0/", 404),
            (&*format!("{room}/"), 400),
            (&*format!("{room}/?EIO=4&transport=polling"), 400),
        ] {
            let (status, answer) = http(&test.cluster.url, "GET", path, &[]).await;
            assert_eq!(status, expected, "{path}: {answer}");
        }
    };
    test.fault(must, inject).await;
}
