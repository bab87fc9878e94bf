//! A lobby below the path of its public URL, such as `/game`. A proxy passes the path on unchanged.

use std::process::Stdio;

use cluster::testing::{
    Client, LobbyBuilder, LobbyProcess, Pid, Signal, TestFolder, eventually, free_port,
};
use rustix::process::kill_process;
use serde_json::{Value, json};

use crate::common::raw::{Raw, http, request, status, websocket};
use crate::common::{builder, command, features, game};
use crate::http::pages::{page, put};

/// Starts a lobby at `http://127.0.0.1:PORT` and this path. Its log has only the public URL, so the
/// test chooses the port. Returns its origin, too.
async fn start_at(path: &str, lobby: LobbyBuilder) -> (LobbyProcess, String) {
    let port = free_port().to_string();
    let here = format!("http://127.0.0.1:{port}");
    let url = format!("{here}{path}");
    let lobby = lobby.flags(&["--port", &port, "--public-url", &url]).start().await;
    (lobby, here)
}

/// The game, which hands off also where all other tests are relayed.
fn handing_off() -> LobbyBuilder {
    builder(game()).env("CLUSTER_NO_HANDOFF", "")
}

/// The game with this page.
fn game_with(page: &TestFolder) -> LobbyBuilder {
    let folder = page.path().join("static").display().to_string();
    builder(game()).flags(&["--static-dir", &folder]).env("CLUSTER_DEV", "true")
}

