//! The lobby's pages: the project's, and `/cluster/` (`assets.rs`). Also the check of each request's
//! origin (`origin.rs`), and security headers.
//!
//! Files are served only from the page's folder, and from where its symbolic links lead. Hidden
//! ones (`.env`, `.git`) are not.

use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, get_service};
use axum::{Extension, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::services::ServeDir;

use crate::config::{Settings, without_path};
use crate::http::assets::{assets, libraries_installed};
use crate::http::files::RegularFiles;
use crate::http::origin::Origins;

/// The machine is short of files, memory or threads: tokio panics if it can start no thread to read
/// a file.
pub(super) const SHORT_OF_SOMETHING: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The pages, and further routes.
pub(crate) fn pages(settings: &Settings, routes: Router) -> Router {
    let files = ServeDir::with_backend(&settings.static_dir, RegularFiles);
    let files = files.redirect_path_prefix(settings.base_path());
    let file = async move |request: Request| match files.clone().try_call(request).await {
        Ok(file) => file.into_response(),
        // The last two: a name with a NUL, or one that is too long.
        Err(error) => match error.kind() {
            NotFound | NotADirectory | InvalidInput | InvalidFilename => StatusCode::NOT_FOUND,
            _ => SHORT_OF_SOMETHING,
        }
        .into_response(),
    };
    assets(settings)
        .fallback(file)
        .layer(CatchPanicLayer::custom(|_| SHORT_OF_SOMETHING.into_response()))
        .merge(routes.layer(CatchPanicLayer::new()))
        .layer(middleware::from_fn_with_state(Arc::new(settings.clone()), page_headers))
}

/// The same below this path, and health at the root as well: probes ask the lobby itself.
pub(crate) fn below(path: &str, pages: Router) -> Router {
    if path.is_empty() {
        return pages;
    }
    let start = format!("{path}/");
    let redirect = async move |RawQuery(query): RawQuery| match query {
        Some(query) => Redirect::temporary(&format!("{start}?{query}")),
        None => Redirect::temporary(&start),
    };
    let routes = nest(path, pages.clone()).route(path, get(redirect));
    routes.route("/healthz", get_service(pages.clone())).route("/readyz", get_service(pages))
}

/// These routes below this path; at the root if it is empty.
pub(crate) fn nest(path: &str, routes: Router) -> Router {
    if path.is_empty() { routes } else { Router::new().nest(&format!("{path}/"), routes) }
}

/// Answers 404 for hidden files, and adds the headers of a page.
async fn page_headers(
    State(settings): State<Arc<Settings>>,
    Extension(here): Extension<Authority>,
    request: Request,
    next: Next,
) -> Response {
    if is_hidden(request.uri().path()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // Browsers ask again at each load: a reload shows an edited page. A route of the project's may
    // have set both.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    if let Ok(policy) = content_security_policy(&settings, &here).try_into() {
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    }
    response
}

/// A hidden file, also percent-encoded; or `//name`, since the redirect to `//name/` would lead to
/// another host.
fn is_hidden(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/");
    let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
    path.starts_with("//") || path.split('/').any(hidden)
}

/// All that the page may load and do. If yours needs more, such as WebAssembly
/// (`'wasm-unsafe-eval'` in `script-src`), add it here.
fn content_security_policy(settings: &Settings, here: &Authority) -> String {
    let cdn = match libraries_installed(settings) {
        true => String::new(),
        false => format!(" {}", without_path(&settings.cdn)),
    };
    // Some browsers do not count a websocket as `'self'`. A proxy in front may have replaced the
    // `Host` that they sent. A policy cannot name an IPv6 address.
    let public = settings.public_url.as_ref().map(|url| url.origin.authority());
    let public = public.filter(|public| *here != **public);
    let hosts = [here.as_str()].into_iter().chain(public).filter(|host| !host.starts_with('['));
    let sockets: String = hosts.map(|host| format!(" ws://{host} wss://{host}")).collect();
    let allowed = settings.allow_origin.iter();
    let frames: String = allowed.map(|origin| format!(" {}", origin.as_str())).collect();
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; media-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'self'{frames}"
    )
}

/// Refuses requests for other hosts and from pages of other sites, and adds security headers.
/// Accepted requests get their host as an [`Authority`] in their extensions.
pub(crate) fn check_origin(app: Router, origins: Origins) -> Router {
    let check = async |State(origins): State<Arc<Origins>>, mut request: Request, next: Next| {
        let mut response = match origins.check(&request) {
            Ok(here) => {
                request.extensions_mut().insert(here);
                next.run(request).await
            }
            Err(reason) => (StatusCode::FORBIDDEN, format!("{reason}\n")).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // What is not a page may load nothing.
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        response
    };
    app.layer(middleware::from_fn_with_state(Arc::new(origins), check))
}
