//! A round of the arena, in two windows: everyone sees who has won, a reload changes nothing, and
//! the next round begins when both want it.

use anyhow::{Result, ensure};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::story::register;

/// Steers the dot of the player whose name is in `autopilot` towards each coin, and keeps the
/// arena's last state.
pub const AUTOPILOT: &str = "
window.WebSocket = class extends WebSocket {
  constructor(...details) {
    super(...details);
    this.addEventListener('message', ({ data }) => {
      if (!String(data).startsWith('42[\"state\",')) return;
      [, window.arenaState] = JSON.parse(data.slice(2));
      const dot = arenaState.dots.find(({ name }) => name === window.autopilot);
      if (!dot) return;
      const way = (left) => Math.max(-1, Math.min(1, left * 20));
      const [x, y] = [way(arenaState.coin[0] - dot.x), way(arenaState.coin[1] - dot.y)];
      this.send('42' + JSON.stringify(['steer', { x, y }]));
    });
  }
};";

#[tokio::test]
async fn everyone_sees_who_has_won_and_plays_again() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let ann = enter(&browser, &lobby.url, "Ann").await?;
    let bob = enter(&browser, &format!("{}/?as=2", lobby.url), "Bob").await?;

    // A reload keeps color and score.
    let score = "Number(document.querySelector('#players [aria-current] .score').textContent)";
    ann.eval("void (autopilot = 'Ann')").await?;
    ann.until(&format!("{score} >= 3")).await?;
    ann.eval("void (autopilot = '')").await?;
    let (before, color) = (ann.eval(score).await?.as_u64(), ann.eval(COLOR).await?);
    ann.reload().await?;
    ann.until_at("room 1").await?;
    ann.until(&format!("{score} >= 3")).await?;
    ensure!(ann.eval(score).await?.as_u64() >= before, "the score has changed");
    ensure!(ann.eval(COLOR).await? == color, "the color has changed");
    ensure!(bob.eval(COLOR).await? != color, "two players of one color");

    // Both see who has won, and one of them also after a reload: if that takes longer than the
    // pause between two rounds, in the next one.
    ann.eval("void (autopilot = 'Ann')").await?;
    ann.until(&shows_results("You win!")).await?;
    bob.until(&shows_results("Ann wins!")).await?;
    bob.reload().await?;
    bob.until(&shows_results("Ann wins!")).await?;

    // Ann presses the button; Bob uses the keyboard, which is on the button. At the next end of a
    // round, with all of the pause before them.
    ann.until("document.getElementById('results').hidden").await?;
    ann.until(&shows_results("You win!")).await?;
    ann.eval("void (autopilot = '')").await?;
    ann.click("#again").await?;
    bob.until_shows("#scores", "ready").await?;
    ann.until("document.getElementById('again').disabled").await?;
    ensure!(bob.eval("document.activeElement.id").await? == "again", "the focus is elsewhere");
    bob.press("Enter").await?;
    for page in [&ann, &bob] {
        page.until("document.getElementById('results').hidden").await?;
        page.until(&format!("{score} === 0")).await?;
        page.is_content()?;
    }
    ensure!(bob.eval("document.activeElement.id").await? == "arena", "keys go elsewhere");

    // The others see who is away.
    bob.call("Page.close", json!({})).await?;
    ann.until_shows("#players .away", "Bob").await?;
    ann.until_shows("#players .away", "away").await
}

const COLOR: &str =
    "getComputedStyle(document.querySelector('#players [aria-current] .number')).backgroundColor";
/// Whether the page shows that Ann has won before Bob, with this headline.
fn shows_results(headline: &str) -> String {
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    format!(
        "!document.getElementById('results').hidden && {} === '{headline}' \
         && {}.startsWith('The next round begins in') \
         && String([...document.querySelectorAll('#scores bdi')].map((name) => name.textContent)) === 'Ann,Bob'",
        text("winner"),
        text("countdown")
    )
}

/// Registers a player and joins a room.
pub async fn enter(browser: &Browser, url: &str, name: &str) -> Result<Page> {
    let page = browser.open_after(&Device::LAPTOP, AUTOPILOT, url).await?;
    register(&page, name).await?;
    page.click("#join-any").await?;
    page.until_at("room 1").await?;
    page.until("window.arenaState").await?;
    Ok(page)
}

/// How different two colors look, on a scale from 0 to 100 (OKLab), to eyes of four kinds.
const DISTANCES: &str = "(() => {
  const linear = (name) => {
    const [, ...parts] = /(..)(..)(..)/.exec(getComputedStyle(document.body).getPropertyValue(name)
      .trim().slice(1).replace(/^(.)(.)(.)$/, '$1$1$2$2$3$3'));
    return parts.map((part) => parseInt(part, 16) / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  };
  const times = (matrix, color) => matrix.map((row) => row.reduce((sum, part, i) => sum + part * color[i], 0));
  const oklab = (color) => times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766]], times([[0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], color).map(Math.cbrt));
  // Machado, Oliveira and Fernandes: protanopia, deuteranopia, tritanopia.
  const eyes = [[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]];
  const seen = (eye, color) => oklab(times(eye, color).map((part) => Math.max(0, Math.min(1, part))));
  const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const contrast = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const colors = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => linear(`--player-${number}`));
  const [ground, text] = [linear('--surface'), linear('--on-player')];
  const distances = eyes.flatMap((eye) => colors.flatMap((one, i) => colors.slice(i + 1).map((other) =>
    100 * Math.hypot(...seen(eye, one).map((part, j) => part - seen(eye, other)[j])))));
  return [Math.min(...distances), Math.min(...colors.map((color) => contrast(color, ground))),
    Math.min(...colors.map((color) => contrast(color, text)))];
})()";

#[tokio::test]
async fn eight_colors_are_told_apart_by_all_eyes_by_day_and_by_night() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    for dark in [false, true] {
        let page = browser.open_on(&Device { dark, ..Device::LAPTOP }, &lobby.url).await?;
        let found = page.eval(DISTANCES).await?;
        let [distance, on_ground, text] = [0, 1, 2].map(|i| found[i].as_f64().unwrap_or_default());
        // The palette of Okabe and Ito has 7.6.
        ensure!(distance > 9.0, "dark: {dark}; two colors differ by {distance}");
        ensure!(on_ground >= 3.0 && text >= 4.5, "dark: {dark}; contrasts {on_ground}, {text}");
    }
    Ok(())
}
