//! Whether the lobby works, for process managers and load balancers. The event loop itself answers,
//! so a hook that does not return shows.

use std::io::{Read as _, Write as _, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::config::Settings;
use crate::lobby::{Lobby, LobbyContext, LobbyHandle};
use crate::runtime::clock;

/// The event loop is busy if it does not answer within this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// `/healthz`: 200 if the event loop answers within a second. `/readyz`: 200 if the lobby accepts
/// further players as well.
pub(super) fn routes<L: Lobby>() -> Router<LobbyHandle<L>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz<L: Lobby>(State(lobby): State<LobbyHandle<L>>) -> Result<&'static str, Busy> {
    ask(&lobby, |_| "ok\n").await
}

async fn readyz<L: Lobby>(State(lobby): State<LobbyHandle<L>>) -> (StatusCode, Json<Value>) {
    let reasons = ask(&lobby, |lobby| lobby.rooms.borrow().unready()).await;
    let reasons = reasons.unwrap_or(vec!["busy"]);
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "reasons": reasons })))
}

/// The answer of a route if the event loop does not answer in time.
pub(super) type Busy = (StatusCode, &'static str);

/// Asks the event loop.
pub(super) async fn ask<L: Lobby, T: Send + 'static>(
    lobby: &LobbyHandle<L>,
    call: impl FnOnce(&LobbyContext<L>) -> T + Send + 'static,
) -> Result<T, Busy> {
    let answer = clock::timeout(PATIENCE, lobby.call(|_, lobby| call(lobby))).await;
    answer.ok().and_then(Result::ok).ok_or((StatusCode::SERVICE_UNAVAILABLE, "busy\n"))
}

/// Asks a running lobby with these settings on this machine for its health. Prints the answer.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    ensure!(settings.port != 0, "set --port to the lobby's port");
    let anywhere = settings.lan || settings.host.is_unspecified();
    let host = if anywhere { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { settings.host };
    let address = SocketAddr::new(host, settings.port);
    let ask = || {
        let mut lobby = TcpStream::connect_timeout(&address, PATIENCE)?;
        lobby.set_read_timeout(Some(2 * PATIENCE))?;
        write!(lobby, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        lobby.take(4096).read_to_string(&mut answer)?;
        anyhow::Ok(answer)
    };
    let answer = ask().with_context(|| format!("no lobby answers at {address}"))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let _ = stdout().write_all(body.as_bytes());
    let healthy = answer.starts_with("HTTP/1.1 200 ");
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
