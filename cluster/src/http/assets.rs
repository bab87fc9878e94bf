//! Serves `/cluster/`: this crate's part of the page, embedded in the program, and the client
//! libraries, from node_modules or a CDN. Files of the page's folder cannot replace them.

use std::io::ErrorKind::NotFound;
use std::path::PathBuf;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower_http::services::ServeDir;

use crate::config::Settings;
use crate::http::files::RegularFiles;
use crate::http::pages::SHORT_OF_SOMETHING;

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

pub(super) fn assets(settings: &Settings) -> Router {
    let mut router = Router::new()
        .route("/cluster/", get(StatusCode::NOT_FOUND))
        .route("/cluster/{*path}", get(StatusCode::NOT_FOUND));
    for (name, text) in FILES {
        let etag = etag(text);
        let kind = if name.ends_with(".css") { "text/css" } else { "text/javascript" };
        let file = async move |headers: HeaderMap| embedded(kind, text, &etag, &headers);
        router = router.route(&format!("/cluster/{name}"), get(file));
    }
    // The libraries' versions; `libraries.js` beside it holds their hashes.
    let package = include_str!("../../web/package.json");
    let package: Value = serde_json::from_str(package).expect("package.json is JSON");
    let cdn = &settings.cdn;
    let files = ServeDir::with_backend(node_modules(settings), RegularFiles);
    for (name, file) in LIBRARIES {
        let version = package["dependencies"][name].as_str().expect("an exact version");
        let cdn_url = format!("{cdn}/{name}@{version}/dist/{file}");
        let uri: Uri = format!("/{name}/dist/{file}").parse().expect("a path");
        let files = files.clone();
        // Looked for at each request: after `npm ci` a reload is enough.
        let library = async move |mut request: Request| {
            *request.uri_mut() = uri.clone();
            match files.clone().try_call(request).await {
                Ok(file) if file.status() != StatusCode::NOT_FOUND => file.into_response(),
                Err(error) if error.kind() != NotFound => SHORT_OF_SOMETHING.into_response(),
                _ => Redirect::temporary(&cdn_url).into_response(),
            }
        };
        router = router.route(&format!("/cluster/libraries/{file}"), get(library));
    }
    if !libraries_installed(settings) {
        tracing::info!(cdn, "pages load the client libraries from a CDN, not from node_modules");
    }
    router
}

/// Whether no page needs the CDN.
pub(super) fn libraries_installed(settings: &Settings) -> bool {
    let is_there = |(name, file): (&str, &str)| {
        node_modules(settings).join(name).join("dist").join(file).is_file()
    };
    LIBRARIES.into_iter().all(is_there)
}

/// Where `npm ci` puts the libraries: beside the page's folder.
fn node_modules(settings: &Settings) -> PathBuf {
    settings.static_dir.join("../node_modules")
}

fn embedded(kind: &'static str, text: &'static str, etag: &str, headers: &HeaderMap) -> Response {
    // The quotes are a part of the tag, so no other contains it.
    let mut known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    if known.any(|tags| tags == "*" || tags.contains(etag)) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    ([(CONTENT_TYPE, kind), (ETAG, etag)], text).into_response()
}

/// A hash of the text: browsers ask again at each load, and are answered 304 unless it changed.
fn etag(text: &str) -> String {
    let hash = Sha256::digest(text);
    format!("\"{}\"", hash[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
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
