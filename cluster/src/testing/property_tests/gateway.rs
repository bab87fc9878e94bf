//! Requests at the public port: peeking at the first bytes must agree with the HTTP server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::routing::gateway::peek;
use crate::testing::property_tests::{RUNTIME, config, mutated};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn peeking_at_a_request_is_consistent_and_never_wrong(
        base in select(vec!["", "/game", "/a/b-c.d_e"]),
        bytes in prop_oneof![
            request().prop_map(String::into_bytes),
            mutated(request().prop_map(String::into_bytes)),
        ],
        at_base in any::<bool>(),
    ) {
        let bytes = if at_base { insert(base, bytes) } else { bytes };
        let prefix = format!("GET {base}/rooms/");
        let peek = |bytes| peek(prefix.as_bytes(), bytes);
        let last = peek(&bytes);
        for end in 0..bytes.len() {
            let early = peek(&bytes[..end]);
            prop_assert!(early.is_pending() || early == last, "{early:?} after {end} bytes");
        }
        if let (Poll::Ready(Some(room)), Some(path)) = (&last, path_of(&bytes)) {
            prop_assert!(path.starts_with(&format!("{prefix}{room}/")), "{room}: {path}");
        }
    }
}

/// The request with this path in front of its own.
fn insert(base: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = bytes.iter().position(|byte| *byte == b'/') {
        bytes.splice(at..at, base.bytes());
    }
    bytes
}

fn request() -> impl Strategy<Value = String> {
    let method = select(vec!["GET", "get", "POST", "GET ", "G", "", "\r\nGET", "GET\t", "HEAD"]);
    let path = select(vec![
        "/rooms/",
        "/rooms",
        "//rooms/",
        "/rooms//",
        "/ROOMS/",
        "http://a/rooms/",
        "/./rooms/",
        "/rooms/../",
        "/%72ooms/",
        "*",
        "",
    ]);
    let room = prop_oneof![4 => "[0-9]{1,21}", 1 => "[0-9a-z%+. ?#-]{0,4}"];
    let rest = prop_oneof!["/socket.io/\\?EIO=4", "[/?#%. -]{1,2}a?", "[ -~]{0,9}"];
    let version =
        select(vec![" HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/2.0\r\n", "\r\n", "\n", " "]);
    let usual = (room.clone(), rest.clone())
        .prop_map(|(room, rest)| format!("GET /rooms/{room}{rest} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let any = (method, path, room, rest, version, "[ -~\r\n]{0,40}").prop_map(
        |(method, path, room, rest, version, more)| {
            format!("{method} {path}{room}{rest}{version}{more}\r\n\r\n")
        },
    );
    prop_oneof![usual, any]
}

/// The method and path of the first request as parsed by the HTTP server, if it is valid.
fn path_of(bytes: &[u8]) -> Option<String> {
    let asked = Arc::new(Mutex::new(None));
    let first = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let line = format!("{} {}", request.method(), request.uri());
        first.lock().expect("nobody panics here").get_or_insert(line);
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    RUNTIME.block_on(async {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let serve = http1::Builder::new().serve_connection(TokioIo::new(far), service);
        let ask = async {
            let _ = near.write_all(bytes).await;
            let _ = near.shutdown().await;
            let _ = near.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(serve, ask);
    });
    asked.lock().expect("nobody panics here").take()
}
