//! The token's cookie: another one of its name hides it, it is written at each visit, and players
//! with `?as=` have none.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::chromium::{Browser, Device, LOOK, PATIENCE, Page};
use super::project::Project;
use super::proxy::Ports;
use super::story::register;

/// A name below a domain that can have cookies of its own.
const HOST: &str = "game.example.test";

#[tokio::test]
async fn a_parent_domains_cookie_of_any_name_does_not_make_a_player_a_stranger() -> Result<()> {
    let port = Ports::free().lobby;
    let url = format!("http://{HOST}:{port}");
    let flags = ["--port", &port.to_string(), "--allow-origin", &url];
    let _lobby = Project::get()?.start_lobby(&flags).await;
    let host_is_here = format!("--host-resolver-rules=MAP {HOST} 127.0.0.1");
    let browser = Browser::start_with(&[&host_is_here]).await?;
    for (name, is_ours) in names(port) {
        let shadow = json!({ "domain": ".example.test", "path": "/" });
        stays_ann(&browser, &url, &name, shadow, is_ours).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_http_only_cookie_of_any_name_does_not_make_a_player_a_stranger() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    for (name, is_ours) in names(lobby.port()) {
        let shadow = json!({ "url": lobby.url, "httpOnly": true });
        stays_ann(&browser, &lobby.url, &name, shadow, is_ours).await?;
    }
    Ok(())
}

/// The names of this and of earlier versions; true for this one's.
fn names(port: u16) -> [(String, bool); 3] {
    [
        ("token".to_owned(), false),
        (format!("token-{port}"), false),
        (format!("cluster-token-{port}"), true),
    ]
}

/// Registers where a cookie of this name exists already, and is the same player in this window, in
/// a second one, and after the cookie is gone.
async fn stays_ann(
    browser: &Browser,
    url: &str,
    name: &str,
    mut shadow: Value,
    is_ours: bool,
) -> Result<()> {
    (shadow["name"], shadow["value"]) = (json!(name), json!("abc.def.ghi"));
    let page = browser.open(url).await?;
    page.call("Network.clearBrowserCookies", json!({})).await?;
    page.eval("localStorage.clear()").await?;
    page.call("Network.setCookie", shadow).await?;
    page.reload().await?;
    register(&page, "Ann").await?;
    let id = id(&page).await?;
    if is_ours {
        page.until("localStorage.length > 0").await?;
    } else {
        let written = format!("document.cookie.includes('cluster-token-{}=')", port(url)?);
        page.until(&written).await?;
        ensure!(page.eval("localStorage.length").await? == 0, "{name}: two copies");
    }

    // To a room and back.
    page.click("#join-any").await?;
    page.until("document.body.dataset.state === 'room'").await?;
    page.click("#leave").await?;
    is_ann(&page, &id).await.with_context(|| format!("{name}: after a room"))?;
    page.reload().await?;
    is_ann(&page, &id).await.with_context(|| format!("{name}: after a reload"))?;
    let hidden = page.complaints();
    ensure!(hidden.iter().all(|text| text.contains("cannot be read back")), "{hidden:?}");
    ensure!(hidden.is_empty() != is_ours, "{name}: the console says {hidden:?}");

    page.call("Network.clearBrowserCookies", json!({})).await?;
    if is_ours {
        page.reload().await?;
        is_ann(&page, &id).await.with_context(|| format!("{name}: without a cookie"))?;
        // Now the cookie can be read, and it is the only copy.
        page.until("localStorage.length === 0 && document.cookie.includes('cluster-token')")
            .await?;
        page.reload().await?;
        is_ann(&page, &id).await.with_context(|| format!("{name}: with a cookie again"))?;
    }
    page.call("Page.close", json!({})).await.map(drop)
}

#[tokio::test]
async fn each_visit_writes_the_cookie_again() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;
    let id = id(&page).await?;
    page.until("document.cookie").await?;

    shorten(&page, &lobby.url).await?;
    page.reload().await?;
    is_ann(&page, &id).await?;
    until_a_year_is_left(&page, &lobby.url).await.context("a reload")?;

    shorten(&page, &lobby.url).await?;
    page.click("#join-any").await?;
    page.until_at("room 1").await?;
    page.click("#leave").await?;
    is_ann(&page, &id).await?;
    until_a_year_is_left(&page, &lobby.url).await.context("back from a room")?;

    shorten(&page, &lobby.url).await?;
    let page = browser.open(&lobby.url).await?;
    is_ann(&page, &id).await?;
    until_a_year_is_left(&page, &lobby.url).await.context("a new window")
}

