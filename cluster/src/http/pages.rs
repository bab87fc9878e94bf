//! The lobby's pages: the project's, and `/cluster/`. Also the check of each request's origin
//! (`origin.rs`), and security headers.
//!
//! `/cluster/` has this crate's part of the page, embedded in the program, and the client
//! libraries, from node_modules or a CDN. Files of the page's folder cannot replace them.
//!
//! Files are served only from the page's folder, and from where its symbolic links lead. Hidden
//! ones (`.env`, `.git`) are not.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, any, get, get_service};
use axum::{Extension, Router, middleware};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::services::ServeDir;

use crate::config::{Origin, Settings, without_path};
use crate::http::files::RegularFiles;
use crate::http::origin::Origins;

macro_rules! embed {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../../web/", $name)))),*] };
}

/// The files of `cluster/web` that a page imports.
const FILES: [(&str, &str); 6] = embed! {
    "cluster.js", "connection.js", "dev-panel.css", "dev-panel.js", "libraries.js", "storage.js"
};

/// The client libraries: the npm package, and the file in its folder `dist`.
const LIBRARIES: [(&str, &str); 2] =
    [("socket.io-client", "socket.io.min.js"), ("js-cookie", "js.cookie.min.js")];

/// The machine is short of files, memory or threads: tokio panics if it can start no thread to read
/// a file.
const SHORT_OF_SOMETHING: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The origins of the hosts that are there now, where rooms run.
pub(crate) type HostOrigins = Arc<dyn Fn() -> Vec<Origin> + Send + Sync>;

/// The pages, and further routes.
pub(crate) fn pages(settings: &Settings, hosts: HostOrigins, routes: Router) -> Router {
    let files = ServeDir::with_backend(&settings.static_dir, RegularFiles)
        .redirect_path_prefix(settings.base_path())
        .fallback(get(StatusCode::NOT_FOUND));
    assets(settings)
        .fallback_service(serve(files))
        .layer(CatchPanicLayer::custom(|_| SHORT_OF_SOMETHING.into_response()))
        .merge(routes.layer(CatchPanicLayer::new()))
        .layer(middleware::from_fn_with_state((Arc::new(settings.clone()), hosts), page_headers))
}

/// Serves the files of a folder. Its fallback answers where there is none.
fn serve(files: ServeDir<MethodRouter, RegularFiles>) -> MethodRouter {
    any(async move |request: Request| match files.clone().try_call(request).await {
        Ok(file) => file.into_response(),
        Err(_) => SHORT_OF_SOMETHING.into_response(),
    })
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

/// The routes below `/cluster/`.
fn assets(settings: &Settings) -> Router {
    let mut router = Router::new()
        .route("/cluster/", get(StatusCode::NOT_FOUND))
        .route("/cluster/{*path}", get(StatusCode::NOT_FOUND));
    for (name, text) in FILES {
        // Browsers ask again at each load, and are answered 304 unless the text has changed.
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(text);
        let etag = format!("\"{hash:x}\"");
        let kind = if name.ends_with(".css") { "text/css" } else { "text/javascript" };
        let file = async move |headers: HeaderMap| embedded(kind, text, &etag, &headers);
        router = router.route(&format!("/cluster/{name}"), get(file));
    }
    // The libraries' versions; `libraries.js` beside it holds their hashes.
    let package = include_str!("../../web/package.json");
    let package: Value = serde_json::from_str(package).expect("package.json is JSON");
    let cdn = &settings.cdn;
    let mut libraries = Router::new();
    for (name, file) in LIBRARIES {
        let version = package["dependencies"][name].as_str().expect("an exact version");
        let on_cdn = Redirect::temporary(&format!("{cdn}/{name}@{version}/dist/{file}"));
        // Looked for at each request: after `npm ci` a reload is enough.
        let files = ServeDir::with_backend(dist(settings, name), RegularFiles);
        libraries = libraries.route(&format!("/{file}"), serve(files.fallback(get(on_cdn))));
    }
    if !libraries_installed(settings) {
        tracing::info!(cdn, "pages load the client libraries from a CDN, not from node_modules");
    }
    router.nest("/cluster/libraries", libraries)
}

/// Whether no page needs the CDN.
fn libraries_installed(settings: &Settings) -> bool {
    LIBRARIES.iter().all(|(name, file)| dist(settings, name).join(file).is_file())
}

/// Where `npm ci` puts the files of a library: beside the page's folder.
fn dist(settings: &Settings, name: &str) -> PathBuf {
    settings.static_dir.join("../node_modules").join(name).join("dist")
}

fn embedded(kind: &'static str, text: &'static str, etag: &str, headers: &HeaderMap) -> Response {
    // The quotes are a part of the tag, so no other contains it.
    let mut known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    if known.any(|tags| tags == "*" || tags.contains(etag)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    ([(CONTENT_TYPE, kind), (ETAG, etag)], text).into_response()
}

/// Answers 404 for hidden files, and adds the headers of a page.
async fn page_headers(
    State((settings, hosts)): State<(Arc<Settings>, HostOrigins)>,
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
    if let Ok(policy) = content_security_policy(&settings, &here, &hosts()).try_into() {
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
fn content_security_policy(settings: &Settings, here: &Authority, hosts: &[Origin]) -> String {
    let cdn = without_path(&settings.cdn);
    let cdn = if libraries_installed(settings) { String::new() } else { format!(" {cdn}") };
    // Some browsers do not count a websocket as `'self'`. A proxy in front may have replaced the
    // `Host` that they sent. A policy cannot name an IPv6 address.
    let public = settings.public_url.as_ref().map(|url| url.origin.authority());
    let public = public.filter(|public| *here != **public);
    let here = [here.as_str()].into_iter().chain(public);
    let rooms = hosts.iter().map(Origin::authority);
    let hosts = here.chain(rooms).filter(|host| !host.starts_with('['));
    let sockets: String = hosts.map(|host| format!(" ws://{host} wss://{host}")).collect();
    let allowed = settings.allow_origin.iter();
    let frames: String = allowed.map(|origin| format!(" {}", origin.as_str())).collect();
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; media-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'self'{frames}"
    )
}

/// Refuses requests for other hosts and, unless any origin may connect, from pages of other sites.
/// Adds security headers.
/// Accepted requests get their host as an [`Authority`] in their extensions.
pub(crate) fn check_origin(app: Router, settings: &Settings, any_origin: bool) -> Router {
    let origins = Arc::new(Origins::new(settings, any_origin));
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
    app.layer(middleware::from_fn_with_state(origins, check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_and_style_sheet_in_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        let files =
            std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file"));
        let mut names: Vec<_> =
            files.filter_map(|file| file.file_name().into_string().ok()).collect();
        names.retain(|name| name.ends_with(".js") || name.ends_with(".css"));
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
    }
}
