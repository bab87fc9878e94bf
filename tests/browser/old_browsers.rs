//! Browsers of 2021, and browsers without storage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use cluster::testing::TestFolder;
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::story::register;
use crate::template::helpers::{REPOSITORY, repository};

/// Deletes whatever is newer than the oldest browsers, by MDN's data.
fn take_away_what_is_newer() -> Result<String> {
    let delete = String::from_utf8(newer(&[])?)?;
    Ok(format!(
        "{delete} if ('canParse' in URL || 'at' in [] || 'at' in new Uint8Array() || 'union' in new Set()
          || 'map' in [].values() || 'timeout' in AbortSignal || 'checkVisibility' in document
          || ['structuredClone', 'navigation', 'scheduler'].some((name) => name in window))
          throw new Error('it is still new');"
    ))
}

/// Runs `newer.mjs` with these files.
fn newer(files: &[PathBuf]) -> Result<Vec<u8>> {
    let script = Path::new(REPOSITORY).join("tests/browser/newer.mjs");
    let output = Command::new("node").arg(script).args(files).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "newer.mjs has failed: run `npm ci` in tests/browser");
    Ok(output.stdout)
}

#[test]
fn scripts_and_styles_have_nothing_newer_than_the_oldest_browsers() -> Result<()> {
    let is_page = |path: &&String| {
        let folder = path.starts_with("cluster/web/") || format!("/{path}").contains("/static/");
        folder && (path.ends_with(".js") || path.ends_with(".css"))
    };
    let files = repository();
    let files: Vec<_> =
        files.keys().filter(is_page).map(|path| Path::new(REPOSITORY).join(path)).collect();
    ensure!(files.len() > 18, "{files:?} are not all");
    let faults = String::from_utf8(newer(&files)?)?;
    ensure!(faults.is_empty(), "{faults}");

    // It finds what is there.
    let folder = TestFolder::new();
    for (name, text, found) in [
        ("a.js", "class A { static { } #x; y(z) { return #x in z; } }", 2),
        ("b.js", "export const found = /(?<=a)b/.test('ab') || /a/d.test('a');", 2),
        (
            "a.css",
            "a:has(b) { text-wrap: balance; height: 100dvh; color: light-dark(red, blue) }",
            5,
        ),
        (
            "b.css",
            "a { &:hover { inset: 0; } } @media (width >= 60em) { a { overflow: clip; } }",
            3,
        ),
        ("c.css", "/* & */ a::before { content: \"100dvh\"; inset: 0; aspect-ratio: 1; }", 0),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, text)?;
        let faults = String::from_utf8(newer(&[file])?)?;
        ensure!(faults.lines().count() == found, "{text}: {faults}");
    }
    Ok(())
}

#[tokio::test]
async fn play_leads_into_a_room_where_url_can_parse_and_other_newer_things_are_missing()
-> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open_as_in_2021(&browser, &lobby.url).await?;
    register(&page, "Ann").await?;
    page.click("#join-any").await?;
    page.until_at("room 1").await?;
    page.until_shows("#players", "Ann").await?;
    page.until_shows("#details", "/rooms/1").await?;
    page.until_shows("#server-log", "joined player=Ann").await?;

    // Another player joins, drops and leaves.
    let bob = open_as_in_2021(&browser, &format!("{}/?as=2", lobby.url)).await?;
    register(&bob, "Bob").await?;
    bob.until_shows("#rooms", "Room 1").await?;
    bob.click("#rooms button").await?;
    page.until_shows("#players", "Bob").await?;
    page.hold("ArrowRight").await?;
    bob.click("#drop").await?;
    bob.until_notice("Your connection to the room was lost.").await?;
    bob.until_at("room 1").await?;
    page.release("ArrowRight").await?;
    bob.click("#leave").await?;
    page.until("!document.getElementById('players').innerText.includes('Bob')").await?;
    page.click("#leave").await?;
    page.until_notice("You left the room. You are back in the lobby.").await?;
    page.is_content()?;
    bob.is_content()
}

#[tokio::test]
async fn every_button_of_the_blank_example_works_in_the_oldest_browsers() -> Result<()> {
    let lobby = Project::of("blank")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open_as_in_2021(&browser, &lobby.url).await?;
    enter_name(&page, "Ann").await?;
    page.click("#wave").await?;
    page.until_shows("#news", "Ann").await?;
    page.click("#join").await?;
    page.until_at("room 1").await?;
    page.until_shows("#players", "Ann").await?;
    page.until_shows("#details", "/rooms/1").await?;
    page.click("#hello").await?;
    page.until_shows("#greeting", "Ann").await?;
    page.click("#leave").await?;
    page.until_at("lobby").await?;
    page.is_content()
}

