//! The pages that recipes make. `tests/template/recipes.rs` has everything else about them.

use anyhow::{Result, ensure};
use cluster::testing::LobbyProcess;

use super::chromium::{Browser, Page};
use crate::template::helpers::{Workshop, must};
use crate::template::recipe::Recipe;

#[tokio::test]
async fn a_link_leads_a_friend_into_the_room_once() -> Result<()> {
    let (_workshop, lobby) = start("invite", "2").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#invite").await?;
    ann.until("document.getElementById('link').getClientRects().length").await?;
    let link = ann.eval("document.getElementById('link').href").await?;
    let link = link.as_str().unwrap_or_default();
    let (_, code) = link.split_once("/?code=").expect("a link with a code");
    until_invited(&ann, code).await?;

    // Bob is in the room as soon as they have a name.
    let bob = register(&browser, &format!("{link}&as=Bob"), "Bob").await?;
    until_invited(&bob, code).await?;
    ann.until_shows("#players", "Bob").await?;
    ensure!(bob.eval("location.search").await? == "?as=Bob");
    bob.click("#leave").await?;
    bob.until_notice("You left the room.").await?;
    bob.reload().await?;
    bob.until("document.getElementById('join').getClientRects().length").await?;

    bob.click("#friends input").await?;
    bob.write("wrong").await?;
    bob.press("Enter").await?;
    bob.until_shows("#notice", "There is no such room.").await?;
    bob.eval("document.getElementById('friends').reset()").await?;
    bob.click("#friends input").await?;
    bob.write(&code.to_lowercase()).await?;
    bob.press("Enter").await?;
    until_invited(&bob, code).await?;

    // A room for everyone has no code.
    bob.click("#leave").await?;
    bob.click("#join").await?;
    bob.until("document.getElementById('hello').getClientRects().length").await?;
    ensure!(bob.eval("document.getElementById('invitation').hidden").await? == true);
    for page in [&ann, &bob] {
        page.is_safe().await?;
    }
    Ok(())
}

/// Waits until the page shows this code in a room.
async fn until_invited(page: &Page, code: &str) -> Result<()> {
    page.until("document.getElementById('code').getClientRects().length").await?;
    page.until_shows("#code", code).await
}

