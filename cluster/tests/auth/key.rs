//! The key is in no room and in no log; what is no key file; two lobbies with one key.

use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use cluster::testing::{TestFolder, TestPlayer, descriptors, soon};
use rustix::process::Signal;
use serde_json::json;

use crate::common::{builder, command, game, start_game};

const SHARED: &str = "another lobby uses this key: they share neither logouts nor seats";

/// Expects a lobby with this key file, and one with this old key file, to refuse it at once.
async fn refuses(path: &Path, because: &str) {
    let folder = TestFolder::new();
    let fine = folder.path().join("lobby.key");
    for (flag, other) in [("--key-file", "--old-key-file"), ("--old-key-file", "--key-file")] {
        let mut lobby = command(game());
        lobby.args(["--port", "0", flag]).arg(path).arg(other).arg(&fine);
        let output = tokio::process::Command::from(lobby).kill_on_drop(true).output();
        let output = soon("the lobby's end", output).await.expect("the program starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(because), "{path:?}: {text}");
        assert!(text.contains(&path.display().to_string()), "{text}");
        // The second one finds the key that the first would have made.
        fs::write(&fine, [7; 32]).expect("our folder");
    }
}

#[tokio::test]
async fn a_key_file_that_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = TestFolder::new();
    let at = |name: &str| folder.path().join(name);
    let made = command("mkfifo").arg(at("pipe")).status().expect("mkfifo");
    assert!(made.success());
    symlink(at("pipe"), at("link")).expect("our folder");
    let _socket = UnixListener::bind(at("socket")).expect("our folder");
    fs::create_dir(at("folder")).expect("our folder");
    for file in [at("pipe"), at("link"), at("socket"), at("folder"), "/dev/zero".into()] {
        refuses(&file, "it is not a regular file").await;
    }
}

#[tokio::test]
async fn an_enormous_key_file_is_refused_and_not_read() {
    let folder = TestFolder::new();
    let path = folder.path().join("enormous");
    File::create(&path).expect("our folder").set_len(1 << 40).expect("a file with a hole");
    refuses(&path, "holds 1099511627776 bytes instead of 32").await;
}

#[tokio::test]
async fn two_lobbies_with_one_key_are_warned_of() {
    let folder = TestFolder::new();
    let first = builder(game()).folder(&folder).start().await;
    let second = builder(game()).folder(&folder).start().await;
    assert_eq!(second.logged(SHARED).await["level"], "WARN");
    assert_eq!(first.count(SHARED), 0);
}

#[tokio::test]
async fn a_restarted_lobby_is_not_warned_of_itself_and_its_rooms() {
    let mut lobby = start_game(&["--pool", "2"]).await;
    for _ in 0..5 {
        let mut client = lobby.player("Ann").await.enter("create", json!({})).await;
        client.ask("fork", json!({})).await.expect("a process");
        lobby = lobby.again().await;
        assert_eq!(lobby.count(SHARED), 0);
    }
}

#[tokio::test]
async fn a_lobby_is_not_warned_of_the_one_before_it_that_still_stops() {
    let folder = TestFolder::new();
    let lobby = builder(game()).folder(&folder).flags(&["--stop-timeout", "10m"]);
    let first = lobby.start().await;
    let clings = json!({ "options": { "clings": true } });
    first.player("Ann").await.enter("create", clings).await.event("joined").await;
    first.signal(Signal::TERM);
    first.logged("on_stop").await;
    let second = builder(game()).folder(&folder).start().await;
    assert_eq!(second.count(SHARED), 0);
}

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
