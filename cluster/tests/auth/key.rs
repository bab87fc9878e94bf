//! The key is in no room and in no log.

use std::fs;

use cluster::testing::{TestPlayer, descriptors};
use serde_json::json;

use crate::common::start_game;

#[tokio::test]
async fn the_key_is_in_no_room_and_in_no_log() {
    let cluster = start_game(&["--pool", "2"]).await;
    let file = cluster.key_file();
    let key = fs::read(&file).expect("a key");
    // Also a room that crashes, as more of it is logged.
    let mut ann = cluster.player("Ann").await;
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bob = cluster.player("Bob").await;
    let dead = bob.ask("open", json!({})).await.expect("a room");
    bob.lobby().event("ready").await;
    cluster.signal_room(&dead, rustix::process::Signal::KILL).await;
    bob.lobby().event("exited").await;
    let empty = bob.ask("open", json!({})).await.expect("a room");
    bob.lobby().event_where("ready", |news| news["room"] == empty).await;
    let bad = json!({ "token": format!("{}x", bob.token) });
    assert_eq!(bob.ask("logout", bad).await, Err("bad_token".into()));

    let log = cluster.text();
    for (what, text) in written(&key) {
        assert!(!log.contains(&text), "the log has the key as {what}");
    }
    for TestPlayer { token, .. } in [&ann, &bob] {
        assert!(!log.contains(token.as_str()), "the log has a token");
    }
    if cfg!(target_os = "linux") {
        for room in [&room, &empty] {
            let room = cluster.process_of(room).await;
            let of = |name| {
                let file = format!("/proc/{}/{name}", room.as_raw_nonzero());
                fs::read(file).expect("a process that runs")
            };
            for (name, told) in [("cmdline", of("cmdline")), ("environ", of("environ"))] {
                let holds = |part: &[u8]| told.windows(part.len()).any(|window| window == part);
                assert!(!holds(&key), "{name} of a room");
                for (what, text) in written(&key) {
                    assert!(!holds(text.as_bytes()), "{name} of a room has the key as {what}");
                }
            }
            let open = descriptors(room);
            assert!(!open.contains(&file.display().to_string()), "{open:?}");
        }
    }
}

/// The key in common encodings.
fn written(key: &[u8]) -> Vec<(&'static str, String)> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("hexadecimal in capitals", hex.to_uppercase()),
        ("hexadecimal", hex),
        ("a list", format!("{key:?}").trim_matches(['[', ']']).to_owned()),
        ("escaped bytes", key.escape_ascii().to_string()),
        // Without the end, which may be padded.
        ("base64", base64(key, b"+/")),
        ("base64 for addresses", base64(key, b"-_")),
    ]
}

/// The part that needs no padding.
fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9');
    let alphabet: Vec<u8> = letters.chain(*last).collect();
    let digits = bytes.chunks_exact(3).flat_map(|three| {
        let bits = three.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(alphabet[bits >> shift & 63]))
    });
    digits.collect()
}
