//! Hundreds of connections that send random packets to the lobby and to a room. A seed makes them
//! reproducible; a failure names it.

use cluster::testing::{TestPlayer, descriptors, eventually, soon};
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::common::raw::{Raw, websocket};
use crate::common::start_game;

/// Connections at once, and rounds.
const CROWD: u64 = 20;
const ROUNDS: u64 = 10;

/// Packets, before they are mutated.
const PACKETS: &[&str] = &[
    "40",
    "40{}",
    r#"40{"token":"a.b.c"}"#,
    r#"40{"ticket":"0"}"#,
    "40/,{}",
    "40/admin,{}",
    "41",
    "42[]",
    r#"42["list"]"#,
    r#"42["hooks",null]"#,
    r#"42["echo",{"n":1}]"#,
    r#"427["echo",{"n":18446744073709551615}]"#,
    r#"4299999999999999999999["echo",{"n":1}]"#,
    r#"42/admin,["echo",{"n":1}]"#,
    r#"421["register",{"name":"Fuzz"}]"#,
    r#"42["logout",{"token":"a.b.c"}]"#,
    r#"42["leave_room"]"#,
    r#"42["watch_rooms"]"#,
    r#"42["welcome",{"a":[1,2.5e3,"\u0000\ud83e\udd80",true,null]}]"#,
    r#"431[{"ok":{}}]"#,
    r#"44{"message":"no"}"#,
    r#"450-["binary"]"#,
    r#"451-["binary",{"_placeholder":true,"num":0}]"#,
    r#"4518446744073709551615-["binary",{"_placeholder":true,"num":9}]"#,
    r#"461-1[{"_placeholder":true,"num":0}]"#,
    "0",
    "1",
    "2",
    "2probe",
    "3",
    "4",
    "5",
    "6",
    "bAAAA",
    "",
];

#[tokio::test]
async fn random_connections_disturb_nobody_and_leave_nothing_behind() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut anns = ann.enter("create", json!({ "capacity": 1 + CROWD })).await;
    let room = anns.event("joined").await["room"].take();
    let process = cluster.process_of(&room).await;
    let mut guests = join_all((0..CROWD).map(async |_| cluster.player("Guest").await)).await;
    let before = (cluster.descriptors(), descriptors(process).len());

    for round in 0..ROUNDS {
        let speak = guests.iter_mut().enumerate().map(async |(n, guest)| {
            let seed = round * CROWD + n as u64;
            let mut chance = Chance(seed);
            println!("seed {seed}");
            talk(&cluster.url, "/socket.io", None, &mut chance).await;
            let seat = guest.seat("join", json!({ "room": room })).await;
            let path = seat["path"].as_str().expect("a path");
            talk(&cluster.url, path, Some(&seat["ticket"]), &mut chance).await;
        });
        let play = async {
            for n in 0..20 {
                assert_eq!(anns.ask("echo", json!({ "n": n })).await, Ok(json!(n)));
            }
        };
        tokio::join!(join_all(speak), play);
        // A client whose packets were invalid may still have a ticket.
        join_all(guests.iter_mut().map(async |guest| give_up(guest).await)).await;
    }

    let about = json!({ "room": room });
    let alone = |room: &Value| room["players"] == 1;
    guests[0].ask_until("about", about, alone).await;
    let same = || (cluster.descriptors(), descriptors(process).len());
    eventually("as many descriptors as before", || (same() == before).then_some(())).await;
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert!(!cluster.text().contains("panicked"), "nothing is worth a panic");
}

/// Gives up a seat that was not taken.
async fn give_up(guest: &mut TestPlayer) {
    guest.ask("leave_room", json!({})).await.expect("in the lobby");
}

/// One connection, from beginning to end.
async fn talk(url: &str, path: &str, ticket: Option<&Value>, chance: &mut Chance) {
    if chance.one_of(4) {
        return talk_below_websocket(url, path, chance).await;
    }
    let address = url.replace("http", "ws") + path + "/?EIO=4&transport=websocket";
    let (mut stream, _) = soon("a websocket", connect_async(address)).await.expect("anyone may");
    // After a valid handshake more packets are read.
    if !chance.one_of(4) {
        let auth = ticket.map_or(json!({}), |ticket| json!({ "ticket": ticket }));
        let _ = stream.send(Message::text(format!("40{auth}"))).await;
    }
    for _ in 0..chance.below(12) {
        let bytes = chance.packet();
        let message = match chance.below(8) {
            0 => Message::binary(bytes),
            1 => Message::Ping(bytes.into_iter().take(100).collect::<Vec<_>>().into()),
            _ => Message::text(String::from_utf8_lossy(&bytes).into_owned()),
        };
        let _ = stream.send(message).await;
    }
    if chance.one_of(3) {
        return; // without a close frame
    }
    let _ = stream.close(None).await;
    soon("the end", async { while let Some(Ok(_)) = stream.next().await {} }).await;
}

/// The same with invalid websocket frames.
async fn talk_below_websocket(url: &str, path: &str, chance: &mut Chance) {
    let mut raw = Raw::connect(url).await;
    let mut request = websocket(path, &[]).into_bytes();
    if chance.one_of(2) {
        chance.change(&mut request);
    }
    raw.send_bytes(&request).await;
    for _ in 0..chance.below(4) {
        let noise: Vec<u8> = (0..chance.below(300)).map(|_| chance.below(256) as u8).collect();
        raw.send_bytes(&noise).await;
    }
    raw.hang_up().await;
    raw.rest().await;
}

/// Pseudorandom numbers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }

    /// True once in `times` calls on average.
    fn one_of(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn packet(&mut self) -> Vec<u8> {
        let packet = PACKETS[self.below(PACKETS.len() as u64) as usize];
        let mut bytes = packet.as_bytes().to_vec();
        if self.one_of(20) {
            bytes.extend(b"[".repeat(self.below(60_000) as usize));
        }
        if !self.one_of(3) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() as u64 + 1) as usize;
            let end = (at + self.below(9) as usize).min(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                3 => bytes.insert(at, self.below(256) as u8),
                _ => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1),
            }
        }
    }
}
