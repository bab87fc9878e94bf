//! Profiles: what everyone is told about a player, signed into their token.

use cluster::testing::{Client, LobbyProcess, TestFolder, TestPlayer};
use serde_json::{Value, json};

use crate::common::{enter_arena, enter_room, features, start_features};

fn profile(color: &str, level: u32) -> Value {
    json!({ "color": color, "level": level })
}

/// Ann, with this profile and an account.
async fn ann(lobby: &LobbyProcess, profile: Value) -> TestPlayer {
    lobby.player_as(json!({ "id": "ann", "name": "Ann", "profile": profile })).await
}

/// What `welcome` says about the player of a token.
async fn welcome(lobby: &LobbyProcess, token: &str) -> Value {
    let mut client = Client::connect(&lobby.url, json!({ "token": token })).await.expect("anyone");
    client.event("welcome").await
}

#[tokio::test]
async fn a_profile_set_at_the_registration_is_known_everywhere() {
    let lobby = start_features(&[]).await;
    let mut ann = ann(&lobby, profile("red", 3)).await;
    let mut bob = lobby.player("Bob").await;
    assert_eq!(ann.you, json!({ "id": "ann", "name": "Ann", "profile": profile("red", 3) }));
    assert_eq!(bob.you["profile"], profile("", 0), "the default");
    let room = ann.ask("arena", json!({})).await.expect("a room");
    let join = json!({ "room": room });
    let mut bobs = bob.enter("join", join.clone()).await;
    bobs.event("joined").await;
    let mut anns = ann.enter("join", join).await;
    let joined = anns.event("joined").await;
    assert_eq!((&joined["you"], &joined["players"]), (&ann.you, &json!([bob.you, ann.you])));
    assert_eq!(bobs.event("player_joined").await["player"], ann.you);
    assert_eq!(anns.ask("who_is_here", json!({})).await, Ok(json!([bob.you, ann.you])));
    let lobby = lobby.again().await;
    assert_eq!(welcome(&lobby, &ann.token).await["you"], ann.you, "the token has it");
}

#[tokio::test]
async fn a_player_in_the_lobby_gets_a_new_profile_and_a_token_with_it() {
    let lobby = start_features(&[]).await;
    let mut ann = ann(&lobby, profile("red", 1)).await;
    let mut boss = lobby.player("Boss").await;
    let asked = json!({ "player": "ann", "profile": profile("blue", 2) });
    boss.ask("set_profile", asked).await.expect("a small one");
    let changed = ann.lobby().event("profile_changed").await;
    assert_eq!(
        changed["you"],
        json!({ "id": "ann", "name": "Ann", "profile": profile("blue", 2) })
    );
    let new = changed["token"].as_str().expect("a token").to_owned();
    // The lobby remembers it for an old token, and gives it another one.
    let old = welcome(&lobby, &ann.token).await;
    assert_eq!(old["you"]["profile"], profile("blue", 2));
    assert!(old["token"].is_string(), "{old}");
    let current = welcome(&lobby, &new).await;
    assert_eq!((&current["you"], &current["token"]), (&changed["you"], &Value::Null));
    let lobby = lobby.again().await;
    assert_eq!(welcome(&lobby, &new).await["you"]["profile"], profile("blue", 2));
    // Until it forgets.
    assert_eq!(welcome(&lobby, &ann.token).await["you"]["profile"], profile("red", 1));
}

#[tokio::test]
async fn a_new_profile_of_a_player_in_a_room_is_told_to_all_and_signed_on_return() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut bob) = (ann(&lobby, profile("red", 1)).await, lobby.player("Bob").await);
    let mut boss = lobby.player("Boss").await;
    let (room, mut anns) = enter_arena(&mut ann, json!({})).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    let asked = json!({ "player": "ann", "profile": profile("blue", 2) });
    boss.ask("set_profile", asked).await.expect("a small one");
    let changed = json!({ "id": "ann", "name": "Ann", "profile": profile("blue", 2) });
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("player_changed").await, json!({ "player": changed }));
    }
    assert_eq!(bobs.ask("who_is_here", json!({})).await, Ok(json!([changed, bob.you])));
    let everyone = boss.ask("everyone", json!({})).await.expect("a list");
    assert!(everyone.as_array().expect("a list").iter().any(|entry| entry[0] == changed));
    anns.leave().await;
    let welcome = ann.back().await;
    assert_eq!(welcome["you"], changed);
    let token = welcome["token"].as_str().expect("a new token").to_owned();
    let lobby = lobby.again().await;
    assert_eq!(self::welcome(&lobby, &token).await["you"], changed);
}

