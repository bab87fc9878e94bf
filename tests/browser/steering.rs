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

    // A click in between does not release a key.
    page.hold("ArrowDown").await?;
    page.click("#arena").await?;
    page.until(&format!("{DOT}.y === 1")).await?;
    page.release("ArrowDown").await?;
    page.is_content()
}

#[tokio::test]
async fn a_key_that_is_held_when_the_window_loses_the_focus_is_released() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = enter(&browser, &lobby.url, "Ann").await?;
    let start = page.eval(&format!("{DOT}.x")).await?.as_f64().unwrap_or_default();
    let key = if start < 0.5 { "ArrowRight" } else { "ArrowLeft" };
    // By the page itself, as soon as the dot moves: a wall is a second away.
    let blur = format!(
        "void setInterval(() => {DOT}.x === {start} || dispatchEvent(new Event('blur')), 10)"
    );
    page.eval(&blur).await?;
    page.hold(key).await?;
    page.until(&format!("{DOT}.x !== {start}")).await?;
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
    ensure!(stops_on_its_way(&page).await?, "it went on to the finger");
    ensure!(page.eval(HAS_SCROLLED).await? == false, "the page has scrolled");
    page.is_content()
}

/// Whether a dot that is drawn up or down stops where the finger is lifted. On a busy machine it
/// may arrive before that: then it is drawn the other way.
async fn stops_on_its_way(page: &Page) -> Result<bool> {
    let up = ([0.8, 0.6, 0.4, 0.2], format!("{DOT}.y < 0.9"), format!("{DOT}.y > 0.3"));
    let down = ([0.2, 0.4, 0.6, 0.8], format!("{DOT}.y > 0.2"), format!("{DOT}.y < 0.7"));
    for (way, has_moved, is_on_its_way) in [up, down].iter().cycle().take(20) {
        page.touch("#arena", 0.1, way[0]).await?;
        for down in way {
            page.slide("#arena", 0.9, *down).await?;
        }
        page.until(has_moved).await?;
        page.lift().await?;
        stands_still(page).await?;
        if page.eval(is_on_its_way).await? == true {
            return Ok(true);
        }
    }
    Ok(false)
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
