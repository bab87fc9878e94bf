//! The development panel: one element, in development alone, which reloads the page when the lobby
//! has been started again.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{LobbyProcess, Signal, TestFolder};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;

const IS_OPEN: &str = "document.getElementById('dev-panel').open";

#[tokio::test]
async fn the_panel_is_one_element_and_remembers_whether_it_was_folded() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    for (device, open) in [(Device::LAPTOP, true), (Device::PHONE, false)] {
        let page = browser.open_on(&device, &lobby.url).await?;
        page.until_at("lobby").await?;
        ensure!(page.eval(IS_OPEN).await? == open, "at first");
        ensure!(page.eval("document.body.lastElementChild.id").await? == "dev-panel");
        for part in ["hops", "kill", "drop", "another", "details", "client-log", "server-log"] {
            let inside = format!("document.querySelectorAll('#dev-panel #{part}').length");
            ensure!(page.eval(&inside).await? == 1, "{part} is not in the panel");
        }
        // Choosing is remembered, in both directions.
        for chosen in [!open, open] {
            page.click("#dev-panel summary").await?;
            page.until(&format!("{IS_OPEN} === {chosen}")).await?;
            page.reload().await?;
            page.until_at("lobby").await?;
            ensure!(page.eval(IS_OPEN).await? == chosen, "after a reload");
        }
        page.is_content()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_panel_that_loads_late_shows_where_the_player_is() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    // `/dev` is answered when the test says so.
    let late = "const now = window.fetch;
        window.fetch = (path, ...more) => path !== '/dev' ? now(path, ...more)
          : new Promise((go) => (window.answer = go)).then(() => now(path, ...more));";
    let page = browser.open(&lobby.url).await?;
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": late })).await?;
    page.call("Page.reload", json!({})).await?;
    page.until("window.answer && document.getElementById('lobby').getClientRects().length").await?;
    page.click("#register input").await?;
    page.write("Ann").await?;
    page.click("#register button").await?;
    page.click("#join-any").await?;
    page.until("document.getElementById('leave').getClientRects().length").await?;
    ensure!(page.eval("document.getElementById('dev-panel')").await?.is_null(), "too early");

    page.eval("void answer()").await?;
    page.until_at("room 1").await?;
    page.until_shows("#hop-you", "Ann").await?;
    page.until_shows("#details", "/rooms/1").await?;
    page.until_shows("#client-log", "asking: register").await?;
    page.until_shows("#server-log", "joined player=Ann").await?;
    page.is_content()
}

#[tokio::test]
async fn without_its_line_or_outside_development_there_is_no_panel() -> Result<()> {
    let project = Project::get()?;
    let browser = Browser::start().await?;
    let development = project.start_lobby(&[]).await;
    let page = browser.open(&development.url).await?;

    let released = LobbyProcess::builder(&project.program).working_dir(&project.folder);
    let released = released.flags(&["--dev=false"]).start().await;
    plays_without_a_panel(&page, &released).await?;

    let folder = page_without_the_line(&project)?;
    let pages = folder.path().join("static");
    let pages = pages.to_str().context("a path that is not text")?;
    let without = project.start_lobby(&["--static-dir", pages]).await;
    plays_without_a_panel(&page, &without).await?;
    page.is_content()
}

async fn plays_without_a_panel(page: &Page, lobby: &LobbyProcess) -> Result<()> {
    page.call("Page.navigate", json!({ "url": lobby.url })).await?;
    page.until(&format!("location.origin === '{}'", lobby.url)).await?;
    page.click("#register input").await?;
    page.write("Ann").await?;
    page.click("#register button").await?;
    page.click("#join-any").await?;
    page.until("document.getElementById('leave').getClientRects().length").await?;
    let parts = "document.querySelectorAll('#dev-panel, #hops, #drop, [href*=dev-panel]').length";
    ensure!(page.eval(parts).await? == 0, "a part of the panel is there");
    Ok(())
}

/// The project's page, but for the line that adds the panel.
fn page_without_the_line(project: &Project) -> Result<Arc<TestFolder>> {
    let folder = TestFolder::new();
    let pages = folder.path().join("static");
    fs::create_dir(&pages)?;
    for file in fs::read_dir(project.folder.join("static"))? {
        let file = file?;
        fs::copy(file.path(), pages.join(file.file_name()))?;
    }
    symlink(project.folder.join("node_modules"), folder.path().join("node_modules"))?;
    let client = fs::read_to_string(pages.join("client.js"))?;
    let (with, without): (Vec<_>, Vec<_>) =
        client.lines().partition(|line| line.contains("dev-panel"));
    ensure!(with.len() == 1, "not one line: {with:?}");
    fs::write(pages.join("client.js"), without.join("\n") + "\n")?;
    Ok(folder)
}

#[tokio::test]
async fn a_lobby_that_starts_again_reloads_its_pages_once_and_hidden_ones_when_they_are_seen()
-> Result<()> {
    let mut lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let counts = "sessionStorage.loads = 1 + Number(sessionStorage.loads ?? 0);";
    let seen = browser.open_after(&Device::LAPTOP, counts, &lobby.url).await?;
    let behind = browser.open_after(&Device::LAPTOP, counts, &lobby.url).await?;
    behind.eval("void (window.hides = true)").await?;
    behind.eval("void Object.defineProperty(document, 'hidden', { get: () => hides })").await?;
    for page in [&seen, &behind] {
        page.until_at("lobby").await?;
        page.until_shows("#server-log", "lobby ready").await?;
    }

    lobby.signal(Signal::TERM);
    lobby.ended().await;
    let port = lobby.port().to_string();
    let _lobby = lobby.again_with(&["--port", &port]).await;
    seen.until("sessionStorage.loads === '2'").await?;
    seen.until_at("lobby").await?;
    behind.until_at("lobby").await?;
    let polls = "performance.getEntriesByType('resource').filter(({ name }) => \
                 name.includes('/dev/log')).length";
    seen.until(&format!("{polls} >= 3")).await?;
    ensure!(behind.eval("sessionStorage.loads").await? == "1", "it was hidden");

    behind.eval("hides = false; document.dispatchEvent(new Event('visibilitychange'))").await?;
    behind.until("sessionStorage.loads === '2'").await?;
    for page in [&seen, &behind] {
        page.until_at("lobby").await?;
        page.until(&format!("{polls} >= 3")).await?;
        ensure!(page.eval("sessionStorage.loads").await? == "2", "it reloads again and again");
    }
    Ok(())
}
