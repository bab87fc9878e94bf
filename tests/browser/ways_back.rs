//! However a connection ends, the page returns to the lobby and says why.

use anyhow::{Context as _, Result, ensure};
use cluster::testing::Signal;
use serde_json::json;

use super::chromium::{Browser, Page};
use super::project::Project;
use super::story::register;

/// Joins a room from the lobby.
async fn play(page: &Page) -> Result<()> {
    page.click("#join-any").await?;
    page.until("document.body.dataset.state === 'room'").await
}

/// Waits until the page has lost the connection to its room, and is in it again.
async fn is_back_in_the_room(page: &Page) -> Result<()> {
    page.until_notice("The connection to the room was lost.").await?;
    page.until_notice("You are in room 1.").await?;
    page.until("document.body.dataset.state === 'room'").await
}

#[tokio::test]
async fn leaving_and_losing_the_connection_are_told_apart() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;
    play(&page).await?;
    page.click("#leave").await?;
    page.until_notice("You left the room. You are back in the lobby.").await?;
    page.until_at("lobby").await?;

    // The room keeps the seat of a player whose connection is lost.
    play(&page).await?;
    page.forget_notices().await?;
    page.click("#drop").await?;
    is_back_in_the_room(&page).await?;
    page.is_content()
}

#[tokio::test]
async fn a_players_newest_window_wins_in_the_lobby_and_in_a_room() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let first = browser.open(&lobby.url).await?;
    register(&first, "Ann").await?;

    let second = browser.open(&lobby.url).await?;
    second.until_shows("#hop-you", "Ann").await?;
    is_replaced(&first).await?;
    play(&second).await?;

    // The third is rerouted to the second's room.
    let third = browser.open(&lobby.url).await?;
    third.until_at("room 1").await?;
    is_replaced(&second).await?;
    third.click("#leave").await?;
    third.until_notice("You left the room. You are back in the lobby.").await?;

    for page in [&first, &second] {
        is_replaced(page).await?;
        let since = "document.getElementById('client-log').innerText.split('state: stopped')[1]";
        let log = page.eval(since).await?;
        let log = log.as_str().context("the log does not say that it stopped")?;
        ensure!(!log.contains("connecting"), "it did not stay put:\n{log}");
    }
    for page in [&first, &second, &third] {
        page.is_content()?;
    }

    // It reconnects on request.
    first.click("#resume").await?;
    first.until_at("lobby").await?;
    first.until_shows("#greeting", "Welcome, Ann").await?;
    is_replaced(&third).await?;
    ensure!(first.eval("document.getElementById('stopped').hidden").await? == true);
    Ok(())
}

async fn is_replaced(page: &Page) -> Result<()> {
    page.until("document.body.dataset.state === 'stopped'").await?;
    page.until_shows("#notice", "connected in another window").await
}

