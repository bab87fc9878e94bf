//! HTTP: the content security policy, client libraries and development endpoints.

use std::fs;
use std::sync::Arc;

use cluster::testing::{Client, LobbyProcess, TestFolder, free_port};
use serde_json::{Value, json};

use crate::common::raw::http;
use crate::common::{start_game, start_game_with};

/// A static folder with a secret beside it and one of the two client libraries.
pub fn page() -> Arc<TestFolder> {
    let folder = TestFolder::new();
    put(&folder, "static/index.html", "<p>our page");
    put(&folder, "static/client.js", "// our script");
    put(&folder, "secret.txt", "our secret");
    put(&folder, "node_modules/js-cookie/dist/js.cookie.min.js", "// the library");
    folder
}

/// Writes a file of this page.
pub fn put(page: &TestFolder, path: &str, text: &str) {
    let path = page.path().join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn install_the_other_library(page: &TestFolder) {
    put(page, "node_modules/socket.io-client/dist/socket.io.min.js", "// the other library");
}

/// Starts the game with this page.
pub async fn cluster_of(page: &TestFolder, flags: &[&str]) -> LobbyProcess {
    let folder = page.path().join("static").display().to_string();
    start_game(&[&["--static-dir", &*folder], flags].concat()).await
}

/// The content security policy of a response.
fn policy(answer: &str) -> &str {
    let (head, _) = answer.split_once("\r\n\r\n").expect("an answer");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut policies = lines.filter(|(name, _)| *name == "content-security-policy");
    let (policy, more) = (policies.next().expect("a policy").1, policies.next());
    assert!(more.is_none(), "{answer}");
    policy
}

#[tokio::test]
async fn the_content_security_policy_allows_only_what_the_page_needs() {
    let page = page();
    install_the_other_library(&page);
    let cluster = cluster_of(&page, &[]).await;
    let ask = async |path: &str, host: &str| {
        let (_, answer) = http(&cluster.url, "GET", path, &[("Host", host)]).await;
        for header in ["x-content-type-options: nosniff\r\n", "referrer-policy: no-referrer\r\n"] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
        policy(&answer).to_owned()
    };
    let policy = |sockets: &str| {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             font-src 'self'; media-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'self'"
        )
    };
    let local = " ws://localhost:3000 wss://localhost:3000";
    for path in
        ["/", "/client.js", "/missing.js", "/dev", "/cluster/cluster.js", "/cluster/missing.js"]
    {
        let expected = policy(local);
        assert_eq!(ask(path, "LOCALHOST:3000").await, expected, "{path}");
    }
    assert_eq!(ask("/", "127.0.0.1").await, policy(" ws://127.0.0.1 wss://127.0.0.1"));
    // A policy cannot name an IPv6 address; browsers accept its websockets as `'self'`.
    assert_eq!(ask("/", "[::1]:3000").await, policy(""));
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    assert_eq!(ask("/rooms/999/socket.io", "localhost").await, nothing);
    assert_eq!(ask("/.hidden", "localhost").await, nothing);
    assert_eq!(ask("/", "evil.example").await, nothing);
}

#[tokio::test]
async fn client_libraries_come_from_here_or_from_the_cdn() {
    let page = page();
    let cluster = cluster_of(&page, &["--cdn", "https://cdn.example.org/npm"]).await;
    let (status, answer) =
        http(&cluster.url, "GET", "/cluster/libraries/js.cookie.min.js", &[]).await;
    assert!(status == 200 && answer.contains("the library"), "{answer}");
    let (status, answer) =
        http(&cluster.url, "GET", "/cluster/libraries/socket.io.min.js", &[]).await;
    assert_eq!(status, 307, "{answer}");
    assert!(answer.contains("https://cdn.example.org/npm/socket.io-client@"), "{answer}");
    let (_, answer) = http(&cluster.url, "GET", "/", &[]).await;
    assert!(policy(&answer).contains("script-src 'self' https://cdn.example.org;"), "{answer}");
    // As `npm ci` does.
    install_the_other_library(&page);
    let (status, answer) =
        http(&cluster.url, "GET", "/cluster/libraries/socket.io.min.js", &[]).await;
    assert!(status == 200 && answer.contains("the other library"), "{answer}");
    let (_, answer) = http(&cluster.url, "GET", "/", &[]).await;
    assert!(policy(&answer).contains("script-src 'self';"), "{answer}");
    for path in
        ["/vendor/js.cookie.min.js", "/cluster/libraries/", "/cluster/libraries/package.json"]
    {
        assert_eq!(http(&cluster.url, "GET", path, &[]).await.0, 404, "{path}");
    }
    assert_eq!(http(&cluster.url, "GET", "/cluster/libraries/other.js", &[]).await.0, 404);
}

