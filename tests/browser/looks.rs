//! How the pages of all examples look: on a laptop and a phone, by day and by night, with long and
//! right-to-left names, with few players and with a full room. axe-core checks each of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{Client, TestLobby, TestPlayer};
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
    look(&page, "arena-2-lobby").await?;
    page.click("#join-any").await?;
    has_players(&page, 2).await?;
    look(&page, "arena-3-two").await?;
    for name in &NAMES[2..] {
        others.push(Other::enters(&lobby, "play", name).await);
    }
    has_players(&page, 8).await?;
    look(&page, "arena-4-eight").await?;
    page.is_content()
}

#[tokio::test]
async fn the_blank_example_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("blank")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "blank").await?;
    let mut others = vec![Other::enters(&lobby, "play", NAMES[1]).await];
    page.click("#wave").await?;
    page.until_shows("#news", "waves").await?;
    look(&page, "blank-2-lobby").await?;
    page.click("#join").await?;
    has_players(&page, 2).await?;
    look(&page, "blank-3-two").await?;
    for name in &NAMES[2..] {
        others.push(Other::enters(&lobby, "play", name).await);
    }
    has_players(&page, 8).await?;
    page.click("#hello").await?;
    page.until_shows("#greeting", "says hello").await?;
    look(&page, "blank-4-eight").await?;
    page.is_content()
}

#[tokio::test]
async fn the_computed_picture_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("compute")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "compute").await?;
    page.until("document.querySelector('#workers button')?.checkVisibility()").await?;
    page.until_notice("Complete after").await?;
    look(&page, "compute-2-lobby").await?;
    page.is_content()
}

#[tokio::test]
async fn four_in_a_row_fits_everywhere_and_is_accessible() -> Result<()> {
    let lobby = Project::of("turns")?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &lobby, "turns").await?;
    page.click("#invite-friend").await?;
    page.until("document.getElementById('code').checkVisibility()").await?;
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
            look(&page, "turns-4-playing").await?;
        }
    }
    look(&page, "turns-5-end").await?;
    room.leave().await;
    page.until_shows("#players", "gone").await?;
    page.click("#leave").await?;
    page.until_shows("#news", "with a score of").await?;
    look(&page, "turns-2-lobby").await?;
    page.is_content()
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
    _room: Client,
}

impl Other {
    async fn enters(lobby: &TestLobby, event: &str, name: &str) -> Other {
        let mut player = lobby.player(name).await;
        let room = player.enter(event, json!({})).await;
        Other { _player: player, _room: room }
    }
}

/// Opens the page, looks at it, and registers its player.
async fn open(browser: &Browser, lobby: &TestLobby, example: &str) -> Result<Page> {
    let page = browser.open(&lobby.url).await?;
    page.until_at("lobby").await?;
    look(&page, &format!("{example}-1-register")).await?;
    page.click("#register input").await?;
    page.write(NAMES[0]).await?;
    page.click("#register button").await?;
    page.until("document.getElementById('play').checkVisibility()").await?;
    Ok(page)
}

async fn has_players(page: &Page, count: usize) -> Result<()> {
    page.until_at("room 1").await?;
    page.until(&format!("document.querySelectorAll('#players li').length === {count}")).await
}

/// Looks at the page on each device.
async fn look(page: &Page, name: &str) -> Result<()> {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&pictures)?;
    for (on, device) in &DEVICES {
        switch_to(page, device).await?;
        page.screenshot(&pictures.join(format!("{name}-{on}.png"))).await?;
        fits(page, device).await.with_context(|| format!("{name}-{on}"))?;
        is_accessible(page).await.with_context(|| format!("{name}-{on}"))?;
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
             e.checkVisibility() && e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)",
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
