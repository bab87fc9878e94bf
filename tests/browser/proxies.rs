//! Reverse proxies with TLS. With the files in `deploy/` the lobby hands off every room's
//! connection; behind a proxy that reuses connections it relays, with the same result for players.
//! So it does for a lobby below a path.

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{LobbyProcess, Signal};
use serde_json::json;

use super::chromium::{Browser, Page};
use super::project::Project;
use super::proxy::{NAME, Place, Ports, Program, Proxy, Rooms};
use super::story::{play_together, register};

#[tokio::test]
async fn behind_nginx_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Nginx, Place::Root, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_caddy_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Caddy, Place::Root, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_haproxy_as_deployed_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Haproxy, Place::Root, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn behind_nginx_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Nginx, Place::Root, Rooms::Pooled).await?.are_relayed()
}

#[tokio::test]
async fn behind_caddy_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Caddy, Place::Root, Rooms::Pooled).await?.are_relayed()
}

#[tokio::test]
async fn behind_haproxy_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Haproxy, Place::Root, Rooms::Pooled).await?.are_relayed()
}

#[tokio::test]
async fn below_a_path_behind_nginx_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Nginx, Place::Below, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn below_a_path_behind_caddy_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Caddy, Place::Below, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn below_a_path_behind_haproxy_rooms_get_the_connections_themselves() -> Result<()> {
    play_behind(Program::Haproxy, Place::Below, Rooms::Apart).await?.are_handed_off()
}

#[tokio::test]
async fn below_a_path_behind_nginx_with_one_pool_for_all_rooms_are_relayed_to() -> Result<()> {
    play_behind(Program::Nginx, Place::Below, Rooms::Pooled).await?.are_relayed()
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
async fn play_behind(program: Program, place: Place, rooms: Rooms) -> Result<Counts> {
    let project = Project::get()?;
    let ports = Ports::free();
    let origin = format!("https://{NAME}:{}", ports.https);
    let mut lobby = start_lobby(&project, ports.lobby, &format!("{origin}{}", place.path())).await;
    let _proxy = Proxy::start(program, place, rooms, &project.folder.join("deploy"), ports).await?;
    let browser = browser().await?;
    let [ann, bob] = play_together(&browser, &lobby.url).await?;
    the_cookie_has_a_prefix(&ann, &origin, place).await?;

    // Once more, after a request for a room that has ended left a kept-alive connection.
    let gone = "new URL('rooms/1/socket.io/?EIO=4&transport=websocket', location.href)";
    let gone = format!("{gone}.href.replace('http', 'ws')");
    bob.eval(&format!("new Promise((done) => new WebSocket({gone}).onerror = done)")).await?;
    ann.click("#join-any").await?;
    ann.until_at("room 2").await?;
    ann.reload().await?;
    ann.until_at("room 2").await?;
    ann.is_content()?;
    if place == Place::Below {
        // Relative URLs of the page would lead to the root.
        ann.eval(&format!("void (location.href = '{}?as=3')", lobby.url)).await?;
        ann.until(&format!("location.href === '{}/?as=3'", lobby.url)).await?;
        ann.until_at("lobby").await?;
    }

    lobby.signal(Signal::TERM);
    lobby.ended().await;
    let counts = lobby.logged("lobby stopped").await;
    let count = |name: &str| counts[name].as_u64().with_context(|| format!("{counts}"));
    Ok(Counts { handed_off: count("handed_off")?, relayed: count("relayed")? })
}

/// As deployed: the proxy sends the client's address in a header.
async fn start_lobby(project: &Project, port: u16, url: &str) -> LobbyProcess {
    let port = port.to_string();
    let header = ["--client-address-header", "x-forwarded-for"];
    project.start_lobby(&[&["--port", &port, "--public-url", url], &header[..]].concat()).await
}

async fn browser() -> Result<Browser> {
    let name_is_here = format!("--host-resolver-rules=MAP {NAME} 127.0.0.1");
    Browser::start_with(&[&name_is_here, "--ignore-certificate-errors"]).await
}

/// No other host can set such a cookie; below a path, no page outside gets it. It can be removed,
/// and written again.
async fn the_cookie_has_a_prefix(page: &Page, origin: &str, place: Place) -> Result<()> {
    let cookie = page.eval("document.cookie").await?;
    let cookie = cookie.as_str().context("no cookie")?;
    let (name, token) = cookie.split_once('=').context("no cookie")?;
    let port = origin.rsplit(':').next().context("no port")?;
    let (expected, path) = match place {
        Place::Root => (format!("__Host-cluster-token-{port}"), "/"),
        Place::Below => (format!("__Secure-cluster-token%2Fgame-{port}"), "/game"),
    };
    ensure!(name == expected, "{cookie}");
    for (url, count) in [(format!("{origin}{path}"), 1), (format!("{origin}/"), 1 - path.len() / 5)]
    {
        let found = page.call("Network.getCookies", json!({ "urls": [url] })).await?;
        let found = found["cookies"].as_array().context("no list")?;
        ensure!(found.len() == count && found.iter().all(|it| it["path"] == path), "{found:?}");
    }
    let storage = "import(new URL('cluster/storage.js', location.href).href)\
                   .then(({ cookieStorage }) => cookieStorage())";
    let removed = format!("{storage}.then((it) => (it.remove(), document.cookie))");
    ensure!(page.eval(&removed).await? == "", "it is still there");
    let written = format!("{storage}.then((it) => (it.set({token:?}), document.cookie))");
    ensure!(page.eval(&written).await? == cookie, "it is not back");
    Ok(())
}

#[tokio::test]
async fn games_on_one_host_share_no_players() -> Result<()> {
    let project = Project::get()?;
    let ports = Ports::free();
    let (more, origin) = (Ports::free(), format!("https://{NAME}:{}", ports.https));
    let rule = |path: &str, port| {
        format!("location {path}/ {{ proxy_pass http://127.0.0.1:{port}; }}\n        ")
    };
    // The cookie of each is sent to those after it.
    let (mut rules, mut lobbies) = (String::new(), vec![]);
    for (path, port) in [("", ports.lobby), ("/game", more.lobby), ("/game/beta", more.https)] {
        if !path.is_empty() {
            rules += &rule(path, port);
        }
        lobbies.push(start_lobby(&project, port, &format!("{origin}{path}")).await);
    }
    let root = "location / {";
    let sample = Program::Nginx.read(&project.folder.join("deploy"))?;
    let sample = sample.with(root, &(rules + root))?;
    let _proxy = Proxy::start_with(Program::Nginx, sample, Rooms::Apart, ports).await?;
    let browser = browser().await?;
    for search in ["/", "/?as=2"] {
        let mut pages = vec![];
        for (lobby, name) in lobbies.iter().zip(["Ann", "Bob", "Cem"]) {
            let page = browser.open(&format!("{}{search}", lobby.url)).await?;
            // A stranger in this one.
            register(&page, name).await?;
            pages.push((page, name));
        }
        for (page, name) in &pages {
            page.reload().await?;
            page.until_at("lobby").await?;
            page.until_shows("#greeting", &format!("Welcome, {name}")).await?;
            page.is_content()?;
        }
    }
    Ok(())
}
