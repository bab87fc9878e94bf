//! What the lobby serves besides Socket.IO: the page, the client libraries, and in development the
//! log and the power to kill a room. And the check that both roles make on every request: is it
//! meant for us, and does it come from our own page?

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Path, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{self, Next},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tower_http::{
    services::{ServeDir, ServeFile},
    set_header::SetResponseHeaderLayer,
};

use super::{
    logs,
    settings::{PublicUrl, Settings},
    words::RoomId,
};

/// The client libraries: the name under `/vendor/`, and the file in its npm package. Versions are
/// exact, as in `package.json`; `index.html` holds a hash of each.
const VENDOR: [(&str, &str, &str); 2] = [
    ("socket.io.min.js", "socket.io-client@4.8.3", "dist/socket.io.min.js"),
    ("js.cookie.min.js", "js-cookie@3.0.5", "dist/js.cookie.min.js"),
];

/// The lobby's pages. `kill` gets the rooms that somebody wants killed, in development.
pub(crate) fn pages(
    settings: &Settings,
    kill: mpsc::UnboundedSender<RoomId>,
) -> anyhow::Result<Router> {
    let mut pages = Router::new()
        .fallback_service(ServeDir::new(&settings.static_dir))
        .route("/dev", get(if settings.dev { "on" } else { "off" }));
    if settings.dev {
        pages = pages
            .route("/dev/log", get(log))
            .route("/dev/rooms/{room}/kill", post(kill_room).with_state(kill));
    }
    let mut cdn = None;
    for (name, package, file) in VENDOR {
        let installed = node_modules(settings).join(package.split('@').next().unwrap()).join(file);
        if !installed.is_file() {
            cdn = Some(&settings.cdn);
        }
        let elsewhere = format!("{}/{package}/{file}", settings.cdn.as_str());
        // Looked for at each request: after `npm ci` a reload is enough.
        let library = async move |request: Request| {
            if !installed.is_file() {
                return Redirect::temporary(&elsewhere).into_response();
            }
            let file = ServeFile::new(&installed).try_call(request).await;
            file.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR).into_response()
        };
        pages = pages.route(&format!("/vendor/{name}"), get(library));
    }
    if cdn.is_some() {
        tracing::info!(
            from = settings.cdn.as_str(),
            "client libraries (npm ci installs them here)"
        );
    }
    let header = |name, value: &str| -> anyhow::Result<_> {
        let value = HeaderValue::from_str(value).context("--cdn is no header value")?;
        Ok(SetResponseHeaderLayer::overriding(name, value))
    };
    Ok(pages
        .layer(header(CONTENT_SECURITY_POLICY, &content_security_policy(cdn))?)
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff")?)
        // Ask again each time, so that an edited page is seen at the next reload.
        .layer(header(CACHE_CONTROL, "no-cache")?))
}

/// `node_modules` stands beside the page's folder.
fn node_modules(settings: &Settings) -> PathBuf {
    settings.static_dir.join("../node_modules")
}

/// Scripts from here (and the CDN where it is needed); websockets to anywhere, since rooms may have
/// ports of their own, and not every browser counts a websocket to here as `'self'`.
fn content_security_policy(cdn: Option<&PublicUrl>) -> String {
    let cdn = cdn.map_or(String::new(), |url| format!(" {}://{}", url.scheme(), url.authority()));
    format!(
        "default-src 'self'; script-src 'self'{cdn}; connect-src 'self' ws: wss:; \
         img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
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

/// The log as server-sent events.
async fn log() -> Response {
    let Some((recent, lines)) = logs::watch() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let lines = stream::unfold(lines, async |mut lines| {
        let text = match lines.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(missed)) => format!("… {missed} lines missed …"),
            Err(RecvError::Closed) => return None,
        };
        Some((text, lines))
    });
    let lines = stream::iter(recent).chain(lines);
    Sse::new(lines.map(|line| Ok::<_, Infallible>(Event::default().data(line))))
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// Refuses requests that were not meant for this server or that another site's page makes.
pub(crate) fn only_ours(app: Router, public_url: Option<PublicUrl>) -> Router {
    let check = async |State(url): State<Arc<Option<PublicUrl>>>, request: Request, next: Next| {
        match is_ours(request.headers(), url.as_ref().as_ref()) {
            Ok(()) => next.run(request).await,
            Err(why) => (StatusCode::FORBIDDEN, format!("{why}\n")).into_response(),
        }
    };
    app.layer(middleware::from_fn_with_state(Arc::new(public_url), check))
}

/// `Host` must be an IP address, `localhost` or the public URL's: another name that leads here may
/// belong to a page that plays with its own DNS. `Origin`, which every browser sends with a websocket,
/// must name the same host; its port may differ, as rooms may have their own. A client without one is no
/// browser and passes.
fn is_ours(headers: &HeaderMap, public_url: Option<&PublicUrl>) -> Result<(), &'static str> {
    let text =
        |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let host = host_name(text(HOST).ok_or("a Host header is needed")?);
    let public = public_url.map(|url| host_name(url.authority()));
    let is_ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if !is_ip && host != "localhost" && Some(host) != public {
        return Err("this host name is not ours; start the server with --public-url");
    }
    let Some(origin) = text(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.split_once("://").map(|(_, authority)| host_name(authority));
    match origin.is_some() && (origin == Some(host) || origin == public) {
        true => Ok(()),
        false => Err("a page of another site may not connect here"),
    }
}

/// `localhost` of `localhost:3000`, `[::1]` of `[::1]:3000`.
pub(crate) fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>, public: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let public = public.map(|url| url.parse().unwrap());
        is_ours(&headers, public.as_ref()).is_ok()
    }

    #[test]
    fn our_own_page_may_connect_also_to_a_rooms_port() {
        assert!(check("localhost:3000", Some("http://localhost:3000"), None));
        assert!(check("127.0.0.1:40123", Some("http://127.0.0.1:3000"), None));
        assert!(check("[::1]:3000", Some("http://[::1]:3000"), None));
        let public = Some("https://play.example.org");
        assert!(check("play.example.org", Some("https://play.example.org"), public));
        assert!(check("127.0.0.1:3000", Some("https://play.example.org"), public));
    }

    #[test]
    fn a_client_that_is_no_browser_may_connect() {
        assert!(check("localhost:3000", None, None));
    }

    #[test]
    fn other_sites_and_other_names_may_not() {
        assert!(!check("localhost:3000", Some("https://evil.example"), None));
        assert!(!check("localhost:3000", Some("null"), None));
        assert!(!check("rebound.example:3000", Some("http://rebound.example:3000"), None));
        assert!(!check("rebound.example:3000", None, None));
    }
}
