//! Join options: what the lobby passes on to a room with a player's seat.

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use serde_json::{Value, json};

use crate::common::{enter_room, start_features};

/// Ann and Bob in the lobby, and an arena of a boss in the lobby.
struct Story {
    lobby: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    bob: TestPlayer,
    room: Value,
}

impl Story {
    async fn begin(options: Value) -> Story {
        let lobby = start_features(&[]).await;
        let mut boss = lobby.player("Boss").await;
        let (ann, bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
        let room = boss.ask("arena", json!({ "options": options })).await.expect("a room");
        Story { lobby, boss, ann, bob, room }
    }

    /// The data of a request for both of them, with these sides.
    fn both(&self, sides: Value) -> Value {
        let players = [&self.ann.you["id"], &self.bob.you["id"]];
        json!({ "room": self.room, "players": players, "sides": sides })
    }

    fn only_ann(&self, side: &str) -> Value {
        let (room, ann) = (&self.room, &self.ann.you["id"]);
        json!({ "room": room, "players": [ann], "sides": { "Ann": side } })
    }

    /// The sides that hooks of the room have seen, and Ann's now.
    async fn seen(&self, client: &mut Client) -> (Value, Value) {
        let sides = client.ask("sides", json!({})).await.expect("a list");
        let ann = json!({ "player": self.ann.you["id"] });
        (sides, client.ask("side_of", ann).await.expect("a side"))
    }
}

#[tokio::test]
async fn each_of_a_party_comes_with_their_own() {
    let mut story = Story::begin(json!({})).await;
    let asked = story.both(json!({ "Ann": "red", "Bob": "blue" }));
    let mut anns = story.ann.enter("join_with", asked).await;
    anns.event("joined").await;
    let reroute = story.bob.rerouted().await;
    let mut bobs = story.bob.take(&reroute).await;
    bobs.event("joined").await;
    let (sides, ann) = story.seen(&mut anns).await;
    let mut sides: Vec<_> =
        sides.as_array().expect("a list").iter().map(Value::to_string).collect();
    sides.sort();
    let expected = [
        r#"["on_admit","Ann","red"]"#,
        r#"["on_admit","Bob","blue"]"#,
        r#"["on_join","Ann","red"]"#,
        r#"["on_join","Bob","blue"]"#,
    ];
    assert_eq!((sides, ann), (expected.map(str::to_owned).to_vec(), json!("red")));
}

#[tokio::test]
async fn a_player_without_any_comes_with_the_default() {
    let mut story = Story::begin(json!({})).await;
    let mut anns = enter_room(&mut story.ann, &story.room).await;
    let (sides, ann) = story.seen(&mut anns).await;
    let expected = json!([["on_admit", "Ann", ""], ["on_join", "Ann", ""]]);
    assert_eq!((sides, ann), (expected, json!("")));
}

#[tokio::test]
async fn those_of_a_player_who_was_refused_are_forgotten() {
    let mut story = Story::begin(json!({ "refuses": "black" })).await;
    let mut bobs = enter_room(&mut story.bob, &story.room).await;
    let asked = story.only_ann("black");
    assert_eq!(story.ann.ask("join_with", asked).await, Err("wrong_side".into()));
    assert_eq!(story.seen(&mut bobs).await.1, json!(""));
    let mut anns = enter_room(&mut story.ann, &story.room).await;
    let (sides, ann) = story.seen(&mut anns).await;
    let expected = json!([
        ["on_admit", "Bob", ""],
        ["on_join", "Bob", ""],
        ["on_admit", "Ann", "black"],
        ["on_admit", "Ann", ""],
        ["on_join", "Ann", ""],
    ]);
    assert_eq!((sides, ann), (expected, json!("")));
}

#[tokio::test]
async fn they_are_there_until_the_player_leaves_and_not_after_a_rejoin() {
    let mut story = Story::begin(json!({ "grace_ms": 60_000 })).await;
    let mut bobs = enter_room(&mut story.bob, &story.room).await;
    let asked = story.only_ann("red");
    let mut anns = story.ann.enter("join_with", asked).await;
    anns.event("joined").await;
    drop(anns);
    bobs.event("player_disconnected").await;
    assert_eq!(story.seen(&mut bobs).await.1, json!("red"), "a seat that is kept");
    story.ann.back().await;
    let reroute = story.ann.rerouted().await;
    let mut anns = story.ann.take(&reroute).await;
    anns.event("joined").await;
    assert_eq!(story.seen(&mut anns).await.1, json!("red"));
    anns.leave().await;
    bobs.event("player_left").await;
    story.ann.back().await;
    let mut anns = enter_room(&mut story.ann, &story.room).await;
    let (sides, ann) = story.seen(&mut anns).await;
    let last = json!([["on_leave", "Ann", "red"], ["on_admit", "Ann", ""], ["on_join", "Ann", ""]]);
    assert_eq!(
        (&sides.as_array().expect("a list")[4..], ann),
        (&last.as_array().unwrap()[..], json!(""))
    );
}

#[tokio::test]
async fn a_player_whose_seat_is_kept_keeps_what_they_came_with() {
    let mut story = Story::begin(json!({ "grace_ms": 60_000 })).await;
    let mut bobs = enter_room(&mut story.bob, &story.room).await;
    let asked = story.only_ann("red");
    let mut anns = story.ann.enter("join_with", asked).await;
    anns.event("joined").await;
    drop(anns);
    bobs.event("player_disconnected").await;
    story.ann.back().await;
    story.ann.rerouted().await;
    let asked = story.only_ann("blue");
    let mut anns = story.ann.enter("join_with", asked).await;
    anns.event("joined").await;
    assert_eq!(story.seen(&mut anns).await.1, json!("red"));
}

#[tokio::test]
async fn too_large_ones_are_refused_and_logged() {
    let mut story = Story::begin(json!({})).await;
    let asked = story.only_ann(&"x".repeat(8 * 1024));
    assert_eq!(story.ann.ask("join_with", asked.clone()).await, Err("internal".into()));
    let line = story.lobby.logged("join options cannot be passed on").await;
    assert!(line["error"].as_str().is_some_and(|error| error.ends_with("limit of 8192")), "{line}");
    story.boss.ask("reroute_with", asked).await.expect("it tries");
    assert_eq!(story.boss.lobby().event("rerouted").await["refusal"], "internal");
    let refused = story.ann.lobby().event("refused").await;
    assert_eq!([&refused["event"], &refused["code"]], ["reroute", "internal"]);
    enter_room(&mut story.ann, &story.room).await;
}

#[tokio::test]
async fn a_room_of_another_kind_gets_none() {
    let mut story = Story::begin(json!({})).await;
    let mut asked = story.only_ann("red");
    asked["chat"] = json!(true);
    assert_eq!(story.ann.ask("join_with", asked).await, Err("no_such_room".into()));
    let chat = story.boss.ask("chat", json!({})).await.expect("a room");
    let mut asked = story.only_ann("red");
    asked["room"] = chat.clone();
    assert_eq!(story.ann.ask("join_with", asked.clone()).await, Err("no_such_room".into()));
    asked["chat"] = json!(true);
    let seat = story.ann.seat("join_with", asked).await;
    assert_eq!(seat["room"], chat);
}

#[tokio::test]
async fn a_lobby_that_reroutes_players_passes_them_on_too() {
    let mut story = Story::begin(json!({})).await;
    let asked = story.both(json!({ "Ann": "red", "Bob": "blue" }));
    story.boss.ask("reroute_with", asked).await.expect("it tries");
    assert_eq!(story.boss.lobby().event("rerouted").await["refusal"], Value::Null);
    let reroute = story.ann.rerouted().await;
    let mut anns = story.ann.take(&reroute).await;
    anns.event("joined").await;
    story.bob.rerouted().await;
    assert_eq!(story.seen(&mut anns).await.1, json!("red"));
}

#[tokio::test]
async fn players_are_told_that_a_reroute_with_them_was_refused() {
    let mut story = Story::begin(json!({ "refuses": "black" })).await;
    let asked = story.both(json!({ "Ann": "red", "Bob": "black" }));
    story.boss.ask("reroute_with", asked).await.expect("it tries");
    assert_eq!(story.boss.lobby().event("rerouted").await["refusal"], "wrong_side");
    for player in [&mut story.ann, &mut story.bob] {
        let refused = player.lobby().event("refused").await;
        assert_eq!([&refused["event"], &refused["code"]], ["reroute", "wrong_side"]);
        assert!(!player.lobby().unheard().contains(&"reroute"));
    }
    let mut anns = enter_room(&mut story.ann, &story.room).await;
    assert_eq!(story.seen(&mut anns).await.1, json!(""), "all or none, and forgotten");
}
