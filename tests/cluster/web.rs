//! What is served over HTTP, and to whom.

use std::{fs, net::TcpListener, sync::Arc};

use serde_json::json;

use crate::{
    helpers::{Cluster, Folder},
    raw::{Raw, http, status, websocket},
    socket_io::Client,
};

/// A page of our own beside a secret, with one of the two client libraries.
fn page() -> Arc<Folder> {
    let folder = Folder::new();
    let put = |path: &str, text: &str| {
        let path = folder.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    put("static/index.html", "<p>our page");
    put("static/client.js", "// our script");
    put("secret.txt", "our secret");
    put("node_modules/js-cookie/dist/js.cookie.min.js", "// the library");
    folder
}

async fn cluster_of(page: &Folder, flags: &[&str]) -> Cluster {
    let folder = page.0.join("static").display().to_string();
    Cluster::unruly(&[&["--static-dir", &*folder], flags].concat()).await
}

#[tokio::test]
async fn the_page_is_served_and_nothing_beside_it() {
    let page = page();
    let cluster = cluster_of(&page, &[]).await;
    for (path, text) in
        [("/", "our page"), ("/index.html", "our page"), ("/client.js", "our script")]
    {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert!(status == 200 && answer.contains(text), "{path}: {answer}");
    }
    for path in [
        "/missing.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/x/../../secret.txt",
        "//../secret.txt",
        "/..\\secret.txt",
        "/vendor/../../secret.txt",
    ] {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert!((400..500).contains(&status) && !answer.contains("our secret"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_page_may_load_scripts_from_us_alone() {
    let page = page();
    let cluster = cluster_of(&page, &[]).await;
    let (_, answer) = http(&cluster.url, "GET", "/", &[]).await;
    let answer = answer.to_ascii_lowercase();
    assert!(answer.contains("content-security-policy: default-src 'self'"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    assert!(answer.contains("cache-control: no-cache"), "{answer}");
}

#[tokio::test]
async fn client_libraries_come_from_here_or_from_the_cdn() {
    let page = page();
    let cluster = cluster_of(&page, &["--cdn", "https://cdn.example.org/npm"]).await;
    let (status, answer) = http(&cluster.url, "GET", "/vendor/js.cookie.min.js", &[]).await;
    assert!(status == 200 && answer.contains("the library"), "{answer}");
    let (status, answer) = http(&cluster.url, "GET", "/vendor/socket.io.min.js", &[]).await;
    assert_eq!(status, 307, "{answer}");
    assert!(answer.contains("https://cdn.example.org/npm/socket.io-client@"), "{answer}");
    let (_, answer) = http(&cluster.url, "GET", "/", &[]).await;
    assert!(answer.contains("script-src 'self' https://cdn.example.org;"), "{answer}");
    assert_eq!(http(&cluster.url, "GET", "/vendor/other.js", &[]).await.0, 404);
}

#[tokio::test]
async fn other_sites_and_other_names_are_refused_by_lobby_and_rooms() {
    let cluster = Cluster::unruly(&[]).await;
    let seat = cluster.player("Ann").await.seat("play", json!({})).await;
    let text = |field: &str| seat[field].as_str().expect("text").to_owned();
    let lobby = (cluster.url.clone(), "/socket.io".to_owned());
    for (url, path) in [lobby, (text("url"), text("path"))] {
        let port = url.rsplit(':').next().expect("a port");
        let ask = async |headers: &[(&str, &str)]| {
            let mut raw = Raw::connect(&url).await;
            raw.send(&websocket(&path, headers)).await;
            status(&raw.head().await)
        };
        assert_eq!(ask(&[]).await, 101, "no browser");
        assert_eq!(ask(&[("Origin", &cluster.url)]).await, 101, "our own page");
        assert_eq!(ask(&[("Origin", "http://127.0.0.1:1")]).await, 101, "another port");
        let local = format!("localhost:{port}");
        assert_eq!(ask(&[("Host", &local), ("Origin", "http://localhost:1")]).await, 101);
        assert_eq!(ask(&[("Origin", "https://evil.example")]).await, 403);
        assert_eq!(ask(&[("Origin", "null")]).await, 403);
        let evil = format!("evil.example:{port}");
        assert_eq!(ask(&[("Host", &evil)]).await, 403);
        assert_eq!(ask(&[("Host", &evil), ("Origin", "http://evil.example")]).await, 403);
    }
    assert_eq!(http(&cluster.url, "GET", "/", &[("Host", "evil.example")]).await.0, 403);
}

#[tokio::test]
async fn behind_a_proxy_the_public_name_is_ours_and_rooms_ports_are_found_there() {
    // The log names only the public address: we must choose the port.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    let (port, here) = (free.port().to_string(), format!("http://{free}"));
    let public_url = ["--public-url", "http://play.example.org", "--room-ports", "20000-29999"];
    let flags = [&["--port", &port], &public_url[..]].concat();
    let _cluster = Cluster::unruly(&flags).await;
    let public = [("Host", "play.example.org"), ("Origin", "http://play.example.org")];
    assert_eq!(http(&here, "GET", "/dev", &public).await.0, 200);
    let mut ann = Client::connect(&here, json!({})).await.expect("anyone may connect");
    ann.ask("register", json!({ "name": "Ann" })).await.expect("a good name");
    ann.ask("play", json!({})).await.expect("a seat");
    let url = ann.event("reroute").await["url"].take();
    assert!(url.as_str().is_some_and(|url| url.starts_with("http://play.example.org:")), "{url}");
}

#[tokio::test]
async fn powers_for_development_can_be_taken_away() {
    let cluster = Cluster::unruly_with(&[], &[("CLUSTER_DEV", "false")]).await;
    let (_, answer) = http(&cluster.url, "GET", "/dev", &[]).await;
    assert!(answer.ends_with("off"), "{answer}");
    assert_eq!(http(&cluster.url, "GET", "/dev/log", &[]).await.0, 404);
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    let kill = format!("/dev/rooms/{}/kill", room.as_str().expect("an id"));
    let (status, _) = http(&cluster.url, "POST", &kill, &[]).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(ann.ask("list", json!({})).await.expect("rooms")[0]["room"], room);
}

#[tokio::test]
async fn in_development_anyone_may_kill_a_room_and_other_sites_may_not() {
    let cluster = Cluster::unruly_with(&[], &[("CLUSTER_DEV", "true")]).await;
    let (_, answer) = http(&cluster.url, "GET", "/dev", &[]).await;
    assert!(answer.ends_with("on"), "{answer}");
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({})).await.expect("a room");
    let kill = format!("/dev/rooms/{}/kill", room.as_str().expect("an id"));
    let evil = [("Origin", "https://evil.example")];
    assert_eq!(http(&cluster.url, "POST", &kill, &evil).await.0, 403);
    assert_eq!(http(&cluster.url, "POST", &kill, &[]).await.0, 202);
    let exited = json!({ "room": room, "how": "crashed", "winner": null });
    assert_eq!(ann.lobby().event("exited").await, exited);
}