/// As Safari and Brave do: seven days instead of a year.
async fn shorten(page: &Page, url: &str) -> Result<()> {
    page.eval("void (document.cookie = `${document.cookie}; path=/; max-age=${7 * 86400}`)")
        .await?;
    let days = days_left(page, url).await?;
    ensure!((6.0..8.0).contains(&days), "{days} days");
    Ok(())
}

async fn until_a_year_is_left(page: &Page, url: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while days_left(page, url).await? < 364.0 {
        ensure!(Instant::now() < deadline, "it was not written again");
        sleep(LOOK).await;
    }
    Ok(())
}

#[tokio::test]
async fn sixty_players_in_one_browser_do_not_make_requests_too_large() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    register(&page, "Ann").await?;
    let ann = id(&page).await?;
    let mut ids = vec![];
    for number in 1..=60 {
        visit(&page, &format!("{}/?as={number}", lobby.url)).await?;
        // The longest name has the longest token.
        register(&page, &format!("{number:ü>24}")).await?;
        ids.push(id(&page).await?);
    }
    let sent = page.eval("document.cookie").await?;
    ensure!(sent.as_str().unwrap_or_default().matches('=').count() == 1, "cookies: {sent}");
    for number in [1, 60] {
        visit(&page, &format!("{}/?as={number}", lobby.url)).await?;
        is_known(&page, &ids[number - 1]).await.with_context(|| format!("player {number}"))?;
    }
    visit(&page, &lobby.url).await?;
    is_ann(&page, &ann).await?;
    page.is_content()
}

#[tokio::test]
async fn without_local_storage_the_cookie_is_enough() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&[]).await;
    let browser = Browser::start().await?;
    let blocked = "Object.defineProperty(window, 'localStorage', {
      get() { throw new DOMException('no storage here', 'SecurityError') } });";
    let page = browser.open_after(&Device::LAPTOP, blocked, &lobby.url).await?;
    register(&page, "Ann").await?;
    let id = id(&page).await?;
    page.reload().await?;
    is_ann(&page, &id).await?;
    page.is_content()
}

/// Loads another page in this window.
async fn visit(page: &Page, url: &str) -> Result<()> {
    page.eval("void (window.reloading = true)").await?;
    page.call("Page.navigate", json!({ "url": url })).await?;
    page.until("!window.reloading && document.readyState === 'complete'").await
}

async fn is_ann(page: &Page, id: &Value) -> Result<()> {
    is_known(page, id).await?;
    page.until_shows("#greeting", "Welcome, Ann").await
}

/// In the lobby, registered, with this id.
async fn is_known(page: &Page, id: &Value) -> Result<()> {
    page.until_at("lobby").await?;
    page.until("!document.getElementById('lobby').hidden").await?;
    ensure!(page.eval("document.getElementById('register').hidden").await? == true, "a stranger");
    let now = self::id(page).await?;
    ensure!(now == *id, "{id} has become {now}");
    Ok(())
}

/// The player's id, from the development panel.
async fn id(page: &Page) -> Result<Value> {
    let id = "[...document.querySelectorAll('#details dd')][2]?.textContent";
    page.until(&format!("({id} ?? '–') !== '–'")).await?;
    page.eval(id).await
}

/// How long the only cookie is kept.
async fn days_left(page: &Page, url: &str) -> Result<f64> {
    let answer = page.call("Network.getCookies", json!({ "urls": [url] })).await?;
    let expires = answer["cookies"][0]["expires"].as_f64().context("no cookie")?;
    let now = page.eval("Date.now() / 1000").await?.as_f64().context("no time")?;
    Ok((expires - now) / 86_400.0)
}

fn port(url: &str) -> Result<&str> {
    url.rsplit(':').next().context("no port")
}
