//! Tokens over the wire: refusal, renewal and logout.

use std::fs;
use std::time::Duration;

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

/// Connects with this token. Returns the connection and the data of `welcome`.
async fn show_token(cluster: &LobbyProcess, token: &Value) -> (Client, Value) {
    let auth = json!({ "token": token });
    let mut lobby = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
    let welcome = lobby.event("welcome").await;
    (lobby, welcome)
}

/// Whether this token is refused and identifies no player.
async fn is_refused(cluster: &LobbyProcess, token: &Value) -> bool {
    let (_, welcome) = show_token(cluster, token).await;
    let refused = welcome["refused"]["code"] == "bad_token";
    assert_eq!(refused, welcome["you"].is_null(), "{welcome}");
    assert!(welcome["token"].is_null() || !refused, "{welcome}");
    refused
}

#[tokio::test]
async fn a_hundred_invalid_tokens_are_refused_and_counted() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let ticket = ann.seat("create", json!({})).await["ticket"].take();
    let foreign = start_game(&[]).await.player("Ann").await.token;
    let good = ann.token.clone();
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (header, claims) = head.split_once('.').expect("three parts");
    let foreign_signature = foreign.rsplit_once('.').expect("three parts").1;
    let mut forged = vec![
        json!(5),
        json!(true),
        json!([]),
        json!({}),
        json!([good]),
        json!({ "token": good }),
        ticket,
        json!(foreign),
        json!(""),
        json!("."),
        json!(".."),
        json!("..."),
        json!("garbage"),
        json!("x".repeat(2049)),
        json!("x".repeat(50_000)),
        json!("🦀".repeat(100)),
        json!(head),
        json!(format!("{head}.")),
        json!(format!("{head}.{foreign_signature}")),
        json!(format!("{header}..{signature}")),
        json!(format!("{good}.")),
        json!(format!(".{good}")),
        json!(format!("{good}=")),
        json!(format!(" {good}")),
        json!(format!("{good}\n")),
        json!(format!("{good}\0")),
        json!(good.to_uppercase()),
    ];
    // {"alg":"none"}, {"alg":"HS512","typ":"JWT"}, {"alg":"RS256","typ":"JWT"}
    for other in [
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9",
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
    ] {
        forged.push(json!(format!("{other}.{claims}.")));
        forged.push(json!(format!("{other}.{claims}.{signature}")));
    }
    // One character at a time is changed, in each of the parts.
    for at in (0..good.len()).step_by(good.len() / 70) {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        forged.push(json!(format!("{}{other}{}", &good[..at], &good[at + 1..])));
    }
    assert!(forged.len() > 100, "{}", forged.len());
    for token in &forged {
        assert!(is_refused(&cluster, token).await, "{token}");
    }
    let counts =
        |line: &Value| (line["message"] == "invalid tokens").then(|| line["count"].clone());
    let counts: Vec<Value> = cluster.lines().iter().filter_map(counts).collect();
    assert_eq!(counts, [1, 10, 100]);
    let log = cluster.text();
    assert!(!log.contains(&foreign) && !log.contains(claims), "tokens are not for the log");
    assert_eq!(ann.ask("list", json!({})).await.expect("rooms").as_array().map(Vec::len), Some(1));
    assert_eq!(show_token(&cluster, &json!(good)).await.1["you"], ann.you);
}

