//! Registration: names, tokens, and one connection per player.

use cluster::testing::Client;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

#[tokio::test]
async fn the_first_event_of_a_connection_is_welcome() {
    let cluster = start_game(&[]).await;
    let mut visitor = cluster.visitor().await;
    let welcome =
        json!({ "version": 4, "you": null, "token": null, "returned": null, "refused": null });
    assert_eq!(visitor.event("welcome").await, welcome);
    assert!(visitor.unheard().is_empty());
}

/// A player who connects while they have a seat waits for the news of their room.
#[tokio::test]
async fn nothing_comes_before_welcome_while_a_returning_player_is_awaited() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let other = boss.ask("open", json!({})).await.expect("a room");
    for sent_there in [false, true] {
        let mut ann = cluster.player("Ann").await;
        let _room = ann.enter("create", json!({})).await;
        let auth = json!({ "token": ann.token });
        let mut returned = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
        if sent_there {
            let asked = json!({ "players": [ann.you], "room": other });
            boss.ask("send_there", asked).await.expect("on the way");
            returned.event("reroute").await;
            assert_eq!(returned.unheard()[0], "welcome");
        } else {
            // Its `ready` is sent to everyone in the lobby.
            let room = boss.ask("open", json!({})).await.expect("a room");
            boss.lobby().event_where("ready", |ready| ready["room"] == room).await;
            returned.event("welcome").await;
            assert!(returned.unheard().is_empty(), "{:?}", returned.unheard());
        }
    }
}

#[tokio::test]
async fn a_player_registers_and_returns_with_their_token() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("  Ann 🦀 ").await;
    assert_eq!(ann.you["name"], "Ann 🦀");
    ann.lobby.take().expect("in the lobby").leave().await;
    let welcome = ann.back().await;
    let expected =
        json!({ "version": 4, "you": ann.you, "token": null, "returned": null, "refused": null });
    assert_eq!(welcome, expected);
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null), "Ann is registered");
}

#[tokio::test]
async fn a_token_outlives_the_lobby() {
    let cluster = start_game(&[]).await;
    let ann = cluster.player("Ann").await;
    let cluster = cluster.again().await;
    let auth = json!({ "token": ann.token });
    let mut lobby = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
    assert_eq!(lobby.event("welcome").await["you"], ann.you);
}

#[tokio::test]
async fn a_refused_token_is_reported_and_the_player_can_register() {
    let cluster = start_game(&[]).await;
    let foreign = start_game(&[]).await.player("Ann").await.token;
    for bad in [json!("garbage"), json!(""), json!(5), json!(foreign), json!("x".repeat(5000))] {
        let auth = json!({ "token": bad });
        let mut lobby = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
        let welcome = lobby.event("welcome").await;
        assert_eq!(welcome["refused"]["code"], "bad_token", "{bad}");
        assert_eq!(welcome["you"], Value::Null);
        assert_eq!(lobby.ask("seat_of", json!({})).await, Err("not_registered".into()));
        lobby.ask("register", json!({ "name": "Ann" })).await.expect("a good name");
    }
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let flags = [&["--token-ttl", "1s"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let ann = cluster.player("Ann").await;
    loop {
        let auth = json!({ "token": ann.token });
        let mut lobby = Client::connect(&cluster.url, auth).await.expect("anyone may connect");
        let welcome = lobby.event("welcome").await;
        if welcome["you"] == Value::Null {
            return assert_eq!(welcome["refused"]["code"], "bad_token");
        }
    }
}

#[tokio::test]
async fn bad_names_are_refused_with_a_code() {
    let cluster = start_game(&[]).await;
    let mut visitor = cluster.visitor().await;
    let (long, hidden) = ("x".repeat(25), "\u{200b}".repeat(24));
    for bad in ["", "   ", "a\nb", "a\u{202e}b", "\u{3164}", "\u{301}", "a\u{200d}", &hidden, &long]
    {
        let refused = visitor.ask("register", json!({ "name": bad })).await;
        assert_eq!(refused, Err("bad_name".into()), "{bad:?}");
    }
    for bad in [json!({ "name": 5 }), json!("Ann"), json!([1, 2, 3])] {
        let refused = visitor.ask("register", bad.clone()).await;
        assert_eq!(refused, Err("bad_message".into()), "{bad}");
    }
    for none in [json!(["register"]), json!(["register", null]), json!(["register", {}])] {
        let answer = visitor.ask_raw(none.clone()).await;
        assert_eq!(answer["error"]["code"], "bad_name", "{none}");
    }
    for good in ["x".repeat(24), "علی\u{200c}رضا".into(), "👨\u{200d}👩\u{200d}👧".into()]
    {
        let mut visitor = cluster.visitor().await;
        let answer = visitor.ask("register", json!({ "name": good })).await.expect("a good name");
        assert_eq!(answer["you"]["name"], good);
    }
}

#[tokio::test]
async fn a_registered_player_cannot_register_again() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let refused = ann.ask("register", json!({ "name": "Bob" })).await;
    assert_eq!(refused, Err("already_registered".into()));
}

#[tokio::test]
async fn the_newest_of_two_connections_wins() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let mut old = ann.lobby.take().expect("in the lobby");
    ann.back().await;
    let refused = old.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!("connect"), &json!("replaced")));
    assert!(old.end().await, "the old one is disconnected");
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null), "the new one lives");
}

#[tokio::test]
async fn a_player_who_disconnects_while_registering_leaves_as_often_as_they_arrive() {
    let cluster = start_game(&[]).await;
    for _ in 0..40 {
        let visitor = cluster.visitor().await;
        visitor.emit("register", json!({ "name": "Ghost" }));
        visitor.leave().await;
    }
    let count = |hooks: &Value, what: &str| {
        let hooks = hooks.as_array().expect("a list").iter().filter_map(Value::as_str);
        hooks.filter(|hook| hook.starts_with(what)).count()
    };
    let even = |hooks: &Value| count(hooks, "on_arrive Ghost") == count(hooks, "on_leave Ghost");
    cluster.player("Ann").await.ask_until("hooks", json!({}), even).await;
}

#[tokio::test]
async fn a_connection_registers_once_at_a_time_and_delays_no_other() {
    let cluster = start_game(&[]).await;
    let mut visitor = cluster.visitor().await;
    visitor.emit("register", json!({ "name": "Ann", "never": true }));
    let again = json!({ "name": "Ann" });
    assert_eq!(visitor.ask("register", again).await, Err("too_fast".into()));
    cluster.player("Bob").await;
}
