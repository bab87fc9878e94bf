//! What the lobby serves besides Socket.IO: the page, `/cluster/` (`assets.rs`), and in development the
//! log and the power to kill a room; each request is answered at once. And what both roles do with
//! every request: refuse what is not for us (`origin.rs`), and tell browsers what they may make of
//! the answer.
//!
//! The page's files come from its folder and from nowhere else, except where a symbolic link leads: whoever
//! may put one there could put a copy there as well. Hidden ones (`.env`, `.git`) are not served.

use std::{
    io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::sync::mpsc;
use tower_http::services::ServeDir;

use crate::{
    config::{parse::PublicUrl, settings::Settings},
    http::{
        assets::{assets, libraries_installed},
        origin::Origins,
    },
    logging::subscriber,
    types::RoomId,
};

/// The lobby's pages. `kill` gets the rooms that somebody wants killed, in development.
pub(crate) fn pages(settings: &Settings, kill: mpsc::UnboundedSender<RoomId>) -> Router {
    let files = ServeDir::new(&settings.static_dir);
    let file = async move |request: Request| match files.clone().try_call(request).await {
        Ok(file) => file.into_response(),
        // The last two: a name that holds a NUL, or is too long.
        Err(error) => match error.kind() {
            NotFound | NotADirectory | InvalidInput | InvalidFilename => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
        .into_response(),
    };
    let mut pages =
        assets(settings).fallback(file).route("/dev", get(if settings.dev { "on" } else { "off" }));
    if settings.dev {
        pages = pages
            .route("/dev/log", get(log))
            .route("/dev/rooms/{room}/kill", post(kill_room).with_state(kill));
    }
    pages.layer(middleware::from_fn_with_state(Arc::new(settings.clone()), as_page))
}

async fn as_page(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    if is_hidden(request.uri().path()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let here = request.extensions().get::<Authority>().cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Ask again each time, so that an edited page is seen at the next reload.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // No setting that was accepted holds what is no header's.
    if let Some(here) = here
        && let Ok(policy) = content_security_policy(&settings, &here).try_into()
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Hidden files; and `//name`, which a redirect to `//name/` would send to another host. Looked at as it
/// is decoded later.
fn is_hidden(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
    path.starts_with("//") || path.split('/').any(hidden)
}

/// What the page may load and do: nothing but what is listed here. A page that needs more, such as
/// WebAssembly (`'wasm-unsafe-eval'` among the scripts), adds it here.
fn content_security_policy(settings: &Settings, here: &Authority) -> String {
    let cdn = match libraries_installed(settings) {
        true => String::new(),
        false => format!(" {}", settings.cdn.origin()),
    };
    // A proxy in front may have replaced the `Host` that the browser sent.
    let public = settings.public_url.as_ref().map(PublicUrl::authority);
    let mut sockets = websockets(here.as_str());
    if let Some(public) = public.filter(|public| *here != **public) {
        sockets += &websockets(public);
    }
    let allowed = settings.allow_origin.iter();
    let frames: String = allowed.map(|url| format!(" {}", url.origin())).collect();
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; media-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'{frames}"
    )
}

/// Some browsers do not count a websocket as `'self'`. A policy cannot name an IPv6 address.
fn websockets(authority: &str) -> String {
    match authority.starts_with('[') {
        true => String::new(),
        false => format!(" ws://{authority} wss://{authority}"),
    }
}

async fn kill_room(
    State(kill): State<mpsc::UnboundedSender<RoomId>>,
    Path(room): Path<String>,
) -> StatusCode {
    match kill.send(RoomId(room)) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `GET /dev/log?after=NUMBER`: the log's lines after that of this number, or all that are kept, and the last one's
/// number. It answers at once: a browser has six connections to a host, for all of its tabs.
async fn log(RawQuery(query): RawQuery) -> Response {
    let after = query.as_deref().and_then(|query| query.strip_prefix("after="));
    let after = after.and_then(|number| number.parse().ok()).unwrap_or(0);
    let Some((lines, last)) = subscriber::recent_lines(after) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({ "last": last, "lines": lines }).to_string();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Refuses requests that were not meant for this server or that another site's page makes. What
/// answers all others has the place that they were sent to as an [`Authority`].
pub(crate) fn check_origin(app: Router, origins: Origins) -> Router {
    let check = async |State(origins): State<Arc<Origins>>, mut request: Request, next: Next| {
        let mut response = match origins.check(&request) {
            Ok(here) => {
                request.extensions_mut().insert(here);
                next.run(request).await
            }
            Err(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // What is no page does nothing at all.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        response
    };
    app.layer(middleware::from_fn_with_state(Arc::new(origins), check))
}
