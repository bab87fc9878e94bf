//! The whole story: two players meet in a room, one steers, the room crashes, both are back.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::chromium::{Browser, Page};
use super::project::Project;

#[tokio::test]
async fn two_players_meet_in_a_room_and_survive_its_crash() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    play_together(&Browser::start().await?, &lobby.url).await.map(drop)
}

/// Ann and Bob play until their room crashes; both are in the lobby again.
pub async fn play_together(browser: &Browser, url: &str) -> Result<[Page; 2]> {
    // Ann uses the keyboard only.
    let ann = browser.open(url).await?;
    ann.until_at("lobby").await?;
    ann.tab_to("#register input").await?;
    ann.write("Ann").await?;
    ann.press("Enter").await?;
    ann.until_shows("#hop-you", "Ann").await?;
    ann.until("document.getElementById('join-any').getClientRects().length").await?;
    ann.tab_to("#join-any").await?;
    ann.press("Enter").await?;
    ann.until_at("room 1").await?;
    ann.until("document.activeElement.id === 'arena'").await?;

    // Bob plays in the same browser.
    let bob = browser.open(&format!("{url}/?as=2")).await?;
    register(&bob, "Bob").await?;
    ann.until_shows("#details", "/rooms/1").await?;
    bob.until_shows("#rooms", "Room 1: Arena of Ann (1 of 8)").await?;
    bob.click("#rooms button").await?;
    bob.until_at("room 1").await?;
    for page in [&ann, &bob] {
        page.until_shows("#players", "Ann").await?;
        page.until_shows("#players", "Bob").await?;
    }

    // Ann steers to the right; Bob sees it.
    ensure!(bob.eval(&at_right_edge("Ann")).await? == false, "Ann's dot starts at the edge");
    ann.hold("ArrowRight").await?;
    bob.until(&at_right_edge("Ann")).await?;
    ann.release("ArrowRight").await?;
    ensure!(bob.eval(&at_right_edge("Bob (you)")).await? == false, "Bob's dot moved with Ann's");

    // The room crashes, and both are back.
    bob.click("#kill").await?;
    for page in [&ann, &bob] {
        page.until_notice("The room crashed. You are back in the lobby.").await?;
        page.until_at("lobby").await?;
    }

    ann.reload().await?;
    ann.until_at("lobby").await?;
    ann.until_shows("#hop-you", "Ann").await?;
    ann.until("document.getElementById('join-any').getClientRects().length").await?;
    ensure!(ann.eval("document.getElementById('register').hidden").await? == true);

    // Bob's logs show each step.
    let page_said =
        ["asking: register", "lobby: reroute", "room: joined", "\"reason\":{\"code\":\"crashed\"}"];
    follows(&bob, "client-log", &page_said).await?;
    let server_said = ["registered", "rerouted", "joined", "room crashed", "back in the lobby"];
    follows(&bob, "server-log", &server_said).await?;
    the_logs_have_one_clock(&bob).await?;
    ann.is_content()?;
    bob.is_content()?;
    Ok([ann, bob])
}

/// Fills in the form.
pub async fn register(page: &Page, name: &str) -> Result<()> {
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.click("#register button").await?;
    page.until("document.getElementById('join-any').getClientRects().length").await
}

/// Whether the arena shows a player's color at its right border; dots start away from it.
pub fn at_right_edge(name: &str) -> String {
    format!(
        r##"(() => {{
        const rows = [...document.querySelectorAll("#players li")];
        const row = rows.find((li) => li.querySelector(".who").textContent === {});
        const color = getComputedStyle(row.querySelector(".number")).backgroundColor.match(/\d+/g).map(Number);
        const arena = document.getElementById("arena");
        // The margin of steering.js.
        const [x, height] = [arena.width - Math.round(34 * devicePixelRatio), arena.height];
        // A copy, since reading the page's own canvas causes a warning.
        const copy = new OffscreenCanvas(1, height).getContext("2d", {{ willReadFrequently: true }});
        copy.drawImage(arena, x, 0, 1, height, 0, 0, 1, height);
        const {{ data }} = copy.getImageData(0, 0, 1, height);
        for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] === 255 && color.every((part, j) => Math.abs(part - data[i + j]) < 4)) return true;
        return false;
      }})()"##,
        json!(name)
    )
}

/// Fails unless a log shows these in this order.
async fn follows(page: &Page, log: &str, steps: &[&str]) -> Result<()> {
    for step in steps {
        page.until_shows(&format!("#{log}"), step).await?;
    }
    let text = page.eval(&format!("document.getElementById('{log}').innerText")).await?;
    let text = text.as_str().unwrap_or_default();
    let mut rest = text;
    for step in steps {
        let Some((_, after)) = rest.split_once(step) else {
            anyhow::bail!("'{step}' does not follow in {log}:\n{text}");
        };
        rest = after;
    }
    Ok(())
}

/// All lines of both logs have times in one format, and the same event has the same time in both.
async fn the_logs_have_one_clock(page: &Page) -> Result<()> {
    let times = page
        .eval("[...document.querySelectorAll('#logs time')].map((time) => time.textContent)")
        .await?;
    let times: Vec<_> = times.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let shape = |time: &str| time.replace(|c: char| c.is_ascii_digit(), "9");
    ensure!(times.len() > 10, "few lines: {times:?}");
    for time in &times {
        ensure!(shape(time) == "99:99:99.999", "not a time: {time}");
    }
    let seconds_apart = page
        .eval(
            r#"(() => {
        const at = (log, text) => {
          const row = [...document.querySelectorAll(`#${log} li`)].find((li) => li.textContent.includes(text));
          const [hours, minutes, seconds] = row.querySelector("time").textContent.split(":").map(Number);
          return (hours * 60 + minutes) * 60 + seconds;
        };
        return Math.abs(at("client-log", "answer: register") - at("server-log", " registered"));
      })()"#,
        )
        .await?
        .as_f64();
    // Across midnight, too. A wrong time zone would be half an hour off, a busy machine is seconds
    // late.
    let apart = seconds_apart.map(|apart| apart.min((86_400.0 - apart).abs()));
    ensure!(apart.is_some_and(|apart| apart < 600.0), "the clocks differ by {apart:?} seconds");
    Ok(())
}
