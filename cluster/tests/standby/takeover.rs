//! Lobbies that stand by, and take over.

use std::time::{Duration, Instant};

use cluster::testing::{Client, TestFolder};
use rustix::process::Signal;
use serde_json::json;

use super::nats::{Lobby, Nats, Proxy, assert_undisturbed, host, in_a_room};
use crate::common::raw;

#[tokio::test]
async fn a_lobby_that_stands_by_takes_over_from_one_that_is_killed_with_all_that_it_knew() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let mut a = Lobby::start(&folder, "a", &nats.urls(), &host.link).await;
    a.is_active().await;
    let b = Lobby::start(&folder, "b", &nats.urls(), &host.link).await;
    assert_eq!(raw::http(&b.url, "GET", "/readyz", &[]).await.0, 503);
    assert_eq!(raw::http(&b.url, "GET", "/healthz", &[]).await.0, 200);
    assert_eq!(raw::http(&b.url, "GET", "/", &[]).await.0, 503);
    let mut boss = a.player("Boss").await;
    let (bob, cy, dee) = (a.player("Bob").await, a.player("Cy").await, a.player("Dee").await);
    let mut dee_again = a.player("Dee").await;
    boss.ask("ban", json!({ "player": bob.you["id"], "reason": "Not you." })).await.expect("done");
    let ban = json!({ "player": cy.you["id"], "reason": "Nor you." });
    boss.ask("ban", ban).await.expect("done");
    boss.ask("unban", json!({ "player": cy.you["id"] })).await.expect("done");
    let token = dee.token.clone();
    dee_again.ask("logout", json!({ "token": token })).await.expect("logged out");
    // This takes longer than to write down what has changed.
    let (mut ann, mut anns) = in_a_room(&a, &host, "Ann").await;
    let before = boss.ask("list", json!({})).await.expect("a list");

    a.signal(Signal::KILL);
    a.ended().await;
    let killed = Instant::now();
    b.is_active().await;
    println!("active after {:?}", killed.elapsed());
    assert_eq!(raw::http(&b.url, "GET", "/readyz", &[]).await.0, 200);
    assert_undisturbed(&mut anns).await;
    let hello = async |token: &str| {
        Client::connect(&b.url, json!({ "token": token })).await.expect("anyone may connect")
    };
    assert_eq!(hello(&bob.token).await.event("refused").await["code"], "banned");
    assert_eq!(hello(&cy.token).await.event("welcome").await["you"], cy.you);
    assert_eq!(hello(&token).await.event("welcome").await["refused"]["code"], "bad_token");
    let mut boss = b.player("Boss").await;
    assert_eq!(boss.ask("list", json!({})).await, Ok(before));
    anns.emit("finish", json!({ "winner": "Ann" }));
    anns.event("reroute").await;
    ann.url.clone_from(&b.url);
    assert_eq!(ann.back().await["returned"]["reason"]["code"], "finished");
}

#[tokio::test]
async fn a_lobby_that_is_asked_to_stop_hands_over_at_once() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let mut lobby = Lobby::start(&folder, "a", &nats.urls(), &host.link).await;
    lobby.is_active().await;
    let (_, mut anns) = in_a_room(&lobby, &host, "Ann").await;
    let mut times = Vec::new();
    for name in ["b", "c", "d"] {
        let next = Lobby::start(&folder, name, &nats.urls(), &host.link).await;
        lobby.signal(Signal::TERM);
        assert!(lobby.ended().await.success());
        let ended = Instant::now();
        next.is_active().await;
        times.push(ended.elapsed());
        assert_undisturbed(&mut anns).await;
        lobby = next;
    }
    // Sooner than three leases would be over.
    assert!(times.iter().sum::<Duration>() < Duration::from_secs(7), "{times:?}");
}

/// They are written down before another lobby is active.
#[tokio::test]
async fn what_a_lobby_changes_last_is_known_to_the_next() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let mut a = Lobby::start_with(&folder, "a", &nats.urls(), &host.link, "BANS_AT_STOP").await;
    a.is_active().await;
    let b = Lobby::start(&folder, "b", &nats.urls(), &host.link).await;
    let ann = a.player("Ann").await;
    a.signal(Signal::TERM);
    assert!(a.ended().await.success());
    b.is_active().await;
    let hello = Client::connect(&b.url, json!({ "token": ann.token })).await;
    let mut hello = hello.expect("anyone may connect");
    assert_eq!(hello.event("refused").await["code"], "banned");
}

#[tokio::test]
async fn a_lobby_that_is_cut_off_from_nats_is_superseded_and_ends_and_its_rooms_go_on() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let proxy = Proxy::start(nats.port(0)).await;
    let mut a = Lobby::start(&folder, "a", &proxy.url, &host.link).await;
    a.is_active().await;
    let (_, mut anns) = in_a_room(&a, &host, "Ann").await;
    let b = Lobby::start(&folder, "b", &nats.urls(), &host.link).await;
    proxy.cut();
    b.is_active().await;
    assert!(!a.ended().await.success(), "it says that it did not stop by itself");
    b.logged("room adopted").await;
    assert_undisturbed(&mut anns).await;
    let (_, mut bobs) = in_a_room(&b, &host, "Bob").await;
    assert_undisturbed(&mut bobs).await;
}

/// It comes back to find that another lobby is active.
#[tokio::test]
async fn a_lobby_that_stood_still_is_superseded() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let mut a = Lobby::start(&folder, "a", &nats.urls(), &host.link).await;
    a.is_active().await;
    let b = Lobby::start(&folder, "b", &nats.urls(), &host.link).await;
    a.signal(Signal::STOP);
    b.is_active().await;
    a.signal(Signal::CONT);
    assert!(!a.ended().await.success());
    let (_, mut anns) = in_a_room(&b, &host, "Ann").await;
    assert_undisturbed(&mut anns).await;
}

#[tokio::test]
async fn a_key_that_is_not_the_shared_one_is_refused_with_the_reason() {
    let (nats, folder) = (Nats::start(1).await, TestFolder::new());
    let host = host(&folder, &[]).await;
    let a = Lobby::start(&folder, "a", &nats.urls(), &host.link).await;
    a.is_active().await;
    std::fs::write(folder.path().join("other.key"), [7; 32]).expect("ours");
    let mut other = crate::common::command(crate::common::game());
    let other = other
        .args(["--lease", &nats.urls(), "--hosts", &host.link])
        .env("CLUSTER_PORT", "0")
        .env("CLUSTER_KEY_FILE", folder.path().join("other.key"));
    let output = other.output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("is not the key in NATS"), "{error}");
}
