//! A refused connection is closed: nothing that its client sends afterwards is read.

use cluster::testing::{Client, LobbyProcess};
use serde_json::{Value, json};

use crate::common::raw::{Raw, path_of, request, status, websocket};
use crate::common::start_game;

/// Sends a request that is refused, and continues as if it had a websocket. Returns the status
/// after the server has closed the connection without another byte.
async fn refused(cluster: &LobbyProcess, said: &str, ticket: &Value) -> u16 {
    let mut raw = Raw::connect(&cluster.url).await;
    raw.send(said).await;
    let head = raw.head().await;
    for packet in [format!("40{}", json!({ "ticket": ticket })), r#"42["list",{}]"#.to_owned()] {
        raw.send_frame(&packet).await;
    }
    let rest = raw.rest().await;
    assert!(!rest.contains("sid"), "{said:?} got {head} and then {rest}");
    status(&head)
}

#[tokio::test]
async fn a_refused_websocket_is_closed() {
    let text_frame = "\u{1}\u{0}";
    for flags in [&[][..], &["--no-handoff"]] {
        let cluster = start_game(flags).await;
        let mut ann = cluster.player("Ann").await;
        let seat = ann.seat("create", json!({})).await;
        let ticket = &seat["ticket"];
        let refused = async |said: String| refused(&cluster, &said, ticket).await;
        for path in ["/socket.io", seat["path"].as_str().expect("a path")] {
            let ask = |headers: &[(&str, &str)]| websocket(path, headers);
            for (said, expected) in [
                (ask(&[("Content-Length", "3")]) + "abc", 400),
                (ask(&[("Content-Length", "3")]), 400),
                (ask(&[("Content-Length", "3"), ("Expect", "100-continue")]), 400),
                (ask(&[("Transfer-Encoding", "chunked")]) + "0\r\n\r\n", 400),
                (ask(&[("Transfer-Encoding", "chunked")]), 400),
                (ask(&[]) + text_frame, 400),
                (ask(&[]) + &ask(&[]), 400),
                (ask(&[]).replace("HTTP/1.1", "HTTP/1.0"), 400),
                (ask(&[]).replace("Key: ", "Kez: "), 400),
                (ask(&[]).replace("EIO=4", "EIO=3"), 400),
                (ask(&[]).replace("transport=websocket", "transport=polling"), 400),
                (ask(&[("Host", "evil.example")]), 403),
                (ask(&[("Origin", "http://evil.example")]), 403),
            ] {
                assert_eq!(refused(said.clone()).await, expected, "{flags:?}: {said}");
            }
        }
        assert_eq!(refused(websocket(&path_of(&json!("999")), &[])).await, 404);
        // An earlier request whose body could pass for another request or for frames.
        let body = request("POST", "/", &[("Content-Length", "5")]) + "x";
        assert_eq!(refused(body + &websocket("/socket.io", &[])).await, 405);
        // None of them has used the ticket.
        ann.take(&seat)
            .await
            .ask("echo", json!({ "n": 1 }))
            .await
            .expect("the seat is still theirs");
    }
}

#[tokio::test]
async fn a_replaced_player_cannot_continue_over_the_same_connection() {
    let cluster = start_game(&[]).await;
    let ann = cluster.player("Ann").await;
    let auth = json!({ "token": ann.token });
    let mut first = Raw::connect(&cluster.url).await;
    first.send(&websocket("/socket.io", &[])).await;
    assert_eq!(status(&first.head().await), 101);
    first.send_frame(&format!("40{auth}")).await;
    first.until("welcome").await;
    let mut second = Client::connect(&cluster.url, auth.clone()).await.expect("a good token");
    second.event("welcome").await;
    first.until("replaced").await;
    first.send_frame(&format!("40{auth}")).await;
    let rest = first.rest().await;
    assert!(!rest.contains("welcome"), "{rest}");
    second.ask("list", json!({})).await.expect("the newest connection stays");
}
