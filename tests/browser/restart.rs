//! The recipe that restarts the lobby on save, seen from the page: it loads again by itself.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::chromium::{Browser, Page};
use crate::template::watch::Watch;

#[tokio::test]
async fn a_saved_file_is_in_the_page_without_a_reload_by_hand() -> Result<()> {
    let watch = Watch::start();
    watch.lobby(1).await;
    let browser = Browser::start().await?;
    let page = browser.open(&watch.url).await?;
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write("Ann").await?;
    page.press("Enter").await?;
    page.until("document.getElementById('join').getClientRects().length").await?;

    back_after(&page, "the room's code", || {
        watch.edit("src/room.rs", "{} says hello", "{} says hi");
    })
    .await?;
    page.click("#join").await?;
    page.click("#hello").await?;
    page.until_shows("#greeting", "Ann says hi").await?;

    back_after(&page, "the page", || {
        watch.edit("static/index.html", "Say hello", "Say hi");
    })
    .await?;
    page.click("#join").await?;
    page.until_shows("#hello", "Say hi").await
}

/// Waits until the page has loaded again, and Ann is in the lobby. Prints how long that took.
async fn back_after(page: &Page, what: &str, save: impl FnOnce()) -> Result<()> {
    page.eval("void (window.before = true)").await?;
    let start = Instant::now();
    save();
    page.until("!window.before && document.getElementById('join').getClientRects().length").await?;
    println!("{what} was saved; the page was back after {:.1?}", start.elapsed());
    ensure!(page.eval("document.getElementById('register').hidden").await? == true);
    Ok(())
}
