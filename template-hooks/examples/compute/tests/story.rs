//! Your lobby and rooms, end to end: pictures that rooms compute. Edit these along with your
//! hooks.

use std::collections::BTreeMap;

use app::messages::View;
use cluster::testing::{LobbyProcess, Signal, TestPlayer};
use serde_json::{Value, json};

mod pictures;

use pictures::{check, whole};

/// Idle rooms end at once.
const IMPATIENT: [&str; 2] = ["--empty-timeout", "100ms"];

/// All of it is in the set, so each row takes the most steps.
fn slow(columns: u32, rows: u32) -> View {
    View { x: -0.2, y: 0.0, across: 0.1, columns, rows, depth: 10_000 }
}

/// Takes longer than any test.
fn endless() -> View {
    slow(1280, 800)
}

async fn start(flags: &[&str]) -> LobbyProcess {
    LobbyProcess::start(env!("CARGO_BIN_EXE_server"), flags).await
}

#[tokio::test]
async fn a_picture_comes_row_by_row_each_once_and_as_it_should_be() {
    let lobby = start(&[]).await;
    let mut ann = lobby.player("Ann").await;
    ask(&mut ann, &whole()).await.expect("a good view");
    assert_eq!(ann.lobby().event("begun").await, json!(whole()));
    for (row, (shades, _)) in picture(&mut ann, &whole(), BTreeMap::new()).await {
        check(&whole(), row, &shades);
    }
}

#[tokio::test]
async fn a_killed_rooms_rows_are_computed_by_another() {
    let lobby = start(&[]).await;
    let mut ann = lobby.player("Ann").await;
    let view = slow(1280, 16);
    ask(&mut ann, &view).await.expect("a good view");
    let (first, computed) = row(&mut ann).await;
    // Seven rows of its band are missing.
    let killed = computed.1.clone();
    lobby.signal_room(&killed, Signal::KILL).await;
    let rows = picture(&mut ann, &view, BTreeMap::from([(first, computed)])).await;
    let dark = "AA".repeat(1280);
    assert!(rows.values().all(|(shades, _)| *shades == dark), "{rows:?}");
    let mut band = rows.range(first / 8 * 8..).take(8);
    assert!(band.any(|(_, (_, room))| *room != killed), "{rows:?}");
}

#[tokio::test]
async fn cancel_ends_a_picture_and_the_rooms_are_free_for_the_next() {
    let lobby = start(&IMPATIENT).await;
    let mut ann = lobby.player("Ann").await;
    ask(&mut ann, &endless()).await.expect("a good view");
    row(&mut ann).await;
    ann.ask("cancel", json!({})).await.expect("never refused");
    assert_eq!(ann.lobby().event("ended").await, json!({ "how": "cancelled" }));
    // A cancel without a picture is accepted.
    ann.ask("cancel", json!({})).await.expect("never refused");
    while ann.lobby().unheard().contains(&"row") {
        ann.lobby().event("row").await;
    }
    ann.lobby().event("begun").await;

    ask(&mut ann, &whole()).await.expect("a good view");
    ann.lobby().event("begun").await;
    picture(&mut ann, &whole(), BTreeMap::new()).await;
    nobody_computes(&mut ann).await;
}

#[tokio::test]
async fn a_new_picture_takes_the_place_of_the_one_before() {
    let lobby = start(&IMPATIENT).await;
    let mut ann = lobby.player("Ann").await;
    ask(&mut ann, &endless()).await.expect("a good view");
    ask(&mut ann, &whole()).await.expect("a good view");
    let mut lobby = ann.lobby.take().expect("she stays in the lobby");
    lobby.event("begun").await;
    assert_eq!(lobby.event("ended").await, json!({ "how": "cancelled" }));
    lobby.event("begun").await;
    assert_eq!(lobby.event("ended").await, json!({ "how": "complete" }));
    ann.lobby = Some(lobby);
    nobody_computes(&mut ann).await;
}

#[tokio::test]
async fn players_take_turns() {
    let lobby = start(&[]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ask(&mut ann, &endless()).await.expect("a good view");
    row(&mut ann).await;
    let small = View { rows: 8, ..whole() };
    ask(&mut bob, &small).await.expect("a good view");
    picture(&mut bob, &small, BTreeMap::new()).await;
    assert!(!ann.lobby().unheard().contains(&"ended"));
}

#[tokio::test]
async fn nothing_is_computed_for_a_player_who_has_left() {
    let lobby = start(&IMPATIENT).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    ask(&mut ann, &endless()).await.expect("a good view");
    row(&mut ann).await;
    drop(ann);
    nobody_computes(&mut bob).await;
}

#[tokio::test]
async fn bad_views_and_too_many_pictures_are_refused() {
    let lobby = start(&[]).await;
    let mut players = vec![lobby.player("Ann").await];
    let codes = [
        (json!(View { across: 0.0, ..whole() }), "bad_view"),
        (json!(View { columns: 1281, ..whole() }), "bad_view"),
        (json!(View { x: f64::NAN, ..whole() }), "bad_message"),
        (json!({ "x": 0 }), "bad_message"),
    ];
    for (view, code) in codes {
        assert_eq!(players[0].ask("render", view).await, Err(code.to_owned()));
    }
    let refused = loop {
        let mut player = lobby.player("Bob").await;
        match ask(&mut player, &endless()).await {
            Ok(_) if players.len() < 100 => players.push(player),
            answer => break answer,
        }
    };
    assert_eq!(refused, Err("busy".to_owned()));
    // A cancelled picture frees its place.
    players[1].ask("cancel", json!({})).await.expect("never refused");
    ask(&mut players[0], &endless()).await.expect("a good view");
}

#[tokio::test]
async fn a_picture_without_rooms_is_given_up() {
    let lobby = start(&["--ready-timeout", "1ms", "--pool", "0"]).await;
    let mut ann = lobby.player("Ann").await;
    ask(&mut ann, &whole()).await.expect("a good view");
    assert_eq!(ann.lobby().event("ended").await, json!({ "how": "failed" }));
}

#[tokio::test]
async fn the_page_is_served() {
    let lobby = start(&[]).await;
    assert_eq!(lobby.http("GET", "/").await.0, 200);
    assert_eq!(lobby.http("GET", "/missing").await.0, 404);
}

async fn ask(player: &mut TestPlayer, view: &View) -> Result<Value, String> {
    player.ask("render", json!(view)).await
}

/// The next row: its shades, and the room that has computed them.
async fn row(player: &mut TestPlayer) -> (u32, (String, Value)) {
    let mut event = player.lobby().event("row").await;
    let row = event["row"].as_u64().expect("a number") as u32;
    let shades = event["shades"].as_str().expect("text").to_owned();
    (row, (shades, event["room"].take()))
}

/// Waits for the remaining rows, each once, until the picture is complete.
async fn picture(
    player: &mut TestPlayer,
    view: &View,
    mut rows: BTreeMap<u32, (String, Value)>,
) -> BTreeMap<u32, (String, Value)> {
    while rows.len() < view.rows as usize {
        let (row, computed) = row(player).await;
        assert!(row < view.rows, "there is no row {row}");
        assert_eq!(rows.insert(row, computed), None, "row {row} came twice");
    }
    assert_eq!(player.lobby().event("ended").await, json!({ "how": "complete" }));
    assert!(!player.lobby().unheard().contains(&"row"));
    rows
}

/// Waits until all rooms have ended: none computes any more.
async fn nobody_computes(player: &mut TestPlayer) {
    player.ask("watch_rooms", json!({})).await.expect("anyone may watch");
    while player.lobby().event("rooms").await != json!([]) {}
}
