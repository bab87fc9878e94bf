//! Requests for a room on a connection that the lobby's HTTP server has read from, as behind a
//! proxy that reuses connections: the room gets one end of a new socket pair, and the lobby copies.

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, HttpBody as _, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header::UPGRADE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use hyper::{client::conn::http1, upgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
};
use tracing::debug;

use crate::{
    http::frames::MAX_HEADER_BYTES, process::channel::Sender, routing::gateway::GatewayRoutes,
    runtime::clock::timeout, types::RoomId,
};

/// How long a room may take to respond, and either side to accept data: longer than the default
/// `--heartbeat-timeout`.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long data of one side is copied after the other has closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that are copied at a time.
const CHUNK: usize = 8 * 1024;

/// Where rooms are found on this server.
pub(crate) fn routes(routes: GatewayRoutes) -> Router {
    Router::new().route("/rooms/{room}/{*rest}", get(to_room).with_state(routes))
}

async fn to_room(
    State(routes): State<GatewayRoutes>,
    Path((room, _)): Path<(RoomId, String)>,
    mut request: Request,
) -> Response {
    let Some(room_channel) = routes.find(&room) else {
        return (StatusCode::NOT_FOUND, "there is no such room\n").into_response();
    };
    if !request.headers().contains_key(UPGRADE) {
        return (StatusCode::UPGRADE_REQUIRED, "rooms accept websockets only\n").into_response();
    }
    if !request.body().is_end_stream() {
        // The upgrade would wait for the end of the body.
        return (StatusCode::BAD_REQUEST, "a websocket request has no body\n").into_response();
    }
    let browser = upgrade::on(&mut request);
    let Ok(socket) = connect(&room_channel).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    routes.count_relayed();
    debug!(%room, "relayed");
    match timeout(IO_TIMEOUT, ask(socket, request)).await {
        Ok(Ok(mut answer)) => {
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                tokio::spawn(copy(browser, upgrade::on(&mut answer)));
            }
            answer
        }
        Ok(Err(error)) => {
            debug!(%room, error = format!("{error:#}"), "a room did not answer");
            StatusCode::BAD_GATEWAY.into_response()
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

/// A connection to the room.
async fn connect(room: &Sender) -> anyhow::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    room.send_socket(&theirs).await?;
    Ok(ours)
}

async fn ask(room: UnixStream, request: Request) -> anyhow::Result<Response> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(room)).await?;
    // Ends with the response, or goes on as a websocket.
    tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.context("no answer")?;
    // Bounded, and within the timeout: a room must not keep the client waiting with an endless
    // body.
    let (head, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), MAX_HEADER_BYTES).await?;
    Ok(Response::from_parts(head, body.into()))
}

/// Copies both ways until both sides have closed, or `DRAIN_TIMEOUT` after one has.
async fn copy(browser: upgrade::OnUpgrade, room: upgrade::OnUpgrade) {
    let Ok((browser, room)) = tokio::try_join!(browser, room) else {
        return;
    };
    let (mut from_browser, mut to_browser) = io::split(TokioIo::new(browser));
    let (mut from_room, mut to_room) = io::split(TokioIo::new(room));
    let mut there = std::pin::pin!(one_way(&mut from_browser, &mut to_room));
    let mut back = std::pin::pin!(one_way(&mut from_room, &mut to_browser));
    tokio::select! {
        () = &mut there => drop(timeout(DRAIN_TIMEOUT, back).await),
        () = &mut back => drop(timeout(DRAIN_TIMEOUT, there).await),
    }
}

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        // A side that does not read would never be noticed to be gone.
        let Ok(Ok(())) = timeout(IO_TIMEOUT, to.write_all(&chunk[..count])).await else {
            break;
        };
    }
    let _ = to.shutdown().await;
}
