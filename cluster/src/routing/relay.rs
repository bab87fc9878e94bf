//! Relays a websocket to a room when its connection is not handed off: handoff is off or has
//! failed, or the lobby has read requests from the connection before, as from a proxy in front that
//! reuses connections. The room gets one end of a new socket pair, and the lobby copies.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::future::select;
use hyper::client::conn::http1;
use hyper::upgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::UnixStream;
use tokio_util::either::Either;
use tracing::debug;

use crate::http::MAX_HEADER_BYTES;
use crate::process::End;
use crate::routing::gateway::GatewayRoutes;
use crate::runtime::timeout;
use crate::types::RoomId;

/// How long a room may take to answer, and either side to take what it is sent: longer than the
/// default time after which a room counts as hung.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the rest from one side may take after the other has closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const BUFFER_SIZE: usize = 8 * 1024;

/// The routes to rooms of the lobby at this path.
pub(crate) fn routes(path: &str, routes: Arc<GatewayRoutes>) -> Router {
    Router::new().route(&format!("{path}/rooms/{{room}}/{{*rest}}"), get(relay).with_state(routes))
}

async fn relay(
    State(routes): State<Arc<GatewayRoutes>>,
    Path((room, _)): Path<(RoomId, String)>,
    mut request: Request,
) -> Response {
    let Some(sender) = routes.find(&room) else {
        return (StatusCode::NOT_FOUND, "there is no such room\n").into_response();
    };
    if !request.headers().contains_key(UPGRADE) {
        return (StatusCode::UPGRADE_REQUIRED, "rooms accept websockets only\n").into_response();
    }
    let browser = upgrade::on(&mut request);
    let connected = async {
        if let End::Remote(room) = &sender.end {
            return (room.dial)(room.id.clone()).await.map(Either::Left);
        }
        let (ours, theirs) = UnixStream::pair()?;
        sender.send_socket(&theirs).await.map(|()| Either::Right(ours))
    };
    let Ok(stream) = connected.await else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(CONNECTION, "close")]).into_response();
    };
    routes.relayed.fetch_add(1, Relaxed);
    debug!(%room, "relayed");
    match timeout(IO_TIMEOUT, forward(stream, request)).await {
        Ok(Ok(mut response)) => {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                tokio::spawn(copy_upgraded(browser, upgrade::on(&mut response)));
            }
            response
        }
        Ok(Err(error)) => {
            debug!(%room, error = format!("{error:#}"), "the room did not answer");
            StatusCode::BAD_GATEWAY.into_response()
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

async fn forward(
    room: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request,
) -> anyhow::Result<Response> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(room)).await?;
    // Ends with the response, or lives on as the websocket.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.context("no answer")?;
    // Read here, within the timeout: an endless body would keep the browser's connection open.
    let (head, body) = response.into_parts();
    let body = to_bytes(Body::new(body), MAX_HEADER_BYTES).await?;
    Ok(Response::from_parts(head, body.into()))
}

async fn copy_upgraded(browser: upgrade::OnUpgrade, room: upgrade::OnUpgrade) {
    let Ok((browser, room)) = tokio::try_join!(browser, room) else { return };
    copy(TokioIo::new(browser), TokioIo::new(room)).await;
}

/// Copies both ways until both sides have closed, or for [`DRAIN_TIMEOUT`] after one has.
pub(crate) async fn copy(browser: impl AsyncRead + AsyncWrite, room: impl AsyncRead + AsyncWrite) {
    let (from_browser, to_browser) = split(browser);
    let (from_room, to_room) = split(room);
    let inward = pin!(copy_one_way(from_browser, to_room));
    let outward = pin!(copy_one_way(from_room, to_browser));
    let ((), other) = select(inward, outward).await.factor_first();
    let _ = timeout(DRAIN_TIMEOUT, other).await;
}

/// `tokio::io::copy_bidirectional` has no timeout for writes. While a write to one side is blocked,
/// nothing is read from the other, and it would never be found gone.
async fn copy_one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; BUFFER_SIZE];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Ok(Ok(())) = timeout(IO_TIMEOUT, to.write_all(&buffer[..count])).await else { break };
    }
    let _ = to.shutdown().await;
}
