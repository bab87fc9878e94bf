//! The picture of the README: two players in a room, and both back in the lobby after **Kill this
//! room**. `tests/picture.sh` writes it to `template-hooks/pictures`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::story::register;

const WINDOW: Device = Device { width: 900, height: 780, scale: 1, phone: false, dark: false };

/// Between windows, in pixels, and the height of a caption.
const GAP: u32 = 24;
const CAPTION: u32 = 72;

#[tokio::test]
async fn the_picture_of_the_readme_can_be_taken() -> Result<()> {
    let screenshots = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    let folder = env::var_os("PICTURES").map_or_else(screenshots, PathBuf::from);
    fs::create_dir_all(&folder)?;
    let project = Project::get()?;
    let browser = Browser::start().await?;
    for dark in [false, true] {
        let lobby = project.start_lobby(&[]).await;
        let window = Device { dark, ..WINDOW };
        let ann = browser.open_on(&window, &lobby.url).await?;
        register(&ann, "Ann").await?;
        let bob = browser.open_on(&window, &format!("{}/?as=2", lobby.url)).await?;
        register(&bob, "Bob").await?;
        for page in [&ann, &bob] {
            page.click("#join-any").await?;
            page.until_at("room 1").await?;
        }
        for page in [&ann, &bob] {
            page.until("document.querySelectorAll('#players li').length === 2").await?;
        }
        let mut scenes = vec![("Two players in one room", [shot(&ann).await?, shot(&bob).await?])];
        bob.click("#kill").await?;
        for page in [&ann, &bob] {
            page.until_notice("The room crashed. You are back in the lobby.").await?;
            page.until_at("lobby").await?;
        }
        scenes.push((
            "Kill this room: both are back in the lobby",
            [shot(&ann).await?, shot(&bob).await?],
        ));
        let file = if dark { "dark.png" } else { "light.png" };
        compose(&ann, &scenes).await?;
        ann.screenshot(&folder.join(file)).await?;
        for page in [ann, bob] {
            page.call("Page.close", json!({})).await?;
        }
    }
    Ok(())
}

/// What a window shows, as the address of an image.
async fn shot(page: &Page) -> Result<String> {
    page.eval("void scrollTo(0, 0)").await?;
    page.call("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
    let shot = page.call("Page.captureScreenshot", json!({})).await?;
    Ok(format!("data:image/png;base64,{}", shot["data"].as_str().context("no picture")?))
}

/// Replaces the page by all scenes, one below the other, each with its two windows.
async fn compose(page: &Page, scenes: &[(&str, [String; 2])]) -> Result<()> {
    let Device { width, height, .. } = WINDOW;
    let columns = 2 * width + 3 * GAP;
    let rows = scenes.len() as u32 * (height + CAPTION + GAP);
    let size = json!({ "width": columns, "height": rows, "deviceScaleFactor": 1, "mobile": false });
    page.call("Emulation.setDeviceMetricsOverride", size).await?;
    page.eval(&format!(
        r#"(async (scenes) => {{
        // The policy forbids inline styles, but not those that a script sets.
        const make = (name, style, more) => {{
          const element = Object.assign(document.createElement(name), more);
          Object.assign(element.style, style);
          return element;
        }};
        const rows = scenes.map(([caption, windows]) => [
          make("p", {{ gridColumn: "1 / -1", margin: 0, font: "600 30px/{CAPTION}px system-ui, sans-serif" }}, {{ textContent: caption }}),
          ...windows.map((src) => make("img", {{ border: "1px solid gray", borderRadius: "12px" }}, {{ src }})),
        ]).flat();
        const grid = make("main", {{ display: "grid", gridTemplateColumns: "auto auto", columnGap: "{GAP}px", padding: "0 {GAP}px" }});
        grid.append(...rows);
        Object.assign(document.body.style, {{ margin: 0, padding: 0, maxWidth: "none" }});
        document.body.replaceChildren(grid);
        await Promise.all([...document.images].map((image) => image.decode()));
      }})({})"#,
        json!(scenes)
    ))
    .await
    .map(drop)
}
