//! Endpoints for development (`--dev`), which anyone may use: they read the log and kill rooms.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::admin::health::ask;
use crate::lobby::{Lobby, LobbyHandle};
use crate::logging::subscriber;
use crate::types::{Exit, RoomId};

/// `/dev` tells the page whether there are further ones.
pub(super) fn routes<L: Lobby>(on: bool, lobby: LobbyHandle<L>) -> Router {
    let router = Router::new().route("/dev", get(if on { "on" } else { "off" }));
    if !on {
        return router;
    }
    let kill = post(kill_room::<L>).with_state(lobby);
    router.route("/dev/log", get(log)).route("/dev/rooms/{room}/kill", kill)
}

async fn kill_room<L: Lobby>(
    State(lobby): State<LobbyHandle<L>>,
    Path(room): Path<RoomId>,
) -> StatusCode {
    let exit = Exit::Crashed("killed from the page".to_owned());
    match ask(&lobby, move |lobby| lobby.rooms.borrow_mut().kill(&room, exit)).await {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `GET /dev/log?after=NUMBER`: the log's lines after this one, or all that are kept, and the last
/// one's number. `start` is another one after each start of the lobby. It answers at once: a
/// request that waited would take one of the browser's six connections.
async fn log(RawQuery(query): RawQuery) -> Response {
    let after = query.as_deref().and_then(|query| query.strip_prefix("after=")?.parse().ok());
    let Some((lines, start, last)) = subscriber::recent_lines(after.unwrap_or(0)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({ "start": start, "last": last, "lines": lines }).to_string();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