#[tokio::test]
async fn two_play_in_turns_in_the_oldest_browsers() -> Result<()> {
    let lobby = Project::of("turns")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let ann = open_as_in_2021(&browser, &lobby.url).await?;
    let bob = open_as_in_2021(&browser, &format!("{}/?as=2", lobby.url)).await?;
    for (page, name) in [(&ann, "Ann"), (&bob, "Bob")] {
        enter_name(page, name).await?;
        page.click("#find").await?;
    }
    for page in [&ann, &bob] {
        page.until_at("room 1").await?;
        page.until_shows("#turn", "turn").await?;
    }
    let ann_begins = ann.eval("document.getElementById('turn').innerText.startsWith('Your')");
    let (first, second) = if ann_begins.await? == true { (&ann, &bob) } else { (&bob, &ann) };
    first.click("#board button:nth-child(2)").await?;
    second.until_shows("#turn", "Your turn").await?;
    first.click("#leave").await?;
    second.until_shows("#turn", "has left: you win").await?;
    second.click("#leave").await?;
    for page in [&ann, &bob] {
        page.until_at("lobby").await?;
        page.is_content()?;
    }
    Ok(())
}

#[tokio::test]
async fn rooms_compute_a_picture_for_the_oldest_browsers() -> Result<()> {
    let lobby = Project::of("compute")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open_as_in_2021(&browser, &lobby.url).await?;
    enter_name(&page, "Ann").await?;
    page.until_notice("Complete after").await?;
    page.until_shows("#workers", "Room 1").await?;
    page.forget_notices().await?;
    page.click("#in").await?;
    page.until_notice("Complete after").await?;
    page.is_content()
}

async fn open_as_in_2021(browser: &Browser, url: &str) -> Result<Page> {
    browser.open_after(&Device::LAPTOP, &take_away_what_is_newer()?, url).await
}

/// Fills in the form of any example.
async fn enter_name(page: &Page, name: &str) -> Result<()> {
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.press("Enter").await?;
    page.until("document.getElementById('play').getClientRects().length").await
}

#[tokio::test]
async fn with_cookies_blocked_a_player_stays_themselves_and_is_told_why_they_are_back() -> Result<()>
{
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start_without_cookies().await?;
    let page = browser.open(&lobby.url).await?;
    let kept = page.eval("(document.cookie = 'a=b') && document.cookie").await?;
    ensure!(kept == "", "cookies are not blocked: {kept}");
    register(&page, "Ann").await?;
    for room in ["1", "2"] {
        plays_until_the_room_dies(&page, room).await?;
    }
    // The console says why, once.
    let complaints = page.complaints();
    ensure!(complaints.len() == 2, "{complaints:?}");
    ensure!(complaints[0].contains("cookies are blocked"), "{complaints:?}");
    ensure!(complaints[1].contains("Access is denied"), "{complaints:?}");
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_cannot_be_read_or_written_does_not_stop_the_page() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let throws = "Object.defineProperty(Document.prototype, 'cookie', {
      get() { throw new DOMException('no cookies here', 'SecurityError') },
      set() { throw new DOMException('no cookies here', 'SecurityError') },
    });";
    let page = browser.open_after(&Device::LAPTOP, throws, &lobby.url).await?;
    register(&page, "Ann").await?;
    plays_until_the_room_dies(&page, "1").await?;
    // All of these errors are logged, and no others.
    let complaints = page.complaints();
    ensure!(!complaints.is_empty(), "the console was not told");
    for complaint in complaints {
        ensure!(complaint.contains("no cookies here"), "{complaint}");
    }
    Ok(())
}

/// Joins a new room, and returns as the same player.
async fn plays_until_the_room_dies(page: &Page, room: &str) -> Result<()> {
    let id = "[...document.querySelectorAll('#details dd')][2].textContent";
    let before = page.eval(id).await?;
    page.forget_notices().await?;
    page.click("#join-any").await?;
    page.until_at(&format!("room {room}")).await?;
    page.click("#kill").await?;
    page.until_notice("The room crashed. You are back in the lobby.").await?;
    page.until_at("lobby").await?;
    page.until_shows("#greeting", "Welcome, Ann").await?;
    let after = page.eval(id).await?;
    ensure!(after == before && after != json!("–"), "{before} has become {after}");
    Ok(())
}
