//! How the page looks: on a laptop and a phone, by day and by night.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;
use super::story::{at_right_edge, register};

#[tokio::test]
async fn it_fits_laptops_and_phones_by_day_and_by_night() -> Result<()> {
    let project = Project::get()?;
    let pictures = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&pictures)?;
    let devices = [
        ("laptop-light", Device::LAPTOP),
        ("laptop-dark", Device { dark: true, ..Device::LAPTOP }),
        ("phone-light", Device::PHONE),
        ("phone-dark", Device { dark: true, ..Device::PHONE }),
    ];
    let browser = Browser::start().await?;
    for (name, device) in devices {
        let lobby = project.start_lobby(&[]).await;
        let page = browser.open_on(&device, &lobby.url).await?;
        let picture = |part: &str| pictures.join(format!("{name}-{part}.png"));
        page.until_at("lobby").await?;
        fits(&page, &device).await?;
        page.screenshot(&picture("1-register")).await?;

        register(&page, "Ann with a rather long n").await?;
        let other = browser.open(&format!("{}/?as=2", lobby.url)).await?;
        register(&other, "Bob").await?;
        other.click("#create input").await?;
        other.write("A room with quite a long title, you see?").await?;
        other.click("#create button").await?;
        other.until_at("room 1").await?;
        page.until_shows("#rooms", "(1 of 8)").await?;
        fits(&page, &device).await?;
        page.screenshot(&picture("2-lobby")).await?;

        page.click("#join-any").await?;
        page.until_at("room 1").await?;
        if device.phone {
            page.touch("#arena", 0.98, 0.5).await?;
            page.until(&at_right_edge("Ann with a rather long n (you)")).await?;
            page.lift().await?;
        }
        page.until("document.querySelectorAll('#players li').length === 2").await?;
        fits(&page, &device).await?;
        page.screenshot(&picture("3-room")).await?;
        let dark = page.eval("matchMedia('(prefers-color-scheme: dark)').matches").await?;
        ensure!(dark == device.dark, "the browser does not do as told");
        page.is_content()?;
        for page in [page, other] {
            page.call("Page.close", json!({})).await?;
        }
    }
    Ok(())
}

/// Nothing is wider than the screen, and buttons are large enough for a finger.
pub async fn fits(page: &Page, device: &Device) -> Result<()> {
    let width = page.eval("document.documentElement.scrollWidth").await?;
    ensure!(width.as_u64() <= Some(device.width.into()), "it is {width} pixels wide");
    let small = page
        .eval(
            "[...document.querySelectorAll('button, input, a')].filter((e) => e.checkVisibility() \
             && e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)",
        )
        .await?;
    ensure!(small == json!([]), "too small for a finger: {small}");
    Ok(())
}
