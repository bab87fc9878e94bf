//! Requests for a room on a connection that is served here already, as a proxy in front makes them that
//! keeps connections to reuse: the room gets one end of a fresh socket pair, and the lobby copies.

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

/// How long a room may take to answer, and either side to take what the other says: longer than, by
/// default, it takes a busy room to count as hung.
const PATIENCE: Duration = Duration::from_secs(5);
/// When one side has hung up, what the other is still saying may take so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How much is copied in one go.
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
    let Some(door) = routes.find(&room) else {
        return (StatusCode::NOT_FOUND, "there is no such room\n").into_response();
    };
    if !request.headers().contains_key(UPGRADE) {
        return (StatusCode::UPGRADE_REQUIRED, "a room speaks websocket\n").into_response();
    }
    if !request.body().is_end_stream() {
        // The upgrade would wait for its end, however long that takes.
        return (StatusCode::BAD_REQUEST, "a websocket begins without a body\n").into_response();
    }
    let browser = upgrade::on(&mut request);
    let Ok(socket) = enter(&door).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    routes.count_relayed();
    debug!(%room, "relayed");
    match timeout(PATIENCE, ask(socket, request)).await {
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
async fn enter(door: &Sender) -> anyhow::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    door.send_socket(&theirs).await?;
    Ok(ours)
}

async fn ask(room: UnixStream, request: Request) -> anyhow::Result<Response> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(room)).await?;
    // It ends with the answer, or lives on as what the answer was upgraded to.
    tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.context("no answer")?;
    // A refusal is short; who says it bit by bit would keep the browser's connection open.
    let (head, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), MAX_HEADER_BYTES).await?;
    Ok(Response::from_parts(head, body.into()))
}

/// Copies both ways until both have hung up, or one of them a moment ago.
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
        // Whoever does not read would never be found gone either.
        let Ok(Ok(())) = timeout(PATIENCE, to.write_all(&chunk[..count])).await else {
            break;
        };
    }
    // The other side hears that it is over.
    let _ = to.shutdown().await;
}
