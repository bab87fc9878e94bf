//! How the pages of all examples look: on a laptop and a phone, by day and by night, with long and
//! right-to-left names, with few players and with a full room. axe-core checks each of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{Client, LobbyProcess, Signal, TestPlayer};
use serde_json::{Value, json};

use super::chromium::{Browser, Device, Page};
use super::project::Project;

/// The last one is by day again, for the steps of a test between two looks.
const DEVICES: [(&str, Device); 4] = [
    ("phone-dark", Device { dark: true, ..Device::PHONE }),
    ("phone-light", Device::PHONE),
    ("laptop-dark", Device { dark: true, ..Device::LAPTOP }),
    ("laptop-light", Device::LAPTOP),
];

/// The first is the page's player. A name has at most 24 characters.
const NAMES: [&str; 8] = [
    "WWWWWWWWWWWWWWWWWWWWWWWW",
    "נעמי בת שבע",
    "دنيا زاد",
    "MMMM MMMMMMM MMMM MMMMMM",
    "Łucja Ødegård",
    "דן 7",
    "Ann",
    "Ὀδυσσεύς",
];

#[tokio::test]
async fn the_arena_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "arena").await?;
    let mut others = vec![Other::enters(&lobby, "play", NAMES[1]).await];
    page.until_shows("#rooms", "(1 of 8)").await?;
    check(&page, "arena-2-lobby").await?;
    page.click("#join-any").await?;
    has_players(&page, 2).await?;
    look(&page, "arena-3-two").await?;
    steers_by_touch(&page, &mut others[0]).await?;
    for name in &NAMES[2..] {
        others.push(Other::enters(&lobby, "play", name).await);
    }
    has_players(&page, 8).await?;
    check(&page, "arena-4-eight").await?;
    page.is_content()?;
    shows_that_it_reconnects(&page, &lobby, "arena").await
}

async fn steers_by_touch(page: &Page, other: &mut Other) -> Result<()> {
    switch_to(page, &Device::PHONE).await?;
    page.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": true })).await?;
    page.touch("#arena", 0.95, 0.5).await?;
    let is_there = |dot: &Value| dot["name"] == NAMES[0] && dot["x"].as_f64() > Some(0.95);
    let sees = |state: &Value| state["dots"].as_array().into_iter().flatten().any(is_there);
    other.room.event_where("state", sees).await;
    page.lift().await?;
    page.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": false })).await.map(drop)
}

#[tokio::test]
async fn the_blank_example_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("blank")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "blank").await?;
    let mut others = vec![Other::enters(&lobby, "play", NAMES[1]).await];
    page.click("#wave").await?;
    page.until_shows("#news", "waves").await?;
    check(&page, "blank-2-lobby").await?;
    page.click("#join").await?;
    has_players(&page, 2).await?;
    look(&page, "blank-3-two").await?;
    for name in &NAMES[2..] {
        others.push(Other::enters(&lobby, "play", name).await);
    }
    has_players(&page, 8).await?;
    page.click("#hello").await?;
    page.until_shows("#greeting", "says hello").await?;
    check(&page, "blank-4-eight").await?;
    page.is_content()?;
    shows_that_it_reconnects(&page, &lobby, "blank").await
}

#[tokio::test]
async fn the_computed_picture_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("compute")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "compute").await?;
    page.until("document.querySelector('#workers button')?.getClientRects().length").await?;
    page.until_notice("Complete after").await?;
    check(&page, "compute-2-lobby").await?;
    page.is_content()?;
    shows_that_it_reconnects(&page, &lobby, "compute").await
}

#[tokio::test]
async fn four_in_a_row_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("turns")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "turns").await?;
    page.click("#invite-friend").await?;
    page.until("document.getElementById('code').getClientRects().length").await?;
    look(&page, "turns-3-invite").await?;

    let code = page.eval("document.getElementById('code').textContent").await?;
    let mut friend = lobby.player(NAMES[1]).await;
    let mut room = friend.enter("join_friend", json!({ "code": code })).await;
    while let Some(yours) = whose_turn(&page).await? {
        let before = page.eval(DISCS).await?;
        if yours {
            page.click("#board button:nth-child(4)").await?;
        } else {
            room.ask("play", json!({ "column": 5 })).await.expect("a move");
        }
        page.until(&format!("{DISCS} !== {before}")).await?;
        if before == 3 {
            check(&page, "turns-4-playing").await?;
        }
    }
    look(&page, "turns-5-end").await?;
    room.leave().await;
    page.until_shows("#players", "gone").await?;
    page.click("#leave").await?;
    page.until_shows("#news", "with a score of").await?;
    check(&page, "turns-2-lobby").await?;
    page.is_content()?;
    shows_that_it_reconnects(&page, &lobby, "turns").await
}

const DISCS: &str = "document.querySelectorAll('.cell:not([data-side=\"\"])').length";

/// Whether it is the page's turn; `None` after the game.
async fn whose_turn(page: &Page) -> Result<Option<bool>> {
    page.until("/turn|win/.test(document.getElementById('turn').textContent)").await?;
    let text = page.eval("document.getElementById('turn').textContent").await?;
    let text = text.as_str().context("a text")?;
    Ok(if text.contains("turn") { Some(text.starts_with("Your")) } else { None })
}

