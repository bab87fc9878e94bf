//! Every example shows players' texts as text, and the page complies with its
//! Content-Security-Policy: markup creates no element, and no script of a player runs.

use anyhow::{Result, ensure};

use super::chromium::{Browser, Page};
use super::project::Project;

const NAME: &str = "<svg onload=ran=1>";
const OTHER: &str = "<img src onerror=ran=1>";
const TITLE: &str = "<img src=x onerror=window.ran=1>";
/// At most as long as a code.
const CODE: &str = "<b>x</b>";

#[tokio::test]
async fn in_the_arena_what_players_write_is_text() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let [writer, reader] = two_players(&browser, &lobby.url).await?;
    writer.click("#create input").await?;
    writer.write(TITLE).await?;
    writer.click("#create button").await?;
    writer.until_at("room 1").await?;
    reader.until_shows("#rooms", TITLE).await?;
    reader.click("#rooms button").await?;
    reader.until_at("room 1").await?;
    reader.until_shows("#players", NAME).await?;
    writer.until_shows("#players", OTHER).await?;

    // Room and lobby both show the title in a notice when the room has ended.
    writer.click("#leave").await?;
    writer.until_at("lobby").await?;
    reader.click("#kill").await?;
    writer.until_shows("#news", TITLE).await?;
    all_is_text([&writer, &reader]).await
}

#[tokio::test]
async fn in_the_blank_example_what_players_write_is_text() -> Result<()> {
    let project = Project::of("blank")?;
    let lobby = project.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let [writer, reader] = two_players(&browser, &lobby.url).await?;
    writer.click("#join").await?;
    writer.until_at("room 1").await?;
    writer.click("#hello").await?;
    reader.until_shows("#news", NAME).await?;
    reader.click("#join").await?;
    for page in [&writer, &reader] {
        page.until_shows("#players", NAME).await?;
        page.until_shows("#players", OTHER).await?;
    }
    reader.click("#hello").await?;
    writer.until_shows("#greeting", OTHER).await?;
    all_is_text([&writer, &reader]).await
}

#[tokio::test]
async fn where_two_play_in_turns_what_players_write_is_text() -> Result<()> {
    let project = Project::of("turns")?;
    let lobby = project.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let [writer, reader] = two_players(&browser, &lobby.url).await?;
    writer.click("#join-friend input").await?;
    writer.write(CODE).await?;
    writer.click("#join-friend button").await?;
    writer.until("notices.some((text) => text.length > 0)").await?;
    for page in [&writer, &reader] {
        page.click("#find").await?;
    }
    for page in [&writer, &reader] {
        page.until_at("room 1").await?;
        page.until_shows("#players", NAME).await?;
        page.until_shows("#players", OTHER).await?;
        page.until("document.getElementById('turn').textContent.includes('turn')").await?;
    }
    // One of the two pages shows the opponent's name.
    for page in [&writer, &reader] {
        page.click("#board button:nth-child(2)").await?;
    }
    writer.click("#leave").await?;
    reader.until_shows("#turn", NAME).await?;
    reader.click("#leave").await?;
    for page in [&writer, &reader] {
        page.until_at("lobby").await?;
        page.until_shows("#news", NAME).await?;
        page.until_shows("#news", OTHER).await?;
    }
    all_is_text([&writer, &reader]).await
}

#[tokio::test]
async fn where_rooms_compute_what_players_write_is_text() -> Result<()> {
    let project = Project::of("compute")?;
    let lobby = project.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let [writer, reader] = two_players(&browser, &lobby.url).await?;
    for page in [&writer, &reader] {
        page.click("#out").await?;
        page.until_notice("Complete after").await?;
    }
    all_is_text([&writer, &reader]).await
}

#[tokio::test]
async fn what_the_policy_does_not_allow_does_not_happen() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    page.until_at("lobby").await?;
    for (attempt, forbidden) in [
        (
            "document.body.insertAdjacentHTML('beforeend', '<b style=\"color: red\">x</b>')",
            "style-src",
        ),
        (
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"ran = 1\">')",
            "script-src",
        ),
        ("script.textContent = 'ran = 1'; document.body.append(script)", "script-src"),
        ("script.src = 'http://localhost:1/x.js'; document.body.append(script)", "script-src"),
        ("new Image().src = 'http://localhost:1/x.png'", "img-src"),
        ("fetch('http://localhost:1/').catch(() => {})", "connect-src"),
        ("new WebSocket('ws://localhost:1/')", "connect-src"),
        ("new EventSource('http://localhost:1/')", "connect-src"),
        ("base.href = 'http://localhost:1/'; document.head.append(base)", "base-uri"),
        (
            "form.action = 'http://localhost:1/'; document.body.append(form); form.submit()",
            "form-action",
        ),
        ("frame.src = 'http://localhost:1/'; document.body.append(frame)", "frame-src"),
        ("object.data = '/icon.svg'; document.body.append(object)", "object-src"),
    ] {
        let element = ["script", "base", "form", "iframe", "object"].map(|name| {
            format!("const {} = document.createElement('{name}');", name.trim_start_matches('i'))
        });
        page.eval(&format!(
            "forbidden.length = 0; {{ {} try {{ {attempt} }} catch {{}} }} void 0",
            element.concat()
        ))
        .await?;
        page.until(&format!("forbidden.some((what) => what.startsWith('{forbidden}'))")).await?;
    }
    ensure!(page.eval("window.ran === undefined").await? == true, "it ran");
    // The checks of the other tests find it.
    page.until("made.some((what) => what.startsWith('<b '))").await?;
    ensure!(page.is_safe().await.is_err() && page.is_content().is_err(), "nobody complains");
    Ok(())
}

/// Two registered players, each in a window.
async fn two_players(browser: &Browser, url: &str) -> Result<[Page; 2]> {
    let writer = browser.open(url).await?;
    register(&writer, NAME).await?;
    let reader = browser.open(&format!("{url}/?as=2")).await?;
    register(&reader, OTHER).await?;
    Ok([writer, reader])
}

async fn register(page: &Page, name: &str) -> Result<()> {
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.click("#register button").await?;
    page.until("document.getElementById('play').getClientRects().length").await?;
    page.until_shows("#hop-you", name).await
}

/// The logs show both names as text only, and the page has not violated its policy. The icon is
/// loaded here: a headless browser does not request it.
async fn all_is_text(pages: [&Page; 2]) -> Result<()> {
    for page in pages {
        for name in [NAME, OTHER] {
            page.until_shows("#server-log", name).await?;
        }
        let icon = "new Promise((loaded, failed) => Object.assign(new Image(), \
                    { onload: () => loaded(true), onerror: failed, src: document.querySelector('[rel=icon]').href }))";
        ensure!(page.eval(icon).await? == true, "no icon");
        let made = page.eval("document.querySelectorAll('b, i, img, svg').length").await?;
        ensure!(made == 0, "{made} elements were made of text");
        ensure!(page.eval("window.ran === undefined").await? == true, "a player's script ran");
        page.is_safe().await?;
        page.is_content()?;
    }
    Ok(())
}
