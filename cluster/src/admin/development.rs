//! Endpoints for development (`--dev`), which anyone may use: they read the log and kill rooms.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::admin::health::{Busy, ask};
use crate::lobby::{Lobby, LobbyHandle};
use crate::logging::subscriber;
use crate::types::{Exit, RoomId};

/// `/dev` tells the page whether there are further ones.
pub(super) fn routes<L: Lobby>(on: bool) -> Router<LobbyHandle<L>> {
    let router = Router::new().route("/dev", get(if on { "on" } else { "off" }));
    if !on {
        return router;
    }
    router.route("/dev/log", get(log)).route("/dev/rooms/{room}/kill", post(kill_room))
}

async fn kill_room<L: Lobby>(
    State(lobby): State<LobbyHandle<L>>,
    Path(room): Path<RoomId>,
) -> Result<StatusCode, Busy> {
    let exit = Exit::Crashed("killed from the page".to_owned());
    let _ = ask(&lobby, move |lobby| lobby.rooms.borrow_mut().kill(&room, exit)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `GET /dev/log?after=NUMBER`: the log's lines after this one, or all that are kept, and the last
/// one's number. `start` is another one after each start of the lobby. It answers at once: a
/// request that waited would take one of the browser's six connections.
async fn log(RawQuery(query): RawQuery) -> Result<Json<Value>, StatusCode> {
    let after = query.as_deref().and_then(|query| query.strip_prefix("after=")?.parse().ok());
    let recent = subscriber::recent_lines(after.unwrap_or(0));
    let (lines, start, last) = recent.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "start": start, "last": last, "lines": lines })))
}