/// The status of the answer to a request for a websocket.
async fn upgrade(url: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut raw = Raw::connect(url).await;
    raw.send(&websocket(path, headers)).await;
    status(&raw.head().await)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn everything_is_below_the_path_and_only_health_at_the_root() {
    let page = page();
    put(&page, "static/more/index.html", "<p>more");
    put(&page, "static/.secret", "hidden");
    let (lobby, here) = start_at("/games/chess", game_with(&page)).await;
    assert_eq!(lobby.url, format!("{here}/games/chess"), "in the log");
    let get = async |path: &str| http(&here, "GET", path, &[]).await;
    for (path, part) in [
        ("", "our page"),
        ("client.js", "// our script"),
        ("more/", "<p>more"),
        ("cluster/cluster.js", "class Cluster"),
        ("cluster/libraries/js.cookie.min.js", "// the library"),
        ("dev", "\r\n\r\non"),
        ("dev/log", "lobby ready"),
        ("healthz", "\r\n\r\nok"),
        ("readyz", "true"),
    ] {
        let (status, answer) = get(&format!("/games/chess/{path}")).await;
        assert!(status == 200 && answer.contains(part), "{path}: {answer}");
        let (status, answer) = get(&format!("/{path}")).await;
        let expected = if path.ends_with('z') { 200 } else { 404 };
        assert_eq!(status, expected, "{path} at the root: {answer}");
    }
    for path in [
        "/games",
        "/games/",
        "/games/chess2/",
        "/Games/chess/",
        "/games%2fchess/",
        "//games/chess/",
        "/games/chess/.secret",
        "/games/chess/%2esecret",
        "/games/chess/../../secret.txt",
        "/games/chess//evil.example",
        "/games/chess/cluster/missing.js",
        "/games/chess/games/chess/",
        "/games/chess/rooms/9/socket.io",
        "/rooms/9/socket.io",
    ] {
        let (status, answer) = get(path).await;
        assert_eq!(status, 404, "{path}: {answer}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(upgrade(&here, "/socket.io", &[]).await, 404);
    let evil = [("Host", "evil.example")];
    for path in ["/games/chess/", "/games/chess", "/healthz", "/"] {
        assert_eq!(http(&here, "GET", path, &evil).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_folder_without_its_slash_is_redirected_below_the_path() {
    let page = page();
    put(&page, "static/more/index.html", "<p>more");
    let (_lobby, here) = start_at("/game", game_with(&page)).await;
    for (path, to) in [
        ("/game", "/game/"),
        ("/game?code=A-B&as=2", "/game/?code=A-B&as=2"),
        ("/game/more", "/game/more/"),
    ] {
        for method in ["GET", "HEAD"] {
            let (status, answer) = http(&here, method, path, &[]).await;
            assert!(status == 307 && header(&answer, "location") == Some(to), "{path}: {answer}");
        }
    }
    assert_eq!(http(&here, "POST", "/game", &[]).await.0, 405);
}

#[tokio::test]
async fn routes_of_the_project_are_below_the_path_and_checked_as_ever() {
    let (_lobby, here) = start_at("/game/", features(&[])).await;
    let post = async |path: &str, origin: &str| {
        let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "3")];
        let mut raw = Raw::connect(&here).await;
        let headers = [&form[..], &[("Connection", "close"), ("Origin", origin)]].concat();
        raw.send(&(request("POST", path, &headers) + "a=b")).await;
        status(&raw.rest().await)
    };
    assert_eq!(http(&here, "GET", "/game/count", &[]).await.0, 200);
    assert_eq!(http(&here, "GET", "/count", &[]).await.0, 404);
    // An origin has no path.
    for (path, origin, expected) in [
        ("/game/form", &*here, 200),
        ("/game/form", "https://evil.example", 403),
        ("/game/form", &format!("{here}/game"), 403),
        ("/game/callback", "https://evil.example", 200),
        ("/callback", "https://evil.example", 404),
        ("/form", &here, 404),
    ] {
        assert_eq!(post(path, origin).await, expected, "{path} {origin}");
    }
}

#[tokio::test]
async fn a_route_that_is_one_of_the_cluster_s_ends_the_start_below_a_path_too() {
    for path in ["/healthz", "/rooms/{room}/{*rest}", "/cluster/cluster.js"] {
        let folder = TestFolder::new();
        let key = folder.path().join("lobby.key");
        let mut command = command(game());
        command.env("FEATURES", "1").env("OVERLAP", path).args(["--port", "0", "--key-file"]);
        let output = command.arg(key).args(["--public-url", "http://localhost/game"]).output();
        let output = output.expect("the program starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.starts_with("error: routes panicked: ") && error.contains(path), "{error}");
    }
}

#[tokio::test]
async fn players_are_handed_off_below_the_path_and_return_to_their_rooms() {
    let lobby = handing_off().flags(&["--drain-timeout", "100ms", "--stop-timeout", "100ms"]);
    let (mut lobby, here) = start_at("/game", lobby).await;
    let mut ann = lobby.player("Ann").await;
    let seat = ann.seat("create", json!({ "options": { "grace_ms": 60_000 } })).await;
    assert_eq!(seat["path"], "/game/rooms/1/socket.io");
    let mut anns = ann.take(&seat).await;
    assert_eq!(anns.ask("echo", json!({ "n": 7 })).await, Ok(json!(7)));

    // A lost connection: the lobby sends Ann back.
    drop(anns);
    ann.back().await;
    let seat = ann.rerouted().await;
    let mut anns = ann.take(&seat).await;
    anns.event("joined").await;

    // From room to room.
    let mut boss = lobby.player("Boss").await;
    let there = boss.ask("open", json!({})).await.expect("a room");
    while boss.lobby().event("ready").await["room"] != there {}
    anns.ask("send_to_room", json!({ "room": there })).await.expect("the room tries");
    let mut anns = ann.follow(&mut anns).await;
    assert_eq!(anns.event("joined").await["room"], there);

    // The request line in pieces, and a path that is another server's.
    let mut raw = Raw::connect(&here).await;
    let asking = websocket("/game/rooms/1/socket.io", &[]);
    let (pieces, rest) = asking.split_at("GET /game/rooms/1/".len());
    for piece in pieces.chars() {
        raw.send(&piece.to_string()).await;
        // Once this is answered, the lobby has read the piece.
        assert_eq!(http(&here, "GET", "/healthz", &[]).await.0, 200);
    }
    raw.send(rest).await;
    assert_eq!(status(&raw.head().await), 101);
    assert_eq!(upgrade(&here, "/rooms/1/socket.io", &[]).await, 404);

    assert_eq!(counts(&mut lobby).await, (4, 0));
}

#[tokio::test]
async fn a_connection_that_the_lobby_has_served_is_relayed_below_the_path() {
    let lobby = handing_off().flags(&["--drain-timeout", "100ms", "--stop-timeout", "100ms"]);
    let (mut lobby, here) = start_at("/game", lobby).await;
    let seat = lobby.player("Ann").await.seat("create", json!({})).await;
    let path = seat["path"].as_str().expect("a path");
    let mut raw = Raw::connect(&here).await;
    raw.send(&request("GET", "/game/dev", &[])).await;
    assert_eq!(status(&raw.head().await), 200);
    raw.body(2).await;
    raw.send(&websocket(path, &[])).await;
    assert_eq!(status(&raw.head().await), 101);
    assert!(raw.body(3).await.ends_with('0'), "Engine.IO's first packet");
    assert_eq!(counts(&mut lobby).await, (0, 1));
}

/// `(handed_off, relayed)`, as logged when the lobby stops.
async fn counts(lobby: &mut LobbyProcess) -> (u64, u64) {
    lobby.signal(Signal::TERM);
    lobby.ended().await;
    let line = lobby.logged("lobby stopped").await;
    let count = |name: &str| line[name].as_u64().expect("a number");
    (count("handed_off"), count("relayed"))
}

#[tokio::test]
async fn pages_of_the_public_origin_may_connect_and_others_may_not() {
    let (lobby, here) = start_at("/game", builder(game())).await;
    let seat = lobby.player("Ann").await.seat("create", json!({})).await;
    for path in ["/game/socket.io", seat["path"].as_str().expect("a path")] {
        for (origin, expected) in [
            (&*here, 101),
            (&format!("{here}/game"), 403),
            ("http://127.0.0.1:1", 403),
            ("https://evil.example", 403),
        ] {
            let host = here.trim_start_matches("http://");
            let answer = upgrade(&here, path, &[("Host", host), ("Origin", origin)]).await;
            assert_eq!(answer, expected, "{path} {origin}");
        }
    }
}

#[tokio::test]
async fn the_command_health_finds_a_lobby_below_a_path() {
    let (lobby, _) = start_at("/game", builder(game())).await;
    let port = lobby.port().to_string();
    for flags in [&[][..], &["--public-url", &lobby.url]] {
        let mut command = command(game());
        let output = command.args(["health", "--port", &port]).args(flags).output();
        let output = output.expect("the program starts");
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"ok\n"[..]), "{flags:?}");
    }
}

#[tokio::test]
async fn bots_play_below_a_path() {
    let (lobby, _) = start_at("/game", builder(game())).await;
    let mut load = command(game());
    load.env("LOADTEST", "echo").args(["--url", &format!("{}/", lobby.url)]);
    load.args(["--players", "5", "--for", "1m", "--ramp-up", "100ms"]);
    load.args(["--threshold", "errors.total<1"]);
    let load = load.stdout(Stdio::piped()).spawn().expect("the program starts");
    let joined = |line: &Value| line["message"].to_string().contains("joined player=");
    let joined = || lobby.lines().iter().filter(|line| joined(line)).count();
    eventually("five players", || (joined() >= 5).then_some(())).await;
    // It ends early, with the figures so far.
    kill_process(Pid::from_child(&load), Signal::INT).expect("it runs");
    let output = tokio::task::spawn_blocking(|| load.wait_with_output()).await.expect("it ends");
    let output = output.expect("its output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(lobby.count("registered"), 5);
}

#[tokio::test]
async fn a_client_at_the_root_of_the_host_finds_no_lobby() {
    let (lobby, here) = start_at("/game", builder(game())).await;
    assert!(Client::connect(&here, json!({})).await.is_err());
    assert!(Client::connect(&format!("{}/", lobby.url), json!({})).await.is_ok());
}
