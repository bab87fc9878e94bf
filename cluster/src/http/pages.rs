//! What the lobby serves besides Socket.IO: static files, `/cluster/` (`assets.rs`), and the
//! development endpoints. For lobby and rooms: the checks of `origin.rs` and the security headers.
//!
//! Hidden files (`.env`, `.git`) are not served. Symbolic links are followed: whoever can make one
//! in the folder can also put a copy there.

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
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::sync::mpsc;
use tower_http::services::ServeDir;

use crate::{
    config::{authority::Authority, settings::Settings},
    http::{
        assets::{assets, libraries_installed},
        origin::Origins,
    },
    logging::subscriber,
    types::RoomId,
};

/// The lobby's pages. `kill` receives the rooms to kill, in development.
pub(crate) fn pages(settings: &Settings, kill: mpsc::UnboundedSender<RoomId>) -> Router {
    let files = ServeDir::new(&settings.static_dir);
    let file = async move |request: Request| match files.clone().try_call(request).await {
        Ok(file) => file.into_response(),
        // The last two: a name that contains NUL, or is too long.
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
    // Browsers revalidate each time, so that an edited page shows at the next reload.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Settings are checked to be valid in a header.
    if let Some(here) = here
        && let Ok(policy) = content_security_policy(&settings, &here).try_into()
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Hidden files, percent-encoded or not; and `//name`, since a redirect to `//name/` would lead to
/// another host.
fn is_hidden(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
    path.starts_with("//") || path.split('/').any(hidden)
}

/// What a page may load. For more, such as WebAssembly (`'wasm-unsafe-eval'` in `script-src`), edit
/// this.
fn content_security_policy(settings: &Settings, here: &Authority) -> String {
    let cdn = match libraries_installed(settings) {
        true => String::new(),
        false => format!(" {}://{}", settings.cdn.scheme(), settings.cdn.authority()),
    };
    // A proxy in front may have replaced the browser's `Host`.
    let public = settings.public_url.as_ref().and_then(|url| Authority::parse(url.authority()));
    let mut sockets = websockets(here);
    if let Some(public) = public.filter(|public| public != here) {
        sockets += &websockets(&public);
    }
    let frames = settings.allow_origin.iter();
    let frames: String =
        frames.map(|url| format!(" {}://{}", url.scheme(), url.authority())).collect();
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; media-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'{frames}"
    )
}

/// Some browsers do not count a websocket as `'self'`. A policy cannot name an IPv6 address.
fn websockets(to: &Authority) -> String {
    if to.host.starts_with('[') { String::new() } else { format!(" ws://{to} wss://{to}") }
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

/// `GET /dev/log?after=NUMBER`: the lines after the one with this number, or all that are kept, and
/// the number of the last one. Polled: an open request in each tab would use up the six connections
/// of a browser to a host.
async fn log(RawQuery(query): RawQuery) -> Response {
    let after = query.as_deref().and_then(|query| query.strip_prefix("after="));
    let after = after.and_then(|number| number.parse().ok()).unwrap_or(0);
    let Some((lines, last)) = subscriber::recent_lines(after) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({ "last": last, "lines": lines }).to_string();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Responds 403 to requests that fail the checks of [`Origins`], and puts the request's
/// [`Authority`] into others.
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
        // Responses that are not pages may load nothing.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        response
    };
    app.layer(middleware::from_fn_with_state(Arc::new(origins), check))
}
