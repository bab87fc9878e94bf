//! Reverse proxies with TLS. With the files in `deploy/` the lobby hands off every room's
//! connection; behind a proxy that reuses connections it relays, with the same result for players.

use anyhow::{Context as _, Result, ensure};
use cluster::testing::Signal;

use super::chromium::{Browser, Page};
use super::project::Project;
use super::proxy::{NAME, Ports, Program, Proxy, Rooms};
use super::story::play_together;

#[tokio::test]
async fn behind_nginx_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Nginx, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_caddy_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Caddy, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_haproxy_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Haproxy, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_nginx_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Nginx, Rooms::Pooled).await?.are_relayed()
}

#[tokio::test]
async fn behind_caddy_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Caddy, Rooms::Pooled).await?.are_relayed()
}

#[tokio::test]
async fn behind_haproxy_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Haproxy, Rooms::Pooled).await?.are_relayed()
}

/// How many connections the lobby handed off and relayed, from its last log line.
struct Counts {
    handed_off: u64,
    relayed: u64,
}

impl Counts {
    fn are_handed_off(self) -> Result<()> {
        let Counts { handed_off, relayed } = self;
        ensure!(handed_off >= 3 && relayed == 0, "{handed_off} handed off, {relayed} relayed");
        Ok(())
    }

    fn are_relayed(self) -> Result<()> {
        let Counts { handed_off, relayed } = self;
        ensure!(relayed >= 1, "{handed_off} handed off, {relayed} relayed");
        Ok(())
    }
}

/// The whole story, through a proxy.
async fn play_behind(program: Program, rooms: Rooms) -> Result<Counts> {
    let project = Project::get()?;
    let ports = Ports::free()?;
    let url = format!("https://{NAME}:{}", ports.https);
    let port = ports.lobby.to_string();
    // As deployed: the proxy sends the client's address in a header.
    let flags =
        ["--port", &port, "--public-url", &url, "--client-address-header", "x-forwarded-for"];
    let mut lobby = project.start_lobby(&flags).await;
    let _proxy = Proxy::start(program, rooms, &project.folder.join("deploy"), ports).await?;
    let name_is_here = format!("--host-resolver-rules=MAP {NAME} 127.0.0.1");
    let browser = Browser::start_with(&[&name_is_here, "--ignore-certificate-errors"]).await?;
    let [ann, bob] = play_together(&browser, &lobby.url).await?;
    the_cookie_has_a_prefix(&ann, ports.https).await?;

    // Once more, after a request for a room that has ended left a kept-alive connection.
    let gone =
        "location.origin.replace('http', 'ws') + '/rooms/1/socket.io/?EIO=4&transport=websocket'";
    bob.eval(&format!("new Promise((done) => new WebSocket({gone}).onerror = done)")).await?;
    ann.click("#join-any").await?;
    ann.until_at("room 2").await?;
    ann.is_content()?;

    lobby.signal(Signal::TERM);
    lobby.ended().await;
    let counts = lobby.logged("lobby stopped").await;
    let count = |name: &str| counts[name].as_u64().with_context(|| format!("{counts}"));
    Ok(Counts { handed_off: count("handed_off")?, relayed: count("relayed")? })
}

/// No other host can set such a cookie. It can be removed, and written again.
async fn the_cookie_has_a_prefix(page: &Page, port: u16) -> Result<()> {
    let cookie = page.eval("document.cookie").await?;
    let cookie = cookie.as_str().context("no cookie")?;
    let (name, token) = cookie.split_once('=').context("no cookie")?;
    ensure!(name == format!("__Host-cluster-token-{port}"), "{cookie}");
    let storage = "import('/cluster/storage.js').then(({ cookieStorage }) => cookieStorage())";
    let removed = format!("{storage}.then((it) => (it.remove(), document.cookie))");
    ensure!(page.eval(&removed).await? == "", "it is still there");
    let written = format!("{storage}.then((it) => (it.set({token:?}), document.cookie))");
    ensure!(page.eval(&written).await? == cookie, "it is not back");
    Ok(())
}
