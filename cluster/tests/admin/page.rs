//! What the page at `--admin` asks for: with the token alone, and each act in the log.

use std::fs;
use std::time::Duration;

use cluster::testing::{TestFolder, eventually, soon};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::admin::{admin, ask};
use crate::common::start_game;

const TOKEN: &str = "a-token-of-22-letters";
const ROUTES: [(&str, &str); 6] = [
    ("GET", "/state"),
    ("GET", "/rooms/1/log"),
    ("POST", "/rooms/1/close"),
    ("POST", "/rooms/1/kill"),
    ("POST", "/players/x/kick"),
    ("POST", "/drain"),
];

#[tokio::test]
async fn without_the_token_nothing_is_shown_and_nothing_happens() {
    let folder = TestFolder::new();
    let file = folder.path().join("token");
    fs::write(&file, TOKEN).expect("a file");
    let file = file.display().to_string();
    let flags = ["--admin", "127.0.0.1:0", "--admin-token-file", &file];
    let cluster = start_game(&flags).await;
    let admin = admin(&cluster).await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    anns.event("joined").await;
    for path in ["/", "/admin.js"] {
        assert_eq!(ask(&admin, "GET", path, "").0, 200, "{path}");
    }
    for (method, path) in ROUTES {
        assert_eq!(ask(&admin, method, path, "").0, 401, "{path}");
    }
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    // Too many wrong ones: the right one has to wait.
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let waiting = || (ask(&admin, "GET", "/state", &right).0 == 200).then_some(());
    eventually("the right token's turn", waiting).await;
}

#[tokio::test]
async fn pages_of_other_sites_cannot_act() {
    let cluster = start_game(&["--admin", "127.0.0.1:0"]).await;
    let admin = admin(&cluster).await;
    let mut anns = cluster.player("Ann").await.enter("create", json!({})).await;
    anns.event("joined").await;
    for headers in ["Origin: https://example.org\r\n", "Origin: null\r\n"] {
        for (method, path) in ROUTES {
            assert_eq!(ask(&admin, method, path, headers).0, 403, "{path}");
        }
    }
    assert_eq!(anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn the_state_has_each_room_and_each_player() {
    let cluster = start_game(&["--admin", "127.0.0.1:0", "--heartbeat", "100ms"]).await;
    let admin = admin(&cluster).await;
    let (mut ann, bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns =
        ann.enter("create", json!({ "capacity": 5, "private": true, "hosted": true })).await;
    anns.event("joined").await;
    // The lobby may hear of that a moment later.
    anns.ask("tell_lobby", json!({ "text": "here" })).await.expect("a message");
    cluster.logged("said").await;
    let state = || -> Value {
        let (status, text) = ask(&admin, "GET", "/state", "");
        assert_eq!(status, 200);
        serde_json::from_str(&text).expect("JSON")
    };
    let seen = state();
    let room = &seen["rooms"][0];
    for (name, value) in [
        ("room", json!("1")),
        ("kind", json!("game")),
        ("state", json!("running")),
        ("seats", json!(5)),
        ("private", json!(true)),
        ("locked", json!(false)),
        ("tick_delay_ms", json!(0)),
    ] {
        assert_eq!(room[name], value, "{name}");
    }
    let place = |id: &Value| {
        let players = seen["players"].as_array().expect("a list");
        let player = players.iter().find(|player| player["id"] == *id).expect("the player");
        (player["place"].clone(), player["room"].clone())
    };
    assert_eq!(place(&ann.you["id"]), (json!("room"), json!("1")));
    assert_eq!(place(&bob.you["id"]), (json!("lobby"), Value::Null));
    // A hook that takes long delays the next tick.
    anns.ask("tick_rate", json!({ "hz": 100 })).await.expect("done");
    let late = async {
        loop {
            anns.emit("block", json!({ "ms": 300 }));
            sleep(Duration::from_millis(150)).await;
            if state()["rooms"][0]["tick_delay_ms"].as_u64() >= Some(100) {
                break;
            }
        }
    };
    soon("a late tick", late).await;
}

#[tokio::test]
async fn each_act_is_logged_with_its_address_and_what_is_not_there_is_refused() {
    let cluster = start_game(&["--admin", "127.0.0.1:0"]).await;
    let admin = admin(&cluster).await;
    for path in ["/rooms/7/close", "/rooms/7/kill"] {
        let (status, text) = ask(&admin, "POST", path, "");
        assert!(status == 400 && text.contains("no_such_room"), "{status} {text}");
    }
    assert_eq!(ask(&admin, "GET", "/rooms/7/log", "").0, 404);
    let logged =
        |line: &Value| line["act"] == "/rooms/7/close" && line["message"] == "asked at --admin";
    let line = || cluster.lines().into_iter().find(logged);
    let line = eventually("a line", line).await;
    assert_eq!(line["from"], "this machine");
}
