//! Many tabs of one browser, which has only six HTTP/1.1 connections to a host.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::chromium::Browser;
use super::project::Project;
use super::story::register;

#[tokio::test]
async fn the_seventh_tab_of_a_development_page_loads_and_its_kill_button_works() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let urls: Vec<_> = (1..=9).map(|tab| format!("{}/?as={tab}", lobby.url)).collect();
    let pages = try_join_all(urls.iter().map(|url| browser.open(url))).await?;
    let last = pages.last().expect("nine pages");
    register(last, "Ann").await?;
    last.click("#join-any").await?;
    last.until_at("room 1").await?;
    last.click("#kill").await?;
    last.until_notice("The room crashed. You are back in the lobby.").await?;
    for page in &pages {
        page.until_at("lobby").await?;
        page.until_shows("#server-log", "registered player=Ann").await?;
        page.until_shows("#server-log", "room crashed").await?;
        page.is_content()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_tab_in_the_background_does_not_ask_for_the_log_and_misses_nothing() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let behind = browser.open(&lobby.url).await?;
    behind.eval("void (window.asked = 0, window.hides = true)").await?;
    behind
        .eval("void Object.defineProperty(document, 'hidden', { get: () => (asked += 1, hides) })")
        .await?;
    // It has checked twice whether it is hidden, so an earlier request has been answered.
    behind.until("asked >= 2").await?;

    let front = browser.open(&format!("{}/?as=2", lobby.url)).await?;
    register(&front, "Ann").await?;
    front.until_shows("#server-log", "registered player=Ann").await?;
    behind.eval("void (asked = 0)").await?;
    behind.until("asked >= 2").await?;
    let log =
        "document.getElementById('server-log').innerText.split('registered player=Ann').length - 1";
    ensure!(behind.eval(log).await? == 0, "it has asked for the log");

    behind.eval("void (hides = false)").await?;
    behind.until_shows("#server-log", "registered player=Ann").await?;
    // Each line once.
    behind.eval("void (asked = 0)").await?;
    behind.until("asked >= 2").await?;
    ensure!(behind.eval(log).await? == 1, "it shows a line again");
    Ok(())
}
