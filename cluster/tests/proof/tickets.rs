//! Ten thousand simultaneous uses of one ticket; and thousands of guessed tickets.

use cluster::testing::{Client, is_alive, soon};
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::common::start_game;

const USES: usize = 10_000;
/// Connections that are opened at once.
const AT_ONCE: usize = 100;
const GUESSES: usize = 5_000;
/// A room that takes no connection now, or not within a second.
const BUSY: [StatusCode; 2] = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_thousand_simultaneous_uses_of_a_ticket_is_accepted() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum everyone may");
    let flags = [
        ("--max-connections", "12000"),
        ("--connect-timeout", "10m"),
        ("--ticket-ttl", "10m"),
        ("--heartbeat-timeout", "1m"),
        // No connection may time out while ten thousand send at once.
        ("--ping-timeout", "10m"),
    ];
    let cluster = start_game(&flags.map(|(flag, value)| [flag, value]).concat()).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({ "capacity": 3 })).await;
    let process = cluster.process_of(&seat["room"]).await;
    let path = seat["path"].as_str().expect("a path");
    let url = cluster.url.replace("http", "ws") + path + "/?EIO=4&transport=websocket";
    let packet = format!("40{}", json!({ "ticket": seat["ticket"] }));

    let (now, go) = watch::channel(false);
    let mut uses = Vec::new();
    while uses.len() < USES {
        let opening = (0..AT_ONCE).map(|_| soon("a websocket", open(&url)));
        for stream in join_all(opening).await {
            uses.push(tokio::spawn(show(stream, packet.clone(), go.clone())));
        }
    }
    now.send(true).expect("they wait for it");
    let mut admitted = Vec::new();
    for shown in uses {
        match shown.await.expect("no panic") {
            (stream, answer) if answer.starts_with("40") => admitted.push(stream),
            (_, answer) => assert_eq!(answer, r#"44{"message":"bad_ticket"}"#),
        }
    }
    assert_eq!(admitted.len(), 1, "of {USES}");
    assert!(is_alive(process));
    // The room runs on with one player, and accepts others.
    let about = json!({ "room": seat["room"] });
    assert_eq!(ann.ask("about", about.clone()).await.expect("a room")["players"], 1);
    let mut bobs = cluster.player("Bob").await.enter("join", about).await;
    let joined = bobs.event("joined").await;
    assert_eq!(joined["players"].as_array().map(Vec::len), Some(2), "{joined}");
    let census = bobs.ask("census", json!({})).await.expect("a census");
    assert_eq!((&census["joins"], &census["most"]), (&json!(2), &json!(2)), "{census}");
}

type Stream =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A busy room refuses connections: retries until it accepts.
async fn open(url: &str) -> Stream {
    loop {
        match connect_async(url).await {
            Ok((stream, _)) => return stream,
            Err(Error::Http(answer)) if BUSY.contains(&answer.status()) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Presents the ticket when all connections are ready. Returns the connection and the answer.
async fn show(
    mut stream: Stream,
    packet: String,
    mut go: watch::Receiver<bool>,
) -> (Stream, String) {
    let mut has_shown = false;
    loop {
        let text = tokio::select! {
            _ = go.wait_for(|go| *go), if !has_shown => {
                has_shown = true;
                packet.clone()
            }
            frame = stream.next() => {
                let frame = frame.expect("it is answered").expect("a good frame");
                match frame.to_text().expect("text") {
                    "2" => "3".to_owned(),
                    text if text.starts_with('0') => continue,
                    text => return (stream, text.to_owned()),
                }
            }
        };
        stream.send(Message::text(text)).await.expect("it listens");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_guessed_tickets_are_refused_and_counted() {
    let cluster = start_game(&["--ticket-ttl", "10m"]).await;
    let mut ann = cluster.player("Ann").await;
    let seat = ann.seat("create", json!({})).await;
    for n in 0..GUESSES {
        let guess = format!("{n:032x}");
        let shown = json!({ "url": seat["url"], "path": seat["path"], "ticket": guess });
        assert_eq!(Client::redeem(&shown).await.err().as_deref(), Some("bad_ticket"), "{guess}");
    }
    for count in [1, 10, 100, 1000] {
        cluster.logged(&format!("invalid tickets count={count}")).await;
    }
    Client::redeem(&seat).await.expect("still good").event("joined").await;
}
