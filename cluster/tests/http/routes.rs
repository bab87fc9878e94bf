//! Routes of a project's own: what they may do, and what is checked before them.

use cluster::testing::{LobbyProcess, TestFolder};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::raw::{Raw, http, request, status};
use crate::common::{command, game, start_features};

/// Posts a body of this type, with more headers.
async fn post(
    lobby: &LobbyProcess,
    path: &str,
    kind: &str,
    body: &str,
    more: &[(&str, &str)],
) -> (u16, String) {
    let length = body.len().to_string();
    let headers = [("Connection", "close"), ("Content-Type", kind), ("Content-Length", &length)];
    let mut raw = Raw::connect(&lobby.url).await;
    raw.send(&(request("POST", path, &[&headers, more].concat()) + body)).await;
    let answer = raw.rest().await;
    (status(&answer), answer)
}

async fn get(lobby: &LobbyProcess, path: &str) -> (u16, String) {
    http(&lobby.url, "GET", path, &[]).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer").1
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[tokio::test]
async fn a_route_takes_queries_forms_and_json_and_sees_the_lobby_s_state() {
    let lobby = start_features(&[]).await;
    let _ann = lobby.player("Ann").await;
    let answer = post(&lobby, "/form", FORM, "name=Ann+B&age=7", &[]).await;
    assert_eq!((answer.0, body(&answer.1)), (200, "kept 1\n"), "{}", answer.1);
    let answer = post(&lobby, "/json", JSON, r#"{"a":[1,null]}"#, &[]).await;
    assert_eq!((answer.0, body(&answer.1)), (200, "kept 2\n"), "{}", answer.1);
    let (status, answer) = get(&lobby, "/count?game=chess").await;
    let expected = json!({
        "players": 1, "posted": [{ "age": "7", "name": "Ann B" }, { "a": [1, null] }],
        "asked": { "game": "chess" },
    });
    let found: Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!((status, found), (200, expected));
    // Refused by their types.
    assert_eq!(post(&lobby, "/json", FORM, "a=b", &[]).await.0, 415);
    assert_eq!(post(&lobby, "/json", JSON, "{", &[]).await.0, 400);
    assert_eq!(get(&lobby, "/form").await.0, 405);
    assert_eq!(get(&lobby, "/forms").await.0, 404);
    assert_eq!(get(&lobby, "/").await.0, 200, "the page is still there");
}

#[tokio::test]
async fn a_panic_in_a_route_is_answered_with_500_and_the_lobby_goes_on() {
    let lobby = start_features(&[]).await;
    assert_eq!(get(&lobby, "/panic").await.0, 500);
    assert_eq!(get(&lobby, "/callback-panic").await.0, 500);
    let (status, answer) = get(&lobby, "/call-panic").await;
    assert_eq!(status, 500);
    let refusal: Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!(refusal["code"], "internal");
    lobby.player("Ann").await.ask("everyone", json!({})).await.expect("the loop runs");
}

#[tokio::test]
async fn a_route_is_for_this_host_and_its_own_pages() {
    let lobby = start_features(&[]).await;
    let own = lobby.url.clone();
    let post =
        async |path: &str, more: &[(&str, &str)]| post(&lobby, path, FORM, "a=b", more).await;
    let host = own.trim_start_matches("http://").to_owned();
    assert_eq!(post("/form", &[("Host", &host), ("Origin", &own)]).await.0, 200);
    for refused in [
        &[("Host", "evil.example")][..],
        &[("Host", &*host), ("Origin", "https://evil.example")],
        &[("Host", &*host), ("Origin", "null")],
    ] {
        assert_eq!(post("/form", refused).await.0, 403, "{refused:?}");
    }
    // Those of any origin, but not for any host.
    for origin in ["https://evil.example", "null", &*own] {
        let more = [("Host", &*host), ("Origin", origin)];
        assert_eq!(post("/callback", &more).await.0, 200, "{origin}");
    }
    for refused in [
        &[("Host", "evil.example")][..],
        &[("Host", "evil.example"), ("Origin", "https://evil.example")],
        &[("Host", &*host), ("Host", "evil.example")],
    ] {
        assert_eq!(post("/callback", refused).await.0, 403, "{refused:?}");
    }
    let (_, answer) = get(&lobby, "/count").await;
    let found: Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!(found["posted"].as_array().map(Vec::len), Some(4), "what was refused was not seen");
}

#[tokio::test]
async fn a_page_of_a_route_has_the_headers_of_the_page_unless_it_sets_its_own() {
    let lobby = start_features(&[]).await;
    let headers = |answer: &str| -> Vec<String> {
        let (head, _) = answer.split_once("\r\n\r\n").expect("an answer");
        let names = ["content-security-policy: ", "cache-control: ", "x-content-type-options: "];
        let mut lines: Vec<_> = head
            .lines()
            .filter(|line| names.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    let page = headers(&get(&lobby, "/").await.1);
    assert_eq!(headers(&get(&lobby, "/html").await.1), page);
    assert!(page[1].starts_with("content-security-policy: default-src 'none'; script-src 'self'"));
    let own = [
        "cache-control: max-age=60",
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
    ];
    assert_eq!(headers(&get(&lobby, "/own-headers").await.1), own);
    let answer = post(&lobby, "/callback", FORM, "a=b", &[]).await.1;
    let strict = "content-security-policy: default-src 'none'; frame-ancestors 'none'";
    assert!(headers(&answer).contains(&strict.to_owned()), "{answer}");
}

#[tokio::test]
async fn a_route_that_waits_for_a_lobby_that_stops_is_answered_with_503() {
    let mut lobby = start_features(&[]).await;
    let mut raw = Raw::connect(&lobby.url).await;
    raw.send(&request("GET", "/until-stopped", &[])).await;
    lobby.logged("a route waits").await;
    lobby.signal(Signal::TERM);
    let answer = raw.rest().await;
    assert_eq!(status(&answer), 503, "{answer}");
    let refusal: Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!(refusal["code"], "stopping");
    assert!(lobby.ended().await.success());
}

#[test]
fn a_route_that_is_one_of_the_cluster_s_ends_the_start() {
    for path in ["/dev", "/healthz", "/readyz", "/cluster/{file}", "/rooms/{room}/{*rest}"] {
        let folder = TestFolder::new();
        let key = folder.path().join("lobby.key");
        let mut command = command(game());
        command.env("FEATURES", "1").env("OVERLAP", path);
        command.args(["--dev=false", "--port", "0", "--key-file"]).arg(key);
        let output = command.output().expect("the program starts");
        let log = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(error.starts_with("error: routes panicked: ") && error.contains(path), "{error}");
        let why = log.lines().find(|line| line.contains(" ERROR ")).expect("an error");
        assert!(why.contains(path) && !log.contains("lobby ready"), "{why}");
    }
}
