//! Faults of clients: silence, floods, and connections that are lost at a bad moment.

use std::time::{Duration, Instant};

use cluster::testing::{Client, soon};
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::ONE_AT_A_TIME;
use crate::common::raw::{Raw, path_of, status, websocket};
use crate::faults::fault_test::{FaultTest, run_with_faults};
use crate::faults::socket_faults;

/// A client that answers no pings is disconnected within this time.
const GHOST_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_client_harm_nobody_else() {
    let _turn = ONE_AT_A_TIME.lock().await;
    run_with_faults(&["--ticket-ttl", "6s"], async |test| {
        silence(test).await;
        floods(test).await;
        ghosts(test).await;
        drops_on_the_way(test).await;
        twice(test).await;
        socket_faults::all(test).await;
    })
    .await;
}

async fn silence(test: &mut FaultTest) {
    let must = "half a header, or a websocket, and then silence: cut off, and delays nobody";
    let inject = async |test: &mut FaultTest| {
        let room = path_of(&test.group().room);
        let mut silent = Vec::new();
        for path in ["/socket.io", &room] {
            let whole = websocket(path, &[]);
            for part in ["", "GET /roo", &whole[..30], &whole[..whole.len() - 4], &whole] {
                for _ in 0..10 {
                    let mut raw = Raw::connect(&test.cluster.url).await;
                    raw.send(part).await;
                    silent.push(raw);
                }
            }
        }
        // A complete request was answered with a first packet.
        for mut raw in silent {
            let said = raw.rest().await;
            assert!([0, 101, 408].contains(&status(&said)), "{said}");
        }
    };
    test.fault(must, inject).await;
    let must = "a client may stay connected without registering, and gets nothing else";
    let inject = async |test: &mut FaultTest| {
        let mut visitors = join_all((0..100).map(async |_| test.cluster.visitor().await)).await;
        let asked = visitors.iter_mut().map(async |visitor| visitor.ask("list", json!({})).await);
        for answer in join_all(asked).await {
            assert_eq!(answer, Err("not_registered".into()));
        }
    };
    test.fault(must, inject).await;
}

async fn floods(test: &mut FaultTest) {
    let must = "a client that floods is throttled and soon disconnected, and others are answered";
    let inject = async |test: &mut FaultTest| {
        let mut ann = test.cluster.player("Ann").await;
        (0..20_000).for_each(|_| ann.lobby().emit("list", json!({})));
        let mut bob = test.cluster.player("Bob").await;
        let mut bobs = bob.enter("join", json!({ "room": test.group().room })).await;
        (0..20_000).for_each(|n| bobs.emit("later", json!({ "n": n })));
        test.boss.ask("list", json!({})).await.expect("the rooms");
        // Both are disconnected and can return.
        ann.lobby().end().await;
        bobs.end().await;
        for player in [&mut ann, &mut bob] {
            player.back().await;
            player.ask("list", json!({})).await.expect("the rooms");
        }
    };
    test.fault(must, inject).await;
    let must = "a message of 70 kB is refused; one of 60 MB ends its own connection";
    let inject = async |test: &mut FaultTest| {
        let text = "x".repeat(70_000);
        let mut ann = test.cluster.player("Ann").await;
        let mut visitor = test.cluster.visitor().await;
        let room = test.group().room.clone();
        let mut anns = ann.enter("join", json!({ "room": room })).await;
        for (client, event) in [(&mut visitor, "register"), (&mut anns, "print")] {
            let data = json!({ "name": text, "text": text });
            assert_eq!(client.ask(event, data).await, Err("too_large".into()));
        }
        drop(anns);
        ann.back().await;
        for path in ["/socket.io", &path_of(&room)] {
            let mut raw = Raw::connect(&test.cluster.url).await;
            raw.send(&websocket(path, &[])).await;
            assert_eq!(status(&raw.head().await), 101);
            // A masked text frame of this length.
            raw.send_bytes(&[&[0x81, 0xff][..], &60_000_000_u64.to_be_bytes(), &[0; 4]].concat())
                .await;
            raw.send_all_that_is_taken().await;
            raw.rest().await;
        }
    };
    test.fault(must, inject).await;
}

/// Joins the room, then answers no pings.
async fn fall_silent(reroute: &Value) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let url = reroute["url"].as_str().expect("a url").trim_start_matches("http");
    let path = reroute["path"].as_str().expect("a path");
    let address = format!("ws{url}{path}/?EIO=4&transport=websocket");
    let (mut stream, _) = connect_async(address).await.expect("a room");
    let ticket = json!({ "ticket": reroute["ticket"] });
    stream.send(Message::text(format!("40{ticket}"))).await.expect("it listens");
    let joined = async {
        while let Some(Ok(message)) = stream.next().await {
            if message.to_text().is_ok_and(|text| text.starts_with(r#"42["joined""#)) {
                return;
            }
        }
        panic!("not joined");
    };
    soon("joined", joined).await;
    stream
}

