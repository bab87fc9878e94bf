//! What hooks learn about those who register and arrive: the address and the headers of the page,
//! the account, and the seat that is kept for them.

use cluster::testing::{TestPlayer, free_port};
use serde_json::{Value, json};

use crate::common::raw::{Raw, websocket};
use crate::common::{enter_arena, start_features};

/// What `on_arrive` was called with for this player, oldest first, when there are so many calls.
async fn arrivals(boss: &mut TestPlayer, name: &str, count: usize) -> Vec<Value> {
    let of = |calls: &Value| -> Vec<Value> {
        let calls = calls.as_array().expect("a list").iter();
        let arrivals = calls.filter(|call| call["hook"] == "on_arrive");
        arrivals.filter(|call| call["player"]["name"] == name).cloned().collect()
    };
    boss.ask_until("calls", json!({}), |calls| of(calls).len() >= count).await;
    of(&boss.ask("calls", json!({})).await.expect("a list"))
}

/// Registers as a browser with these headers, some of which a proxy may have added.
async fn register(url: &str, name: &str, headers: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::connect(url).await;
    raw.send(&websocket("/socket.io", headers)).await;
    raw.until("\r\n\r\n").await;
    raw.send_frame("40").await;
    raw.until("welcome").await;
    raw.send_frame(&format!("421{}", json!(["register", { "name": name }]))).await;
    raw.until("token").await;
    raw
}

#[tokio::test]
async fn on_register_gets_the_headers_and_the_address_that_a_proxy_adds() {
    // The log has only the public address, so the test chooses the port.
    let port = free_port().to_string();
    let here = format!("http://127.0.0.1:{port}");
    let public = ["--port", &port, "--public-url", "https://play.example.org"];
    let flags = [&public[..], &["--client-address-header", "x-forwarded-for"]].concat();
    let _lobby = start_features(&flags).await;
    let mut boss = TestPlayer::register(&here, "Boss").await;
    let headers = [
        ("Host", "play.example.org"),
        ("Origin", "https://play.example.org"),
        ("X-Forwarded-For", "203.0.113.9, 198.51.100.7"),
        ("Cookie", "session=7"),
        ("Accept-Language", "de"),
    ];
    let _raw = register(&here, "Ann", &headers).await;
    let account = arrivals(&mut boss, "Ann", 1).await[0]["account"].take();
    let expected = json!({
        "email": null, "address": "198.51.100.7", "cookie": "session=7", "language": "de",
    });
    assert_eq!(account, expected);
    let account = arrivals(&mut boss, "Boss", 1).await[0]["account"].take();
    assert_eq!(account["address"], Value::Null, "this machine itself");
}

#[tokio::test]
async fn a_header_of_the_visitor_s_own_does_not_change_their_address() {
    let lobby = start_features(&[]).await;
    let mut boss = lobby.player("Boss").await;
    let headers = [("X-Forwarded-For", "198.51.100.7")];
    let _raw = register(&lobby.url, "Ann", &headers).await;
    let account = arrivals(&mut boss, "Ann", 1).await[0]["account"].take();
    assert_eq!(account["address"], Value::Null);
}

#[tokio::test]
async fn the_account_reaches_on_arrive_once() {
    let lobby = start_features(&[]).await;
    let mut boss = lobby.player("Boss").await;
    let form = json!({ "id": "ann", "name": "Ann", "email": "ann@example.org" });
    let mut ann = lobby.player_as(form.clone()).await;
    ann.lobby.take().expect("in the lobby").leave().await;
    ann.back().await;
    ann.lobby.take().expect("in the lobby").leave().await;
    // And again at each registration.
    let _again = lobby.player_as(form).await;
    let calls = arrivals(&mut boss, "Ann", 3).await;
    let email = |call: &Value| call["account"]["email"].clone();
    assert_eq!(
        calls.iter().map(email).collect::<Vec<_>>(),
        [json!("ann@example.org"), Value::Null, json!("ann@example.org"),]
    );
    assert_eq!(calls[1]["account"], Value::Null);
}

#[tokio::test]
async fn a_player_arrives_with_the_seat_that_is_kept_for_them() {
    let lobby = start_features(&[]).await;
    let (mut boss, mut ann) = (lobby.player("Boss").await, lobby.player("Ann").await);
    let (room, anns) = enter_arena(&mut ann, json!({ "grace_ms": 60_000 })).await;
    drop(anns);
    ann.back().await;
    let reroute = ann.rerouted().await;
    let anns = ann.take(&reroute).await;
    anns.leave().await;
    ann.back().await;
    let calls = arrivals(&mut boss, "Ann", 3).await;
    let how: Vec<_> = calls.iter().map(|call| [&call["seat"], &call["returned"]]).collect();
    let dropped = json!([room, "dropped"]);
    let left = json!([room, "left"]);
    assert_eq!(how, [[&Value::Null; 2], [&room, &dropped], [&Value::Null, &left]]);
}