#[tokio::test]
async fn the_token_of_an_active_player_is_renewed_before_it_expires() {
    let cluster = start_game(&[&["--token-ttl", "6s"], &NO_RATE_LIMITS[..]].concat()).await;
    let TestPlayer { you, mut token, .. } = cluster.player("Ann").await;
    let first = token.clone();
    let mut tokens = 1;
    // Three seconds from one to the next: two of them outlive the first.
    while tokens < 4 {
        let (_, welcome) = show_token(&cluster, &json!(token)).await;
        assert_eq!(welcome["you"], you, "{welcome}");
        if let Some(new) = welcome["token"].as_str() {
            token = new.to_owned();
            tokens += 1;
        }
        // Poll until the token is renewed.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(is_refused(&cluster, &json!(first)).await);
    assert!(!cluster.text().contains("invalid tokens"), "an expired token is not an invalid one");
}

#[tokio::test]
async fn a_new_key_replaces_the_old_ones_tokens_until_that_is_deleted() {
    let cluster = start_game(&[]).await;
    let ann = cluster.player("Ann").await;
    let token = json!(ann.token);
    let key = cluster.key_file();
    let old = key.with_extension("old");
    fs::rename(&key, &old).expect("our files");
    let old_key_file = ["--old-key-file", old.to_str().expect("a path")];

    let cluster = cluster.again_with(&old_key_file).await;
    let (_, welcome) = show_token(&cluster, &token).await;
    assert_eq!(welcome["you"], ann.you);
    let new = welcome["token"].clone();
    assert!(new.is_string() && new != token, "{welcome}");
    let (_, welcome) = show_token(&cluster, &new).await;
    assert_eq!((&welcome["you"], &welcome["token"]), (&ann.you, &Value::Null));

    fs::remove_file(&old).expect("our file");
    let cluster = cluster.again_with(&old_key_file).await;
    assert!(is_refused(&cluster, &token).await);
    assert_eq!(show_token(&cluster, &new).await.1["you"], ann.you);
}

#[tokio::test]
async fn a_logout_ends_a_login_with_all_its_tokens_and_no_other() {
    let cluster = start_game(&[]).await;
    // The same account logged in twice, as on two machines.
    let form = json!({ "id": "ann", "name": "Ann" });
    let elsewhere = cluster.player_as(form.clone()).await;
    let ann = cluster.player_as(form).await;
    let key = cluster.key_file();
    let old = key.with_extension("old");
    fs::rename(&key, &old).expect("our files");
    let cluster = cluster.again_with(&["--old-key-file", old.to_str().expect("a path")]).await;
    let token = json!(ann.token);
    let (mut lobby, mut welcome) = show_token(&cluster, &token).await;
    let renewed = welcome["token"].take();

    let mut stranger = cluster.visitor().await;
    for bad in [json!(null), json!({}), json!({ "token": 5 }), json!("token")] {
        assert_eq!(stranger.ask("logout", bad.clone()).await, Err("bad_message".into()), "{bad}");
    }
    let bad = json!({ "token": format!("{}x", ann.token) });
    assert_eq!(stranger.ask("logout", bad).await, Err("bad_token".into()));
    lobby.ask("list", json!({})).await.expect("they are still there");

    assert_eq!(stranger.ask("logout", json!({ "token": token })).await, Ok(json!({})));
    let refused = lobby.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!("connect"), &json!("logged_out")));
    assert!(lobby.end().await, "they are logged out");
    assert!(is_refused(&cluster, &token).await && is_refused(&cluster, &renewed).await);
    assert_eq!(show_token(&cluster, &json!(elsewhere.token)).await.1["you"], ann.you);
    // A second logout changes nothing.
    assert_eq!(stranger.ask("logout", json!({ "token": renewed })).await, Ok(json!({})));
    stranger.ask("register", json!({ "name": "Ann" })).await.expect("anyone may");
}

#[tokio::test]
async fn a_player_who_logs_out_is_answered_and_other_players_are_not_affected() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut bob = cluster.player("Bob").await;
    let token = json!({ "token": ann.token });
    assert_eq!(ann.ask("logout", token).await, Ok(json!({})));
    assert_eq!(ann.lobby().event("refused").await["code"], "logged_out");
    assert!(ann.lobby().end().await);
    assert_eq!(ann.back().await["refused"]["code"], "bad_token");

    let mut bobs = bob.enter("create", json!({})).await;
    bobs.event("joined").await;
    let token = json!({ "token": bob.token });
    cluster.visitor().await.ask("logout", token).await.expect("whoever has the token may");
    assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "Bob plays on");
    bobs.leave().await;
    assert_eq!(bob.back().await["refused"]["code"], "bad_token");
    // None of this is on disk.
    let cluster = cluster.again().await;
    assert_eq!(show_token(&cluster, &json!(bob.token)).await.1["you"], bob.you);
}
