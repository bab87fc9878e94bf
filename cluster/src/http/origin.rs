//! Checks `Host` and `Origin` of every request, in the lobby and in rooms: is it meant for this
//! server, and may the page that makes it connect?
//!
//! A browser sends `Origin` with each websocket, and no page can change it. A client without one is
//! not a browser and passes: it could send anything.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Origin, Settings, authority};

#[derive(Debug, Clone)]
pub(crate) struct Origins {
    /// The public URL and the allowed origins: their pages may connect, as may pages from the host
    /// that the request was sent to.
    known: Vec<Origin>,
    /// Pages of any origin may connect; only the host is checked.
    any: bool,
}

impl Origins {
    pub fn new(settings: &Settings, any: bool) -> Origins {
        let known = settings.public_url.iter().map(|url| &url.origin).chain(&settings.allow_origin);
        Origins { known: known.cloned().collect(), any }
    }

    /// The host that the request was sent to, or why it is refused. An unknown name may belong to a
    /// page that lets its own DNS name lead here (DNS rebinding), and is refused even without an
    /// `Origin`.
    pub fn check(&self, request: &Request) -> Result<Authority, &'static str> {
        let host = single(request.headers(), HOST)?.ok_or("a Host header is needed")?;
        let Some(here) = authority(host).filter(|here| self.knows(here.host())) else {
            return Err("unknown host name: start the lobby with --public-url or --allow-origin");
        };
        // `GET http://localhost/ HTTP/1.1` names the host twice.
        let target = request.uri().authority();
        if target.is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host)) {
            return Err("the request's target and its Host header differ");
        }
        let origin = single(request.headers(), ORIGIN)?;
        if origin.is_some_and(|origin| !self.any && !self.may_connect(origin, &here)) {
            return Err(
                "pages of this origin may not connect: start the lobby with --allow-origin",
            );
        }
        Ok(here)
    }

    fn knows(&self, host: &str) -> bool {
        // IPv6 is in brackets, as in a socket address.
        let is_ip = || format!("{host}:0").parse::<SocketAddr>().is_ok();
        let is_known =
            |known: &Origin| authority(known.authority()).is_some_and(|known| known.host() == host);
        host == "localhost" || is_ip() || self.known.iter().any(is_known)
    }

    fn may_connect(&self, origin: &str, here: &Authority) -> bool {
        let Ok(page) = origin.parse::<Origin>() else {
            return false; // such as `null`, the origin of a file or of a sandboxed frame
        };
        // Behind a proxy that ends TLS the scheme is not known. A `Host` without a port means the
        // default port of the page's scheme.
        let own = format!("{}://{here}", page.scheme()).parse::<Origin>();
        page.is_web() && own.is_ok_and(|own| own == page) || self.known.contains(&page)
    }
}

