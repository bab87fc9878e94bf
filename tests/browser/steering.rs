//! Keys, mouse and finger steer, the page stays where it is, and nothing is steered for ever.

use anyhow::{Result, ensure};

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::rounds::{AUTOPILOT, enter};

const DOT: &str = "window.arenaState?.dots[0]";
const NOTICE_SCROLLING: &str = "void addEventListener('scroll', () => (window.scrolled = true))";
const HAS_SCROLLED: &str = "'scrolled' in window";

#[tokio::test]
async fn keys_steer_whatever_has_the_focus_and_the_page_does_not_scroll() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby.url, "Ann").await?;
    ensure!(page.eval("document.body.scrollHeight > innerHeight").await? == true, "all is seen");
    page.eval("scrollTo(0, 0)").await?;
    page.until("scrollY === 0 && document.activeElement.id === 'arena'").await?;
    page.eval(NOTICE_SCROLLING).await?;
    for focus in ["document.activeElement.blur()", "document.getElementById('leave').focus()"] {
        page.eval(focus).await?;
        for (key, edge) in [("ArrowDown", 1), ("ArrowUp", 0)] {
            page.hold(key).await?;
            page.until(&format!("{DOT}.y === {edge}")).await?;
            page.release(key).await?;
        }
    }
    ensure!(page.eval(HAS_SCROLLED).await? == false, "the page has scrolled");
    page.is_content()
}

#[tokio::test]
async fn a_key_that_is_held_when_the_window_loses_the_focus_is_released() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby.url, "Ann").await?;
    let start = page.eval(&format!("{DOT}.x")).await?.as_f64().unwrap_or_default();
    let key = if start < 0.5 { "ArrowRight" } else { "ArrowLeft" };
    page.hold(key).await?;
    page.until(&format!("{DOT}.x !== {start}")).await?;
    page.eval("void dispatchEvent(new Event('blur'))").await?;
    stands_still(&page).await?;
    let end = page.eval(&format!("{DOT}.x")).await?.as_f64();
    ensure!(end.is_some_and(|end| 0.0 < end && end < 1.0), "it went on to {end:?}");
    Ok(())
}

#[tokio::test]
async fn a_finger_steers_everywhere_in_the_arena_until_it_is_lifted() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open_after(&Device::PHONE, AUTOPILOT, &lobby.url).await?;
    super::story::register(&page, "Ann").await?;
    page.click("#join-any").await?;
    page.until(DOT).await?;
    // Also in the margin.
    for ((across, down), (x, y)) in [((0.99, 0.01), (1, 0)), ((0.01, 0.99), (0, 1))] {
        page.touch("#arena", across, down).await?;
        page.until(&format!("{DOT}.x === {x} && {DOT}.y === {y}")).await?;
        page.lift().await?;
    }
    page.eval(NOTICE_SCROLLING).await?;
    page.touch("#arena", 0.1, 0.9).await?;
    for down in [0.8, 0.6, 0.4, 0.2] {
        page.slide("#arena", 0.9, down).await?;
    }
    page.until(&format!("{DOT}.y < 0.9")).await?;
    page.lift().await?;
    stands_still(&page).await?;
    ensure!(page.eval(&format!("{DOT}.y > 0.3")).await? == true, "it went on");
    ensure!(page.eval(HAS_SCROLLED).await? == false, "the page has scrolled");
    page.is_content()
}

/// Waits until the dot has the same place in ten states in a row.
async fn stands_still(page: &Page) -> Result<()> {
    page.eval("void (window.places = [])").await?;
    page.until(&format!(
        "(places.last !== arenaState && places.push(JSON.stringify([{DOT}.x, {DOT}.y])), \
          places.last = arenaState, places.length >= 10 && new Set(places.slice(-10)).size === 1)"
    ))
    .await
}
