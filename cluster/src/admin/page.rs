//! The admin page, for the lobby's operators: it shows rooms and players, and acts on them. Anyone
//! who reaches `--admin` may load it; what it asks for needs the token.

use axum::extract::{Extension, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::info;

use crate::admin::health::{Busy, ask};
use crate::http::ClientAddress;
use crate::lobby::event_loop::EventHandler;
use crate::lobby::{Lobby, LobbyContext, LobbyHandle};
use crate::runtime::clock;
use crate::types::{Exit, PlayerId, Refusal, RoomId};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; frame-ancestors 'none'";

/// The page itself.
pub(super) fn files() -> Router {
    let file = |kind, text: &'static str| {
        let headers =
            [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
        get((headers, text))
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("../../web/admin/admin.html")))
        .route("/admin.js", file("text/javascript", include_str!("../../web/admin/admin.js")))
}

/// What it asks for.
pub(super) fn routes<L: Lobby>() -> Router<LobbyHandle<L>> {
    let close = act(|handler, room: RoomId| {
        handler.context.close(&room, "The room was closed by the server's team.")
    });
    let kill = act(|handler, room: RoomId| {
        let exit = Exit::Crashed("killed at --admin".to_owned());
        handler.context.rooms.borrow_mut().kill(&room, exit)
    });
    let kick = act(|handler, player: PlayerId| {
        handler.context.kick(&player, "You were removed by the server's team.");
        Ok(())
    });
    let drain = act(|handler, ()| {
        handler.stop();
        Ok(())
    });
    Router::new()
        .route("/state", get(state))
        .route("/rooms/{room}/log", get(log))
        .route("/rooms/{room}/close", close)
        .route("/rooms/{room}/kill", kill)
        .route("/players/{player}/kick", kick)
        .route("/drain", drain)
}

async fn state<L: Lobby>(State(lobby): State<LobbyHandle<L>>) -> Result<Json<Value>, Busy> {
    ask(&lobby, |lobby| Json(overview(lobby))).await
}

fn overview<L: Lobby>(lobby: &LobbyContext<L>) -> Value {
    let player = |id: &PlayerId| {
        let (place, room) = lobby.find(id)?.shown();
        let name = lobby.any_player(id)?.name;
        Some(json!({ "id": id, "name": name, "place": place, "room": room }))
    };
    let rooms = lobby.rooms.borrow();
    let left = rooms.closes_at.map(|at| at.saturating_duration_since(clock::now()));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "draining_s": left.map(|left| left.as_secs()),
        "lag_ms": lobby.scheduler.lag.get().as_millis() as u64,
        "hosts": lobby.hosts.as_ref().map(|hosts| hosts.figures()),
        "rooms": rooms.overview(),
        "players": lobby.known_players().iter().filter_map(player).collect::<Vec<_>>(),
    })
}

/// The last lines of a room.
async fn log<L: Lobby>(
    State(lobby): State<LobbyHandle<L>>,
    Path(room): Path<RoomId>,
) -> Result<Result<String, StatusCode>, Busy> {
    let lines = ask(&lobby, move |lobby| lobby.rooms.borrow().last_lines(&room)).await?;
    Ok(lines.ok_or(StatusCode::NOT_FOUND))
}

/// A route that acts on what its path names. Each act is logged, with the address.
fn act<L: Lobby, T>(
    act: fn(&mut EventHandler<'_, L>, T) -> Result<(), Refusal>,
) -> MethodRouter<LobbyHandle<L>>
where
    T: DeserializeOwned + Send + 'static,
{
    let answer = move |State(lobby): State<LobbyHandle<L>>,
                       Extension(ClientAddress(address)): Extension<ClientAddress>,
                       uri: Uri,
                       Path(what): Path<T>| async move {
        let from = address.map_or("this machine".to_owned(), |address| address.to_string());
        info!(from, act = uri.path(), "asked at --admin");
        let acted =
            lobby.call(move |lobby, context| act(&mut EventHandler { lobby, context }, what));
        acted.await.flatten().map(|()| "done\n")
    };
    post(answer)
}