#[tokio::test]
async fn a_lobby_that_starts_again_still_knows_its_players() -> Result<()> {
    let mut lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let ann = browser.open(&lobby.url).await?;
    register(&ann, "Ann").await?;
    let bob = browser.open(&format!("{}/?as=2", lobby.url)).await?;
    register(&bob, "Bob").await?;
    play(&bob).await?;
    let id = "[...document.querySelectorAll('#details dd')][2].textContent";
    let before = ann.eval(id).await?;
    for page in [&ann, &bob] {
        page.eval("void (window.isOld = true)").await?;
    }

    lobby.signal(Signal::TERM);
    lobby.ended().await;
    for page in [&ann, &bob] {
        page.until("document.body.dataset.state === 'connecting'").await?;
        page.until_shows("#reconnecting", "Reconnecting").await?;
        page.forget_notices().await?;
    }
    let port = lobby.port().to_string();
    let _lobby = lobby.again_with(&["--port", &port]).await;
    for (page, name) in [(&ann, "Ann"), (&bob, "Bob")] {
        // The development panel has reloaded the page.
        page.until("!window.isOld && document.body.dataset.state === 'lobby'").await?;
        page.until_shows("#greeting", &format!("Welcome, {name}")).await?;
        page.until("document.getElementById('reconnecting').hidden").await?;
    }
    ensure!(ann.eval(id).await? == before, "somebody else");

    // The server's log continues, and the only errors are those of the missing lobby.
    play(&ann).await?;
    ann.until_shows("#server-log", "joined player=Ann").await?;
    for complaint in [ann.complaints(), bob.complaints()].concat() {
        let missing = ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"];
        ensure!(missing.iter().any(|why| complaint.contains(why)), "{complaint}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reload_of_the_lobby_is_seen_in_the_lobby_alone() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let ann = browser.open(&lobby.url).await?;
    register(&ann, "Ann").await?;
    play(&ann).await?;
    let bob = browser.open(&format!("{}/?as=2", lobby.url)).await?;
    register(&bob, "Bob").await?;
    // Without the development panel, which loads the page again when the lobby is another.
    let watch = "window.states = [];
        const asks = window.fetch;
        window.fetch = (url) => String(url).includes('/dev/') ? new Promise(() => {}) : asks(url);
        const watch = () => states.push(document.body.dataset.state);
        void new MutationObserver(watch).observe(document.body, { attributeFilter: ['data-state'] })";
    for page in [&ann, &bob] {
        page.eval(watch).await?;
    }

    lobby.signal(Signal::HUP);
    lobby.logged("reloaded").await;
    bob.until("window.states.join() === 'connecting,lobby'").await?;
    bob.until_shows("#greeting", "Welcome, Bob").await?;
    play(&bob).await?;
    ann.until_shows("#players", "Bob").await?;
    ensure!(ann.eval("window.states.length").await? == 0);
    ann.is_content()?;
    ann.click("#leave").await?;
    ann.until_notice("You left the room. You are back in the lobby.").await
}

#[tokio::test]
async fn a_page_that_was_asleep_or_left_in_history_is_where_it_was_again() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;

    // The event of a page that wakes up.
    let wake = "void dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))";
    play(&page).await?;
    page.forget_notices().await?;
    page.eval(wake).await?;
    is_back_in_the_room(&page).await?;

    // The lobby's connection is replaced, too.
    page.click("#leave").await?;
    page.until_at("lobby").await?;
    page.eval("void document.getElementById('client-log').replaceChildren()").await?;
    page.eval(wake).await?;
    page.until_shows("#client-log", "asleep").await?;
    page.until_shows("#client-log", "lobby: welcome").await?;
    page.until_at("lobby").await?;

    // Away and back, whether the browser has cached the page or loads it again.
    play(&page).await?;
    page.eval("void (location.href = '/icon.svg')").await?;
    page.until("document.documentElement.nodeName === 'svg'").await?;
    page.eval("void history.back()").await?;
    page.until("document.documentElement.nodeName === 'HTML'").await?;
    page.until_at("room 1").await?;
    page.until("document.body.dataset.state === 'room'").await
}

#[tokio::test]
async fn others_see_at_once_that_a_player_has_left_the_page() -> Result<()> {
    // Nobody is disconnected for a missing answer to a ping.
    let lobby = Project::get()?.start_lobby(&["--ping-interval", "1h"]).await;
    let browser = Browser::start().await?;
    let ann = browser.open(&lobby.url).await?;
    register(&ann, "Ann").await?;
    play(&ann).await?;
    let bob = browser.open(&format!("{}/?as=2", lobby.url)).await?;
    register(&bob, "Bob").await?;
    play(&bob).await?;
    ann.until_shows("#players", "Bob").await?;
    bob.eval("void (location.href = '/icon.svg')").await?;
    ann.until("document.querySelector('#players .away')?.textContent.includes('Bob')").await
}

#[tokio::test]
async fn a_page_whose_network_is_gone_is_where_it_was_again_when_it_is_back() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;
    for from_a_room in [false, true] {
        if from_a_room {
            play(&page).await?;
        }
        offline(&page, true).await?;
        page.until("document.body.dataset.state === 'connecting'").await?;
        offline(&page, false).await?;
        page.until_at(if from_a_room { "room 1" } else { "lobby" }).await?;
    }
    Ok(())
}

async fn offline(page: &Page, offline: bool) -> Result<()> {
    let conditions = json!({
        "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
    });
    page.call("Network.emulateNetworkConditions", conditions).await.map(drop)
}

#[tokio::test]
async fn a_connection_that_nobody_answers_is_not_believed_when_network_or_page_are_back()
-> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;

    let signs = [
        "window.dispatchEvent(new Event('online'))",
        "document.dispatchEvent(new Event('visibilitychange'))",
    ];
    for sign in signs {
        page.eval("void document.getElementById('client-log').replaceChildren()").await?;
        lobby.signal(Signal::STOP);
        page.eval(sign).await?;
        page.until_shows("#client-log", "\"why\":\"no_answer\"").await?;
        // The next attempt fails, too.
        page.until_shows("#client-log", "\"why\":\"timeout\"").await?;

        lobby.signal(Signal::CONT);
        page.until_at("lobby").await?;
        page.until_shows("#greeting", "Welcome, Ann").await?;
    }
    play(&page).await
}