#[tokio::test]
async fn what_is_not_accessible_is_found() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    page.until_at("lobby").await?;
    is_accessible(&page).await?;
    page.eval("document.querySelector('#register button').replaceChildren()").await?;
    let found = is_accessible(&page).await.expect_err("a button without a name").to_string();
    ensure!(found.contains("button-name") && found.contains("#register"), "{found}");
    Ok(())
}

/// Another player in a room; they stay until this is dropped.
struct Other {
    _player: TestPlayer,
    room: Client,
}

impl Other {
    async fn enters(lobby: &LobbyProcess, event: &str, name: &str) -> Other {
        let mut player = lobby.player(name).await;
        let room = player.enter(event, json!({})).await;
        Other { _player: player, room }
    }
}

/// Opens the page, looks at it, and registers its player.
async fn open(browser: &Browser, lobby: &LobbyProcess, example: &str) -> Result<Page> {
    let page = browser.open(&lobby.url).await?;
    page.until_at("lobby").await?;
    check(&page, &format!("{example}-1-register")).await?;
    page.click("#register input").await?;
    page.write(NAMES[0]).await?;
    page.click("#register button").await?;
    page.until("document.getElementById('play').getClientRects().length").await?;
    Ok(page)
}

async fn shows_that_it_reconnects(page: &Page, lobby: &LobbyProcess, example: &str) -> Result<()> {
    ensure!(
        page.eval("document.getElementById('reconnecting').hidden").await? == true,
        "too early"
    );
    lobby.signal(Signal::KILL);
    page.until("document.getElementById('reconnecting').getClientRects().length").await?;
    page.until_shows("#reconnecting", "Reconnecting").await?;
    look(page, &format!("{example}-6-reconnecting")).await
}

async fn has_players(page: &Page, count: usize) -> Result<()> {
    page.until_at("room 1").await?;
    page.until(&format!("document.querySelectorAll('#players li').length === {count}")).await
}

/// Keeps a picture of the page on each device. Fails if it does not fit.
async fn look(page: &Page, name: &str) -> Result<()> {
    look_and(page, name, false).await
}

/// The same; and fails if it is not accessible.
async fn check(page: &Page, name: &str) -> Result<()> {
    look_and(page, name, true).await
}

async fn look_and(page: &Page, name: &str, check: bool) -> Result<()> {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&pictures)?;
    for (on, device) in &DEVICES {
        switch_to(page, device).await?;
        page.screenshot(&pictures.join(format!("{name}-{on}.png"))).await?;
        fits(page, device).await.with_context(|| format!("{name}-{on}"))?;
        if check {
            is_accessible(page).await.with_context(|| format!("{name}-{on}"))?;
        }
    }
    Ok(())
}

/// Turns the page's device into another one. The panel is folded on phones, as if just loaded.
async fn switch_to(page: &Page, device: &Device) -> Result<()> {
    let &Device { width, height, scale, phone, dark } = device;
    let metrics = json!({
        "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone,
    });
    page.call("Emulation.setDeviceMetricsOverride", metrics).await?;
    let scheme = if dark { "dark" } else { "light" };
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    page.call("Emulation.setEmulatedMedia", media).await?;
    let settled = format!(
        "document.getElementById('dev-panel').open = {}; scrollTo(0, 0);
        new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(
          matchMedia('(prefers-color-scheme: dark)').matches))))",
        !phone
    );
    ensure!(page.eval(&settled).await? == dark, "the browser does not do as told");
    Ok(())
}

/// Nothing is wider than the screen, and what can be pressed is large enough for a finger.
pub async fn fits(page: &Page, device: &Device) -> Result<()> {
    let width = page.eval("document.documentElement.scrollWidth").await?;
    ensure!(width.as_u64() <= Some(device.width.into()), "it is {width} pixels wide");
    let small = page
        .eval(
            "[...document.querySelectorAll('button, input, select, summary, a')].filter((e) => \
             e.getClientRects().length && e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)",
        )
        .await?;
    ensure!(small == json!([]), "too small for a finger: {small}");
    Ok(())
}

/// Fails if axe-core finds something serious or critical.
async fn is_accessible(page: &Page) -> Result<()> {
    if page.eval("'axe' in window").await? == false {
        let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/node_modules/axe-core");
        let axe = fs::read_to_string(axe.join("axe.min.js"))
            .context("axe-core is missing: run `npm ci` in tests/browser")?;
        page.eval(&format!("{axe}; void 0")).await?;
    }
    let found = page
        .eval(
            "axe.run(document, { preload: false, resultTypes: ['violations'] })
            .then(({ violations }) => violations
              .filter(({ impact }) => impact === 'serious' || impact === 'critical')
              .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
                `${id}: ${target.join(' ')}: ${failureSummary}`)))",
        )
        .await?;
    let found: Vec<_> = found.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(found.is_empty(), "axe-core has found:\n{}", found.join("\n"));
    Ok(())
}