#[tokio::test]
async fn a_profile_of_a_player_on_the_way_reaches_the_room() {
    let lobby = start_features(&[]).await;
    let (mut ann, mut boss) = (ann(&lobby, profile("red", 1)).await, lobby.player("Boss").await);
    let room = boss.ask("arena", json!({})).await.expect("a room");
    let reroute = ann.seat("join", json!({ "room": room })).await;
    let asked = json!({ "player": "ann", "profile": profile("blue", 2) });
    boss.ask("set_profile", asked).await.expect("a small one");
    // Both went to the room in this order.
    let mut bosses = enter_room(&mut boss, &room).await;
    let joined = ann.take(&reroute).await.event("joined").await;
    assert_eq!(joined["you"]["profile"], profile("blue", 2));
    assert_eq!(bosses.event("player_joined").await["player"], joined["you"]);
}

#[tokio::test]
async fn a_profile_of_more_than_512_bytes_is_refused_and_logged() {
    let lobby = start_features(&[]).await;
    let mut ann = ann(&lobby, profile("red", 1)).await;
    let fits = 512 - profile("", 1).to_string().len();
    let set = |bytes: usize| json!({ "player": "ann", "profile": profile(&"x".repeat(bytes), 1) });
    ann.ask("set_profile", set(fits)).await.expect("512 bytes");
    assert_eq!(ann.ask("set_profile", set(fits + 1)).await, Err("internal".into()));
    let line = lobby.logged("a profile cannot be passed on").await;
    assert_eq!(line["error"], "513 bytes are over the limit of 512");
    let form = json!({ "name": "Bob", "profile": profile(&"x".repeat(fits + 1), 1) });
    let mut visitor = lobby.visitor().await;
    assert_eq!(visitor.ask("register", form).await, Err("internal".into()));
    visitor.ask("register", json!({ "name": "Bob" })).await.expect("the next one is registered");
}

#[tokio::test]
async fn a_profile_that_an_earlier_build_has_signed_is_replaced_by_the_default() {
    let folder = TestFolder::new();
    let earlier = features(&[]).folder(&folder).env("EARLIER", "1").start().await;
    let old = earlier.player("Ann").await;
    assert_eq!(old.you["profile"], json!({ "color": 7 }));
    drop(earlier);
    let lobby = features(&[]).folder(&folder).start().await;
    let mut ann = lobby.player("Ann").await;
    (ann.token, ann.lobby) = (old.token, None);
    ann.back().await;
    let everyone = ann.ask("everyone", json!({})).await.expect("a list");
    let me =
        everyone.as_array().expect("a list").iter().find(|entry| entry[0]["id"] == old.you["id"]);
    assert_eq!(me.expect("Ann")[0]["profile"], profile("", 0));
    let (_, mut anns) = enter_arena(&mut ann, json!({})).await;
    let players = anns.ask("who_is_here", json!({})).await.expect("a list");
    assert_eq!(players[0]["profile"], profile("", 0));
}

#[tokio::test]
async fn registering_again_with_an_account_replaces_the_profile_that_the_lobby_remembers() {
    let lobby = start_features(&[]).await;
    let mut first = ann(&lobby, profile("red", 1)).await;
    let mut bob = lobby.player("Bob").await;
    let (room, mut anns) = enter_arena(&mut first, json!({})).await;
    let mut bobs = enter_room(&mut bob, &room).await;
    let mut boss = lobby.player("Boss").await;
    let asked = json!({ "player": "ann", "profile": profile("blue", 2) });
    boss.ask("set_profile", asked).await.expect("a small one");
    for client in [&mut anns, &mut bobs] {
        assert_eq!(client.event("player_changed").await["player"]["profile"], profile("blue", 2));
    }
    let second = ann(&lobby, profile("green", 3)).await;
    assert_eq!(second.you["profile"], profile("green", 3));
    assert_eq!(bobs.event("player_changed").await["player"], second.you);
    assert_eq!(welcome(&lobby, &first.token).await["you"], second.you);
}