async fn ghosts(test: &mut FaultTest) {
    let must = "a client that goes silent or stops reading is disconnected within ten seconds";
    let inject = async |test: &mut FaultTest| {
        let rooms = [test.group().room.clone(), test.last_group().room.clone()];
        let mut silent = Vec::new();
        for room in &rooms {
            let mut ann = test.cluster.player("Ann").await;
            let reroute = ann.seat("join", json!({ "room": room })).await;
            silent.push(fall_silent(&reroute).await);
        }
        let since = Instant::now();
        let mut left = rooms.to_vec();
        while !left.is_empty() {
            // Far more than the kernel buffers for a client that does not read.
            test.group().emit("bytes", json!({ "n": 50_000 }));
            sleep(Duration::from_millis(50)).await;
            for room in std::mem::take(&mut left) {
                let about = test.boss.ask("about", json!({ "room": room })).await;
                match about.expect("its room")["players"].as_u64() {
                    Some(10) => test.notes.push(format!("one gone after {:.1?}", since.elapsed())),
                    _ => left.push(room),
                }
            }
            assert!(since.elapsed() < GHOST_TIMEOUT, "still seated in {left:?}");
        }
    };
    test.fault(must, inject).await;
}

/// How far the client gets between `reroute` and `joined`.
#[derive(Clone, Copy, Debug)]
enum Step {
    Nowhere,
    Connected,
    HalfAsked,
    Asked,
    Upgraded,
    Opened,
    ShownTicket,
}

async fn drops_on_the_way(test: &mut FaultTest) {
    use Step::{Asked, Connected, HalfAsked, Nowhere, Opened, ShownTicket, Upgraded};
    let must = "a client lost at any step between reroute and joined leaves no seat taken";
    let inject = async |test: &mut FaultTest| {
        let new = json!({ "capacity": 70, "options": { "quiet": true } });
        let room = test.boss.ask("open", new).await.expect("a room");
        let steps = [Nowhere, Connected, HalfAsked, Asked, Upgraded, Opened, ShownTicket];
        let lose = async |step| {
            let mut ann = test.cluster.player("Ann").await;
            let reroute = ann.seat("join", json!({ "room": room })).await;
            drop(ann.lobby.take());
            go_as_far_as(step, &reroute).await;
        };
        join_all(steps.into_iter().cycle().take(70).map(lose)).await;
        let since = Instant::now();
        let about = json!({ "room": room });
        test.boss.ask_until("about", about, |about| about["players"] == 0).await;
        test.notes.push(format!("70 seats free after {:.1?}", since.elapsed()));
        test.boss.ask("close", json!({ "room": room })).await.expect("its room");
    };
    test.fault(must, inject).await;
}

async fn go_as_far_as(step: Step, reroute: &Value) {
    let (url, path) = (reroute["url"].as_str().expect("a url"), reroute["path"].as_str());
    let request = websocket(path.expect("a path"), &[]);
    if matches!(step, Step::Nowhere) {
        return;
    }
    let mut raw = Raw::connect(url).await;
    match step {
        Step::Nowhere | Step::Connected => {}
        Step::HalfAsked => raw.send(&request[..request.len() / 2]).await,
        Step::Asked => raw.send(&request).await,
        Step::Upgraded => {
            raw.send(&request).await;
            assert_eq!(status(&raw.head().await), 101);
        }
        Step::Opened | Step::ShownTicket => {
            raw.send(&request).await;
            assert_eq!(status(&raw.head().await), 101);
            assert!(raw.body(3).await.ends_with('0'), "Engine.IO's first packet");
            if matches!(step, Step::ShownTicket) {
                let text = format!("40{}", json!({ "ticket": reroute["ticket"] }));
                raw.send_bytes(&frame(&text)).await;
            }
        }
    }
}

/// A websocket text frame, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
    let head = [0x81, 0x80 | length.expect("a short text"), 0, 0, 0, 0];
    [&head, text.as_bytes()].concat()
}

async fn twice(test: &mut FaultTest) {
    let must = "of one player's two tabs the newer one plays, and the older one is told";
    let inject = async |test: &mut FaultTest| {
        let mut ann = test.cluster.player("Ann").await;
        let mut first = ann.enter("join", json!({ "room": test.group().room })).await;
        // The lobby reroutes the player, as they have a seat.
        ann.back().await;
        let reroute = ann.rerouted().await;
        let mut second = ann.take(&reroute).await;
        assert_eq!(first.event("refused").await["code"], "replaced");
        assert!(first.end().await);
        assert_eq!(second.ask("later", json!({ "n": 1 })).await, Ok(json!(1)));
        second.leave().await;
    };
    test.fault(must, inject).await;
    let must = "a client that reconnects again and again is refused or served, as the same player";
    let inject = async |test: &mut FaultTest| {
        let mut ann = test.cluster.player("Ann").await;
        let mut served = 0;
        for _ in 0..300 {
            let auth = json!({ "token": ann.token });
            if let Ok(mut client) = Client::connect(&test.cluster.url, auth).await {
                served += usize::from(client.try_event("welcome").await.is_some());
            }
        }
        test.notes.push(format!("{served} of 300 welcomed"));
        // The refusals end soon.
        let again = async {
            loop {
                let auth = json!({ "token": ann.token });
                match Client::connect(&test.cluster.url, auth).await {
                    Ok(mut client) => return client.event("welcome").await,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        assert_eq!(soon("a welcome", again).await["you"], ann.you);
        drop(ann.lobby.take());
    };
    test.fault(must, inject).await;
}