/// The value of a header. Refuses two of them: a proxy in front may have checked the other one.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        (Some(Ok(_)), Some(_)) => Err("Host and Origin must not occur twice"),
        (Some(Err(_)), _) => Err("Host and Origin must be ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LOCAL: &[&str] = &[];
    /// The public URL, then allowed origins.
    const PUBLIC: &[&str] = &[
        "https://play.example.org",
        "http://Friend.example.com:8080",
        "capacitor://localhost",
        "tauri://localhost",
    ];

    fn origins(known: &[&str]) -> Origins {
        let urls: Vec<Origin> = known.iter().map(|url| url.parse().unwrap()).collect();
        Origins { known: urls, any: false }
    }

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    fn passes(known: &[&str], host: &str, origin: &str) -> bool {
        let headers = [("host", host), ("origin", origin)];
        let headers = if origin.is_empty() { &headers[..1] } else { &headers[..] };
        origins(known).check(&request("/", headers)).is_ok()
    }

    #[test]
    fn known_and_unknown_hosts() {
        for (known, host, ours) in [
            (LOCAL, "localhost", true),
            (LOCAL, "LocalHost:3000", true),
            (LOCAL, "127.0.0.1:3000", true),
            (LOCAL, "192.168.1.7:3000", true),
            (LOCAL, "[::1]", true),
            (LOCAL, "[fe80::1:2]:3000", true),
            (LOCAL, "play.example.org", false),
            (LOCAL, "rebound.example:3000", false),
            (LOCAL, "localhost.evil.example", false),
            (LOCAL, "127.0.0.1.evil.example", false),
            (LOCAL, "127.1", false),
            (LOCAL, "", false),
            (LOCAL, ":3000", false),
            (LOCAL, "localhost:", false),
            (LOCAL, "localhost:+80", false),
            (LOCAL, "localhost:99999", false),
            (LOCAL, "localhost/", false),
            (LOCAL, "localhost, evil.example", false),
            (LOCAL, "evil.example@localhost", false),
            (LOCAL, "::1", false),
            (LOCAL, "[::1", false),
            (LOCAL, "[localhost]", false),
            (LOCAL, "[127.0.0.1]", false),
            (PUBLIC, "play.example.org", true),
            (PUBLIC, "PLAY.example.ORG:8443", true),
            (PUBLIC, "friend.example.com", true),
            (PUBLIC, "127.0.0.1:3000", true),
            (PUBLIC, "example.org", false),
            (PUBLIC, "x.play.example.org", false),
        ] {
            assert_eq!(passes(known, host, ""), ours, "{known:?} {host}");
        }
    }

    #[test]
    fn allowed_and_forbidden_origins() {
        for (known, host, origin, may) in [
            (LOCAL, "localhost:3000", "http://localhost:3000", true),
            (LOCAL, "localhost:3000", "HTTP://LOCALHOST:3000", true),
            (LOCAL, "[::1]:3000", "http://[::1]:3000", true),
            (LOCAL, "192.168.1.7:3000", "http://192.168.1.7:3000", true),
            // As through `ssh -L 8080:localhost:3000`.
            (LOCAL, "localhost:8080", "http://localhost:8080", true),
            // Default ports.
            (LOCAL, "localhost", "http://localhost", true),
            (LOCAL, "localhost:80", "http://localhost", true),
            (LOCAL, "localhost", "http://localhost:80", true),
            (LOCAL, "localhost", "https://localhost", true),
            (LOCAL, "localhost:443", "https://localhost", true),
            (LOCAL, "localhost:443", "http://localhost", false),
            (LOCAL, "localhost:3000", "http://localhost:3001", false),
            (LOCAL, "localhost:3000", "http://localhost", false),
            (LOCAL, "localhost:3000", "http://127.0.0.1:3000", false),
            (LOCAL, "127.0.0.1:3000", "http://localhost:3000", false),
            (LOCAL, "localhost:3000", "https://evil.example", false),
            (LOCAL, "localhost:3000", "http://localhost.evil.example:3000", false),
            (LOCAL, "localhost:3000", "http://evil.example@localhost:3000", false),
            (LOCAL, "localhost:3000", "http://localhost:3000 http://evil.example", false),
            (LOCAL, "localhost:3000", "localhost:3000", false),
            (LOCAL, "localhost:3000", "://localhost:3000", false),
            (LOCAL, "localhost:3000", "file://localhost:3000", false),
            (LOCAL, "localhost:3000", "null", false),
            (LOCAL, "localhost:3000", "http://", false),
            // The proxy in front may change `Host`.
            (PUBLIC, "play.example.org", "https://play.example.org", true),
            (PUBLIC, "127.0.0.1:3000", "https://play.example.org", true),
            (PUBLIC, "127.0.0.1:3000", "https://play.example.org:443", true),
            (PUBLIC, "127.0.0.1:3000", "http://play.example.org", false),
            (PUBLIC, "127.0.0.1:3000", "https://play.example.org:8443", false),
            (PUBLIC, "play.example.org", "http://friend.example.com:8080", true),
            (PUBLIC, "friend.example.com:8080", "http://friend.example.com:8080", true),
            (PUBLIC, "play.example.org", "http://friend.example.com", false),
            (PUBLIC, "play.example.org", "https://friend.example.com:8080", false),
            (PUBLIC, "play.example.org", "https://evil.example", false),
            (PUBLIC, "play.example.org", "null", false),
            // Native shells.
            (PUBLIC, "play.example.org", "capacitor://localhost", true),
            (PUBLIC, "localhost:3000", "tauri://localhost", true),
            (PUBLIC, "play.example.org", "ionic://localhost", false),
            (PUBLIC, "play.example.org", "capacitor://evil.example", false),
            (LOCAL, "localhost", "capacitor://localhost", false),
        ] {
            assert_eq!(passes(known, host, origin), may, "{known:?} {host} {origin}");
        }
    }

    #[test]
    fn missing_repeated_and_conflicting_headers_are_refused() {
        let check = |target: &str, headers: &[(&str, &str)]| {
            origins(PUBLIC).check(&request(target, headers)).is_ok()
        };
        let (host, page) = (("host", "localhost:3000"), ("origin", "http://localhost:3000"));
        assert!(check("/", &[host, page]));
        assert!(!check("/", &[]));
        assert!(!check("/", &[page]));
        assert!(!check("/", &[host, host]));
        assert!(!check("/", &[host, ("host", "evil.example")]));
        assert!(!check("/", &[host, page, page]));
        assert!(!check("/", &[host, page, ("origin", "https://evil.example")]));
        assert!(check("http://LOCALHOST:3000/", &[host, page]));
        assert!(!check("http://evil.example/", &[host]));
        assert!(!check("http://localhost/", &[host]));
        assert!(!check("http://localhost:3000/", &[]));
        let binary = HeaderValue::from_bytes(b"localhost\xff").unwrap();
        let mut odd = request("/", &[]);
        odd.headers_mut().insert(HOST, binary);
        assert!(origins(LOCAL).check(&odd).is_err());
    }
}
