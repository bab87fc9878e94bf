//! `/cluster/`: the structure's part of the page, embedded in this program, and the client
//! libraries, from node_modules or from a CDN.

use std::path::PathBuf;

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower_http::services::ServeFile;

use crate::config::settings::Settings;

macro_rules! embed {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../../web/", $name)))),*] };
}

/// The files of `cluster/web` that a page imports.
const FILES: [(&str, &str); 5] =
    embed!["cluster.js", "connection.js", "dev-panel.js", "libraries.js", "storage.js"];

/// The client libraries: the npm package, and the file in it.
const LIBRARIES: [(&str, &str); 2] =
    [("socket.io-client", "dist/socket.io.min.js"), ("js-cookie", "dist/js.cookie.min.js")];

/// Their versions; `libraries.js` has the hashes.
const PACKAGE: &str = include_str!("../../web/package.json");

pub(super) fn assets(settings: &Settings) -> Router {
    let mut router = Router::new()
        .route("/cluster/", get(StatusCode::NOT_FOUND))
        .route("/cluster/{*path}", get(StatusCode::NOT_FOUND));
    for (name, text) in FILES {
        let tag = tag(text);
        let file = async move |headers: HeaderMap| embedded(text, &tag, &headers);
        router = router.route(&format!("/cluster/{name}"), get(file));
    }
    let package: Value = serde_json::from_str(PACKAGE).expect("package.json is JSON");
    for ((name, file), installed) in LIBRARIES.into_iter().zip(installed(settings)) {
        let version = package["dependencies"][name].as_str().expect("an exact version");
        let elsewhere = format!("{}/{name}@{version}/{file}", settings.cdn.as_str());
        // Checked at each request: after `npm ci` a reload is enough.
        let library = async move |request: Request| {
            if !installed.is_file() {
                return Redirect::temporary(&elsewhere).into_response();
            }
            let file = ServeFile::new(&installed).try_call(request).await;
            file.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR).into_response()
        };
        let file = file.rsplit('/').next().unwrap_or(file);
        router = router.route(&format!("/cluster/libraries/{file}"), get(library));
    }
    if !libraries_installed(settings) {
        let from = settings.cdn.as_str();
        tracing::info!(from, "client libraries (npm ci installs them here)");
    }
    router
}

/// Whether the libraries are in node_modules.
pub(super) fn libraries_installed(settings: &Settings) -> bool {
    installed(settings).iter().all(|library| library.is_file())
}

/// Where `npm ci` puts the libraries: in `node_modules` beside the static folder.
fn installed(settings: &Settings) -> [PathBuf; 2] {
    let node_modules = settings.static_dir.join("../node_modules");
    LIBRARIES.map(|(name, file)| node_modules.join(name).join(file))
}

fn embedded(text: &'static str, tag: &str, headers: &HeaderMap) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut known = known.flat_map(|tags| tags.split(',')).map(str::trim);
    if known.any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    ([(CONTENT_TYPE, "text/javascript"), (ETAG, tag)], text).into_response()
}

/// An entity tag, so that browsers revalidate cheaply.
fn tag(text: &str) -> String {
    let hash = Sha256::digest(text);
    format!("\"{}\"", hash[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_in_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        let files =
            std::fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file"));
        let mut names: Vec<_> =
            files.filter_map(|file| file.file_name().into_string().ok()).collect();
        names.retain(|name| name.ends_with(".js"));
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
    }
}
