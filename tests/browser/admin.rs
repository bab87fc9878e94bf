//! The page at `--admin`: each of its buttons, and tokens.

use std::fs;

use anyhow::{Result, ensure};
use cluster::testing::{LobbyProcess, TestFolder};
use serde_json::json;

use super::chromium::{Browser, Device, Page};
use super::project::Project;

const ADMIN: [&str; 4] = ["--admin", "127.0.0.1:0", "--drain-timeout", "1h"];
const TOKEN: &str = "a-token-of-22-letters";

async fn open(browser: &Browser, device: &Device, lobby: &LobbyProcess) -> Result<Page> {
    let address = lobby.logged("admin ready").await["address"].clone();
    let page = browser.open_on(device, &lobby.url).await?;
    let url = format!("http://{}/", address.as_str().unwrap_or_default());
    page.eval(&format!("void (location.href = '{url}')")).await?;
    page.until("document.title === 'Lobby' && document.querySelector('#acts button')").await?;
    Ok(page)
}

/// Presses a button twice.
async fn act(page: &Page, button: &str) -> Result<()> {
    page.click(button).await?;
    page.until_shows(button, "sure?").await?;
    page.click(button).await?;
    page.until_shows("#notice", ": done").await?;
    page.eval("void (document.getElementById('notice').textContent = '')").await.map(drop)
}

#[tokio::test]
async fn rooms_and_players_are_shown_and_each_button_acts_at_the_second_press() -> Result<()> {
    let lobby = Project::get()?.start_lobby(&ADMIN).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &Device::PHONE, &lobby).await?;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("<b>Bob</b>").await);
    page.until_shows("#players", "Ann").await?;
    page.until_shows("#players", "<b>Bob</b>").await?;
    let mut anns = ann.enter("play", json!({})).await;
    anns.event("joined").await;
    let room = "#rooms article";
    for shown in ["Room 1", "Ann", "1 of 8", "MiB", "tick delay"] {
        page.until_shows(room, shown).await?;
    }
    page.click("#rooms article > div button:nth-of-type(3)").await?;
    page.until_shows("#rooms pre", "joined player=Ann").await?;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    ensure!(page.eval(fits).await? == true, "it is wider than a phone");
    let small = "[...document.querySelectorAll('main button')].filter((one) => one.offsetHeight < 44).length";
    ensure!(page.eval(small).await? == 0, "a button is too small for a finger");

    act(&page, "#rooms li button").await?;
    assert_eq!(anns.event("reroute").await["reason"]["code"], "kicked");
    for (button, code) in [(1, "closed"), (2, "crashed")] {
        let mut bobs = bob.back_into("play", json!({})).await;
        bobs.event("joined").await;
        page.until_shows(room, "<b>Bob</b>").await?;
        act(&page, &format!("{room} > div button:nth-of-type({button})")).await?;
        bobs.ended().await;
        let returned = bob.back().await["returned"].take();
        assert_eq!(returned["reason"]["code"], code, "{returned}");
        page.until(&format!("!document.querySelector('{room}')")).await?;
    }
    act(&page, "#players li button").await?;
    assert_eq!(bob.lobby().event("refused").await["code"], "kicked");

    let mut cy = lobby.player("Cy").await;
    let mut dee = lobby.player("Dee").await;
    dee.enter("play", json!({})).await.event("joined").await;
    act(&page, "#acts button").await?;
    ensure!(cy.lobby().event("closing").await["seconds"] == 3600);
    page.until_shows("#summary", "rooms close in").await?;
    let acts = lobby.lines().into_iter().filter(|line| line["message"] == "asked at --admin");
    let acts: Vec<_> = acts.filter_map(|line| Some(line["act"].as_str()?.to_owned())).collect();
    let is = |n: usize, end: &str| acts.get(n).is_some_and(|act| act.ends_with(end));
    ensure!(is(0, "/kick") && is(1, "/rooms/1/close") && is(2, "/rooms/2/kill"), "{acts:?}");
    ensure!(is(3, "/kick") && is(4, "/drain") && acts.len() == 5, "{acts:?}");
    page.is_content()
}

/// Writes a token into the page.
async fn send_token(page: &Page, token: &str) -> Result<()> {
    page.until("!document.getElementById('login').hidden").await?;
    page.eval("void (document.getElementById('token').value = '')").await?;
    page.click("#token").await?;
    page.write(token).await?;
    page.click("#login button").await
}

#[tokio::test]
async fn the_page_wants_the_token_and_many_wrong_ones_shut_it_out() -> Result<()> {
    let folder = TestFolder::new();
    let file = folder.path().join("token");
    fs::write(&file, TOKEN)?;
    let flags = [&ADMIN[..], &["--admin-token-file", file.to_str().unwrap_or_default()]].concat();
    let lobby = Project::get()?.start_lobby(&flags).await;
    let browser = Browser::start().await?;
    let page = open(&browser, &Device::LAPTOP, &lobby).await?;
    ensure!(page.eval("document.getElementById('lobby').hidden").await? == true);
    send_token(&page, "a wrong one").await?;
    page.until_shows("#notice", "This token is wrong.").await?;
    send_token(&page, TOKEN).await?;
    page.until_shows("#summary", "rooms: 0").await?;
    ensure!(page.eval("document.getElementById('login').hidden").await? == true);
    // The tab keeps it.
    page.call("Page.reload", json!({})).await?;
    page.until_shows("#summary", "rooms: 0").await?;

    let twenty = "Promise.all(Array.from({ length: 20 }, (_, n) =>
        fetch('state', { headers: { Authorization: `Bearer wrong ${n}` } }).then(({ status }) => status)))
        .then((all) => void (window.statuses = all.sort().join()))";
    page.eval(&format!("void {twenty}")).await?;
    page.until("window.statuses?.startsWith('401,') && window.statuses.endsWith(',429')").await?;
    // Shut out again and again, until the page's own request has been.
    let flood = "window.flood = setInterval(() =>
        fetch('state', { headers: { Authorization: 'Bearer wrong' } }).catch(() => {}), 100)";
    page.eval(&format!("void ({flood})")).await?;
    page.until_shows("#notice", "Too many wrong tokens.").await?;
    page.eval("clearInterval(window.flood)").await?;
    // When the address may try again, the page goes on by itself.
    page.until("!document.getElementById('lobby').hidden").await
}
