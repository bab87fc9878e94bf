//! Routes of the lobby's own.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::axum::Router;
use cluster::axum::extract::{Form, Json, Query, State};
use cluster::axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use cluster::axum::response::{Html, IntoResponse};
use cluster::axum::routing::{get, post};
use cluster::{LobbyHandle, Refusal};
use serde_json::{Value, json};

use super::Features;

type Lobby = State<LobbyHandle<Features>>;
type Fields = BTreeMap<String, String>;

pub fn own(lobby: LobbyHandle<Features>) -> Router {
    let router = Router::new()
        .route("/count", get(count))
        .route("/json", post(post_json))
        .route("/form", post(post_form))
        .route("/html", get(async || Html("<p>hello</p>")))
        .route("/own-headers", get(own_headers))
        .route("/panic", get(async || -> () { panic!("as asked") }))
        .route("/call-panic", get(call_panic))
        .route("/until-stopped", get(until_stopped))
        .with_state(lobby);
    match std::env::var("OVERLAP") {
        Ok(path) => router.route(&path, get(async || "mine")),
        Err(_) => router,
    }
}

pub fn cross_origin(lobby: LobbyHandle<Features>) -> Router {
    Router::new()
        .route("/callback", post(post_form))
        .route("/callback-panic", get(async || -> () { panic!("as asked") }))
        .with_state(lobby)
}

/// The players, what was posted, and the query.
async fn count(State(lobby): Lobby, Query(asked): Query<Fields>) -> Result<Json<Value>, Refusal> {
    let count = |server: &mut Features, lobby: &cluster::LobbyContext<Features>| json!({ "players": lobby.players().len(), "posted": server.posted });
    let mut count = lobby.call(count).await?;
    count["asked"] = json!(asked);
    Ok(Json(count))
}

async fn post_json(State(lobby): Lobby, Json(value): Json<Value>) -> Result<String, Refusal> {
    keep(&lobby, value).await
}

async fn post_form(State(lobby): Lobby, Form(fields): Form<Fields>) -> Result<String, Refusal> {
    keep(&lobby, json!(fields)).await
}

/// Answers with the number of values that are kept.
async fn keep(lobby: &LobbyHandle<Features>, value: Value) -> Result<String, Refusal> {
    let push = move |server: &mut Features, _: &_| {
        server.posted.push(value);
        server.posted.len()
    };
    Ok(format!("kept {}\n", lobby.call(push).await?))
}

async fn call_panic(State(lobby): Lobby) -> Result<(), Refusal> {
    lobby.call(|_, _| panic!("as asked")).await
}

/// Asks the lobby again and again, until it refuses.
async fn until_stopped(State(lobby): Lobby) -> Result<(), Refusal> {
    loop {
        lobby.call(|_, _| tracing::info!("a route waits")).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn own_headers() -> impl IntoResponse {
    let headers = [(CACHE_CONTROL, "max-age=60"), (CONTENT_SECURITY_POLICY, "default-src 'self'")];
    (headers, Html("<p>hello</p>"))
}
