//! Host and Origin checks, in the lobby and on each way to a room.

use cluster::testing::LobbyProcess;
use serde_json::json;

use crate::common::raw::{Raw, http, status, websocket};
use crate::common::start_game;
use crate::routing::relay::handing_off;

/// Headers of a request, and the status of the lobby's and of a room's answer.
type Case = (&'static [(&'static str, &'static str)], u16, u16);

/// Opens a websocket with each of these headers, in the lobby and in a room. `OURS` stands for the
/// lobby's authority, `HERE` for the one that is connected to.
async fn websockets_are_answered(cluster: LobbyProcess, cases: &[Case]) {
    let seat = cluster.player("Ann").await.seat("create", json!({})).await;
    let text = |field: &str| seat[field].as_str().expect("text").to_owned();
    let ours = cluster.url.trim_start_matches("http://");
    for (headers, by_lobby, by_room) in cases {
        let lobby = (cluster.url.clone(), "/socket.io".to_owned(), *by_lobby);
        for (url, path, expected) in [lobby, (text("url"), text("path"), *by_room)] {
            let here = url.trim_start_matches("http://");
            let fill = |text: &str| text.replace("OURS", ours).replace("HERE", here);
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, fill(value))).collect();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut raw = Raw::connect(&url).await;
            raw.send(&websocket(&path, &headers)).await;
            let answer = raw.head().await;
            assert_eq!(status(&answer), expected, "{path} {headers:?}: {answer}");
        }
    }
}

/// Cases with the same result in lobby and rooms, by handoff and by relay.
const ALWAYS: [Case; 12] = [
    (&[], 101, 101),
    (&[("Host", "HERE"), ("Origin", "http://OURS")], 101, 101),
    (&[("Host", "localhost"), ("Origin", "http://localhost")], 101, 101),
    (&[("Host", "192.168.1.7:3000"), ("Origin", "http://192.168.1.7:3000")], 101, 101),
    (&[("Host", "[::1]:3000"), ("Origin", "http://[::1]:3000")], 101, 101),
    (&[("Host", "HERE"), ("Origin", "http://localhost:3000")], 403, 403),
    (&[("Host", "HERE"), ("Origin", "https://evil.example")], 403, 403),
    (&[("Host", "HERE"), ("Origin", "null")], 403, 403),
    (&[("Host", "evil.example")], 403, 403),
    (&[("Host", "evil.example"), ("Origin", "http://evil.example")], 403, 403),
    (&[("Host", "HERE"), ("Host", "evil.example")], 403, 403),
    (&[("Host", "HERE"), ("Origin", "http://127.0.0.1:1")], 403, 403),
];

#[tokio::test]
async fn other_origins_and_hosts_are_refused_by_the_lobby_and_by_rooms_after_a_handoff() {
    websockets_are_answered(handing_off(&[]).await, &ALWAYS).await;
}

#[tokio::test]
async fn other_origins_and_hosts_are_refused_over_relayed_connections() {
    websockets_are_answered(start_game(&["--no-handoff"]).await, &ALWAYS).await;
}

#[tokio::test]
async fn allowed_origins_may_connect_to_lobby_and_rooms_and_frame_the_page() {
    let allowed = "https://example.org,http://friend.example.com:8080,capacitor://localhost";
    let flags = ["--allow-origin", allowed];
    let cluster = handing_off(&flags).await;
    let (_, answer) = http(&cluster.url, "GET", "/", &[]).await;
    let frames = "frame-ancestors 'self' https://example.org http://friend.example.com:8080 capacitor://localhost\r\n";
    assert!(answer.contains(frames), "{answer}");
    let cases: &[Case] = &[
        (&[("Host", "HERE"), ("Origin", "https://example.org")], 101, 101),
        (&[("Host", "example.org"), ("Origin", "https://example.org")], 101, 101),
        (&[("Host", "HERE"), ("Origin", "http://friend.example.com:8080")], 101, 101),
        (&[("Host", "HERE"), ("Origin", "capacitor://localhost")], 101, 101),
        (&[("Host", "HERE"), ("Origin", "ionic://localhost")], 403, 403),
        (&[("Host", "HERE"), ("Origin", "http://example.org")], 403, 403),
        (&[("Host", "HERE"), ("Origin", "http://friend.example.com")], 403, 403),
        (&[("Host", "HERE"), ("Origin", "https://other.example.org")], 403, 403),
    ];
    websockets_are_answered(cluster, cases).await;
}

#[tokio::test]
async fn a_refusal_says_why_and_what_to_do() {
    let cluster = start_game(&[]).await;
    let ask = async |request: &str| {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(&request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        raw.rest().await
    };
    let refusals = [
        ("GET / HTTP/1.1\r\nHost: play.example.org\r\n\r\n", "--public-url or --allow-origin"),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://example.org\r\n\r\n",
            "pages of this origin may not connect: start the lobby with --allow-origin",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "a Host header is needed"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "must not occur twice"),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "target and its Host header differ",
        ),
    ];
    for (request, why) in refusals {
        let answer = ask(request).await;
        assert!(status(&answer) == 403 && answer.contains(why), "{request}: {answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
    }
    for good in [
        "GET /dev HTTP/1.0\r\nHost: localhost\r\n\r\n",
        "GET http://LOCALHOST/dev HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        assert_eq!(status(&ask(good).await), 200, "{good}");
    }
}
