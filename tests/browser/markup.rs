//! Markup in every text that a client can send, through the page's fields and over a raw
//! connection: every page shows it as text, and no script runs.

use anyhow::{Result, ensure};
use cluster::testing::{Client, LobbyProcess, Signal, TestPlayer};
use serde_json::{Value, json};

use super::chromium::{Browser, Page};
use super::project::Project;

/// At most 24 characters, as a name.
const MARKUP: [&str; 6] = [
    "<svg onload=ran=1>",
    "<img src onerror=ran=1>",
    "<script>ran=1</script>",
    "javascript:ran=1",
    "\"><svg onload=ran=1>",
    "<iframe src=javascript:>",
];
/// Longer texts have more than one kind.
const TITLE: &str = "\"><script>ran=1</script><svg onload=x=1>";

#[tokio::test]
async fn in_the_arena_markup_of_raw_clients_is_text() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby).await?;
    let mut players = players(&lobby).await;
    let first = &mut players[0];
    let mut rooms = vec![first.enter("create", json!({ "title": TITLE })).await];
    page.until_shows("#rooms", TITLE).await?;
    page.click("#rooms button").await?;
    page.until_at("room 1").await?;
    for player in &mut players[1..] {
        rooms.push(player.enter("join", json!({ "room": "1" })).await);
    }
    for player in &players {
        page.until_shows("#players", name(player)).await?;
    }
    for room in &mut rooms {
        talks_nonsense(room).await;
    }
    // The lobby tells its players when a room has ended.
    page.click("#leave").await?;
    page.until_at("lobby").await?;
    lobby.signal_room(&json!("1"), Signal::KILL).await;
    page.until_shows("#news", TITLE).await?;
    is_text(&page, &lobby).await
}

#[tokio::test]
async fn in_the_blank_example_markup_of_raw_clients_is_text() -> Result<()> {
    let lobby = Project::of("blank")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby).await?;
    let mut players = players(&lobby).await;
    for player in &mut players {
        player.ask("wave", json!({})).await.expect("a wave");
        page.until_shows("#news", name(player)).await?;
    }
    page.click("#join").await?;
    page.until_at("room 1").await?;
    for player in &mut players {
        let mut room = player.enter("join", json!({ "room": "1" })).await;
        page.until_shows("#players", name(player)).await?;
        room.ask("hello", json!({})).await.expect("hello");
        page.until_shows("#greeting", name(player)).await?;
        talks_nonsense(&mut room).await;
        room.leave().await;
    }
    is_text(&page, &lobby).await
}

#[tokio::test]
async fn where_two_play_in_turns_markup_of_raw_clients_is_text() -> Result<()> {
    let lobby = Project::of("turns")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby).await?;
    page.click("#join-friend input").await?;
    page.write("<svg/>").await?;
    page.forget_notices().await?;
    page.click("#join-friend button").await?;
    page.until("notices.some((text) => text.length > 0)").await?;
    for player in &mut players(&lobby).await {
        page.click("#find").await?;
        let mut room = player.enter("find_opponent", json!({})).await;
        page.until_shows("#players", name(player)).await?;
        talks_nonsense(&mut room).await;
        room.leave().await;
        page.until_shows("#turn", name(player)).await?;
        page.click("#leave").await?;
        page.until_at("lobby").await?;
        page.until_shows("#news", name(player)).await?;
    }
    is_text(&page, &lobby).await
}

#[tokio::test]
async fn where_rooms_compute_markup_of_raw_clients_is_text() -> Result<()> {
    let lobby = Project::of("compute")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby).await?;
    for player in &mut players(&lobby).await {
        for text in MARKUP {
            player.ask("render", json!({ "x": text, "depth": text })).await.expect_err("no view");
        }
    }
    page.until_notice("Complete after").await?;
    is_text(&page, &lobby).await
}

/// A page with markup in its address, whose player has it in their name.
async fn enter(browser: &Browser, lobby: &LobbyProcess) -> Result<Page> {
    let address = format!("{}/?as=<svg onload=ran=1>#<svg onload=ran=1>", lobby.url);
    let page = browser.open(&address).await?;
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    // Refused: the message may have the name in it.
    page.write("\u{202e}<img src=x>").await?;
    page.press("Enter").await?;
    page.until("document.getElementById('notice').innerText.length > 1").await?;
    page.eval("void (document.querySelector('#register input').value = '')").await?;
    page.write("\"><img src onerror=ran=1").await?;
    page.press("Enter").await?;
    page.until_shows("#hop-you", "\"><img src onerror=ran=1").await?;
    Ok(page)
}

/// A registered player for each text, after they have sent it wherever the lobby expects a text.
async fn players(lobby: &LobbyProcess) -> Vec<TestPlayer> {
    let mut players = vec![];
    for text in MARKUP {
        let _ = Client::connect(&lobby.url, json!({ "token": text })).await;
        let form = json!({ "name": text, "password": text, text: text });
        let mut player = lobby.player_as(form).await;
        for (event, data) in [
            ("play", json!({ "kind": text })),
            ("join", json!({ "room": text })),
            ("join", json!({ "code": text })),
            ("join_friend", json!({ "code": text })),
            ("create", json!({ "title": { text: text } })),
            ("register", json!({ "name": text.repeat(9) })),
            ("logout", json!({ "token": text })),
            (&event(text), json!(text)),
        ] {
            player.ask(event, data).await.expect_err("refused");
        }
        players.push(player);
    }
    players
}

/// Sends markup wherever a room expects something else.
async fn talks_nonsense(room: &mut Client) {
    for text in MARKUP {
        for event in ["steer", "play", "hello", &event(text)] {
            room.ask_raw(json!([event, { "x": text, "column": text, text: text }])).await;
        }
    }
}

/// The name of an event that nobody knows. A quote in it ends the connection.
fn event(text: &str) -> String {
    text.replace('"', "'")
}

fn name(player: &TestPlayer) -> &str {
    player.you["name"].as_str().expect("a name")
}

/// The server's log in the panel shows all names, no element was made of any text, and no script
/// ran.
async fn is_text(page: &Page, lobby: &LobbyProcess) -> Result<()> {
    for text in MARKUP {
        page.until_shows("#server-log", text).await?;
    }
    // The lobby is still there.
    lobby.player("Bob").await;
    page.until_shows("#server-log", "player=Bob").await?;
    ensure!(page.eval("window.ran === undefined").await? == Value::Bool(true), "a script ran");
    page.is_safe().await?;
    page.is_content()
}