#[tokio::test]
async fn the_cluster_scripts_are_embedded_and_cannot_be_overridden_in_the_static_folder() {
    let page = page();
    put(&page, "static/cluster/cluster.js", "// our own");
    put(&page, "static/cluster/other.js", "// our own");
    put(&page, "static/cluster/index.html", "our own");
    put(&page, "static/cluster/libraries/js.cookie.min.js", "// our own");
    let cluster = cluster_of(&page, &[]).await;
    let style = http(&cluster.url, "GET", "/cluster/dev-panel.css", &[]).await.1;
    assert!(style.contains("content-type: text/css\r\n"), "{style}");
    for name in ["cluster.js", "connection.js", "dev-panel.js", "libraries.js", "storage.js"] {
        let path = format!("/cluster/{name}");
        let (status, answer) = http(&cluster.url, "GET", &path, &[]).await;
        let (head, text) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(status == 200 && text.starts_with("// @ts-check\n"), "{path}: {answer}");
        for header in ["content-type: text/javascript\r\n", "cache-control: no-cache\r\n"] {
            assert!(head.contains(header), "{path}: {head}");
        }
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
        for known in [tag, "*", &format!("W/{tag}"), &format!("\"other\", {tag}")] {
            let (status, answer) =
                http(&cluster.url, "GET", &path, &[("If-None-Match", known)]).await;
            assert!(status == 304 && answer.ends_with("\r\n\r\n"), "{known}: {answer}");
            assert!(answer.contains(&format!("etag: {tag}\r\n")), "{known}: {answer}");
        }
        for unknown in ["", "garbage", "\"other\"", "\u{fc}"] {
            let (status, _) = http(&cluster.url, "GET", &path, &[("If-None-Match", unknown)]).await;
            assert_eq!(status, 200, "{unknown}");
        }
        let (status, answer) = http(&cluster.url, "HEAD", &path, &[]).await;
        assert!(status == 200 && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains(&format!("content-length: {}\r\n", text.len())), "{answer}");
    }
    for path in [
        "/cluster/",
        "/cluster/other.js",
        "/cluster/other.js/",
        "/cluster/%6fther.js",
        "/cluster/index.html",
        "/cluster/types.d.ts",
        "/cluster/package.json",
        "/cluster/../Cargo.toml",
    ] {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert!(status == 404 && !answer.contains("our own"), "{path}: {answer}");
    }
    let (_, answer) = http(&cluster.url, "GET", "/cluster/libraries/js.cookie.min.js", &[]).await;
    assert!(answer.contains("// the library"), "{answer}");
}

#[tokio::test]
async fn behind_a_proxy_the_public_url_is_allowed_and_rooms_are_reached_there() {
    // The log has only the public address, so the test chooses the port.
    let port = free_port().to_string();
    let here = format!("http://127.0.0.1:{port}");
    let _cluster = start_game(&["--port", &port, "--public-url", "http://play.example.org"]).await;
    let public = [("Host", "play.example.org"), ("Origin", "http://play.example.org")];
    let (status, answer) = http(&here, "GET", "/", &public).await;
    let sockets = "connect-src 'self' ws://play.example.org wss://play.example.org;";
    assert!(status == 200 && policy(&answer).contains(sockets), "{answer}");
    // A proxy that passes no `Host` on.
    let (status, answer) = http(&here, "GET", "/", &public[1..]).await;
    let sockets = "'self' ws://127.0.0.1 wss://127.0.0.1 ws://play.example.org wss://play";
    assert!(status == 200 && policy(&answer).contains(sockets), "{answer}");
    let mut ann = Client::connect(&here, json!({})).await.expect("anyone may connect");
    ann.ask("register", json!({ "name": "Ann" })).await.expect("a good name");
    ann.ask("create", json!({})).await.expect("a seat");
    assert_eq!(ann.event("reroute").await["url"], "", "the origin where the lobby was reached");
}

#[tokio::test]
async fn the_development_endpoints_can_be_turned_off() {
    let cluster = start_game_with(&[], &[("CLUSTER_DEV", "false")]).await;
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
async fn the_development_log_returns_each_line_once() {
    let cluster = start_game_with(&[], &[("CLUSTER_DEV", "true")]).await;
    let log = async |query: &str| {
        let path = format!("/dev/log{query}");
        let (status, answer) = http(&cluster.url, "GET", &path, &[]).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(status == 200 && head.contains("content-type: application/json"), "{answer}");
        let log: Value = serde_json::from_str(body).expect("JSON");
        let lines = log["lines"].as_array().expect("lines");
        let lines: Vec<_> = lines.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        (lines, log["last"].as_u64().expect("a number"))
    };
    let (lines, last) = log("").await;
    assert!(lines.iter().any(|line| line.contains("lobby ready")), "{lines:?}");
    let _ann = cluster.player("Ann").await;
    cluster.logged("registered").await;
    let (new, newest) = log(&format!("?after={last}")).await;
    assert!(new.iter().any(|line| line.contains("registered player=Ann")), "{new:?}");
    assert!(!new.iter().any(|line| lines.contains(line)), "{new:?} repeats {lines:?}");
    assert_eq!(newest, last + new.len() as u64);
    assert_eq!(log(&format!("?after={newest}")).await, (vec![], newest));
    // A position of another lobby or an invalid one returns all lines.
    let all = [lines, new].concat();
    for query in ["?after=0", "?after=1764000000000000", "?after=-1", "?after=x", "?before=1", "?"]
    {
        assert_eq!(log(query).await, (all.clone(), newest), "{query}");
    }
}

#[tokio::test]
async fn in_development_any_client_may_kill_a_room_but_other_sites_may_not() {
    let cluster = start_game_with(&[], &[("CLUSTER_DEV", "true")]).await;
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