#[tokio::test]
async fn two_sides_get_ready_play_and_are_back_at_their_table() -> Result<()> {
    let (_workshop, lobby) = start("waiting_room", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#open").await?;
    ann.until_shows("#seats", "Ann (left), host").await?;
    let code = ann.eval("document.getElementById('code').textContent").await?;
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    bob.click("#find-table input").await?;
    bob.write(code.as_str().unwrap_or_default()).await?;
    bob.press("Enter").await?;
    ann.until_shows("#seats", "Bob (right)").await?;
    ensure!(bob.eval("document.getElementById('start').hidden").await? == true);
    bob.click("#side").await?;
    ann.until_shows("#seats", "Bob (left)").await?;
    ann.click("#start").await?;
    ann.until_shows("#table-news", "A side has too few players.").await?;
    bob.click("#side").await?;
    bob.until_shows("#seats", "Bob (right)").await?;
    for _ in 0..2 {
        ann.click("#ready").await?;
        bob.until_shows("#seats", "Ann (left), host, ready").await?;
        bob.click("#ready").await?;
        ann.until_shows("#table-news", "The game begins in").await?;
        for page in [&ann, &bob] {
            page.until("document.getElementById('pull').getClientRects().length").await?;
            page.until("document.getElementById('rope').value === 0").await?;
        }
        for pulls in 1..=10 {
            bob.click("#pull").await?;
            if pulls < 10 {
                ann.until(&format!("document.getElementById('rope').value === {pulls}")).await?;
            }
        }
        for page in [&ann, &bob] {
            page.until_notice("The right side has won. You are back in the lobby.").await?;
            page.until("document.getElementById('ready').getClientRects().length").await?;
        }
        ann.until("!document.getElementById('seats').textContent.includes('playing')").await?;
    }
    for page in [&ann, &bob] {
        page.is_safe().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_friend_is_one_click_away() -> Result<()> {
    let (_workshop, lobby) = start("friends", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    bob.until_shows("#online", "Ann: in the lobby").await?;
    ann.click("#join").await?;
    bob.until_shows("#online", "Ann: in a room").await?;
    bob.click("#online button").await?;
    ann.until_shows("#players", "Bob").await?;
    bob.is_safe().await
}

#[tokio::test]
async fn a_chat_is_a_room_of_another_kind() -> Result<()> {
    let (_workshop, lobby) = start("kinds", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#chat").await?;
    ann.click("#say input").await?;
    ann.write("Good morning").await?;
    ann.press("Enter").await?;
    ann.until_shows("#lines", "Ann: Good morning").await?;
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    bob.click("#chat").await?;
    bob.until_shows("#lines", "Ann: Good morning").await?;
    ensure!(bob.eval("document.getElementById('hello').hidden").await? == true);
    bob.click("#leave").await?;
    bob.click("#join").await?;
    bob.until("document.getElementById('hello').getClientRects().length").await?;
    ensure!(bob.eval("document.getElementById('say').hidden").await? == true);
    bob.is_safe().await
}

#[tokio::test]
async fn everyone_sees_the_votes_and_their_own() -> Result<()> {
    let (_workshop, lobby) = start("state", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#join").await?;
    ann.until_shows("#poll", "Coffee: 0").await?;
    ann.click("#poll button:nth-child(2)").await?;
    ann.until_shows("#poll .main", "Coffee: 1").await?;
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    bob.click("#join").await?;
    bob.until_shows("#poll", "Coffee: 1").await?;
    ensure!(bob.eval("document.querySelector('#poll .main')").await?.is_null());
    bob.is_safe().await
}

#[tokio::test]
async fn a_spectator_sees_the_moves_and_has_no_button_for_them() -> Result<()> {
    let (_workshop, lobby) = start("spectators", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#join").await?;
    ann.until_shows("#table", "Moves: 0. Spectators: 0.").await?;
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    bob.click("#watch").await?;
    ann.until_shows("#table", "Moves: 0. Spectators: 1.").await?;
    ann.click("#move").await?;
    bob.until_shows("#table", "Moves: 1. Spectators: 1.").await?;
    for (page, hidden) in [(&ann, false), (&bob, true)] {
        ensure!(page.eval("document.getElementById('move').hidden").await? == hidden);
    }
    bob.is_safe().await
}

#[tokio::test]
async fn everyone_sees_the_color_that_a_player_has_chosen() -> Result<()> {
    let (_workshop, lobby) = start("profile", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ensure!(ann.eval("document.getElementById('color').value").await? == "#2c5bd0");
    let choose = "const color = document.getElementById('color');
        color.value = '#00aa00'; color.dispatchEvent(new Event('change')); color.value = '#000000'";
    ann.eval(choose).await?;
    ann.until("document.getElementById('color').value === '#00aa00'").await?; // as the lobby says
    let bob = register(&browser, &format!("{}/?as=Bob", lobby.url), "Bob").await?;
    for page in [&ann, &bob] {
        page.click("#join").await?;
        page.until("document.querySelector('#players li')").await?; // one after the other
    }
    for page in [&ann, &bob] {
        for (player, color) in [(1, "0, 170, 0"), (2, "44, 91, 208")] {
            let dot = format!("document.querySelector('#players li:nth-child({player})')");
            let shown = format!("{dot} && getComputedStyle({dot}, '::before').backgroundColor");
            page.until(&format!("({shown}) === 'rgb({color})'")).await?;
        }
    }
    bob.is_safe().await
}

#[tokio::test]
async fn a_saved_game_is_opened_by_its_name() -> Result<()> {
    let (_workshop, lobby) = start("saving", "8").await;
    let browser = Browser::start().await?;
    let ann = register(&browser, &lobby.url, "Ann").await?;
    ann.click("#saved input").await?;
    ann.write("My world").await?;
    ann.press("Enter").await?;
    ann.until_shows("#notice", "A name has 1 to 32").await?;
    ann.eval("document.getElementById('saved').reset()").await?;
    ann.click("#saved input").await?;
    ann.write("my-world").await?;
    ann.press("Enter").await?;
    ann.until_shows("#world", "Blocks: 0").await?;
    ann.click("#build").await?;
    ann.until_shows("#world", "Blocks: 1").await?;
    ann.is_safe().await
}

/// Follows the recipe, and starts the lobby of the project.
async fn start(recipe: &str, seats: &str) -> (Workshop, LobbyProcess) {
    let workshop = Recipe::read(recipe).follow_from_blank();
    workshop.install_libraries();
    must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
    let lobby = LobbyProcess::builder(workshop.target.join("debug/server"));
    let lobby = lobby.working_dir(&workshop.project).flags(&["--dev", "--seats", seats]);
    let lobby = lobby.on_line(|line| println!("{line}")).start().await;
    (workshop, lobby)
}

async fn register(browser: &Browser, url: &str, name: &str) -> Result<Page> {
    let page = browser.open(url).await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.press("Enter").await?;
    page.until("!document.getElementById('register').getClientRects().length").await?;
    Ok(page)
}
