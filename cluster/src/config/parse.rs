//! Parsers for the values of settings: URLs, sizes and durations.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::uri::{Authority, Scheme};
use serde::{Deserialize, Serialize};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// The longest path of a public URL. The lobby peeks at it in each request.
pub(crate) const MAX_PATH: usize = 64;

/// A web origin such as `https://play.example.org`: a scheme, a host and perhaps a port. The pages
/// of a native shell have one such as `capacitor://localhost`. In lower case, without a default
/// port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `https`, `http`, or that of a native shell.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// `play.example.org` or `play.example.org:8443`.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether its pages come by HTTP.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self.scheme(), "http" | "https")
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.0
    }
}

impl TryFrom<String> for Origin {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Origin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected an origin such as https://play.example.org";
        let (scheme, rest) = text.split_once("://").context(expected)?;
        let scheme = scheme.to_ascii_lowercase();
        ensure!(!scheme.is_empty() && scheme.parse::<Scheme>().is_ok(), expected);
        let (host_and_port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(path.len() < 2, "expected no path: an origin is a scheme, a host and a port");
        let authority = authority(host_and_port).context(expected)?;
        let defaults = [("http", Some(80)), ("https", Some(443))];
        let is_default = defaults.contains(&(&scheme, authority.port_u16()));
        let authority = if is_default { authority.host() } else { authority.as_str() };
        // It becomes part of a header, the content security policy.
        let is_safe = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>;,".contains(&byte);
        ensure!(authority.bytes().all(is_safe), expected);
        Ok(Origin(format!("{scheme}://{authority}")))
    }
}

/// The lobby's public URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicUrl {
    /// What browsers send as `Origin`.
    pub origin: Origin,
    /// Where the lobby serves everything, such as `/game`. Empty: at the root.
    pub path: String,
}

pub(super) fn public_url(text: &str) -> anyhow::Result<PublicUrl> {
    let url = web_url(text)?;
    let (origin, path) = url.split_at(without_path(&url).len());
    // Nothing that would have to be encoded, or means something in a route or a cookie.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fine = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    ensure!(
        path.len() <= MAX_PATH && path.split('/').skip(1).all(fine),
        "expected a path such as /game: {MAX_PATH} letters, digits, '-', '_' and '.' at most, and \
         no part that is empty or begins with '.'"
    );
    Ok(PublicUrl { origin: origin.parse()?, path: path.to_owned() })
}

/// An http or https URL, here without a trailing slash.
pub(super) fn web_url(text: &str) -> anyhow::Result<String> {
    let url = text.strip_suffix('/').unwrap_or(text);
    let origin: Origin = without_path(url).parse()?;
    ensure!(origin.is_web(), "expected an origin such as https://play.example.org");
    ensure!(url.bytes().all(|byte| byte.is_ascii_graphic()), "expected ASCII without spaces");
    Ok(url.to_owned())
}

/// The origin of a URL.
pub(crate) fn without_path(url: &str) -> &str {
    url.match_indices('/').nth(2).map_or(url, |(path, _)| &url[..path])
}

/// A host and perhaps a port, in lower case. Nothing else: no user, no empty port.
pub(crate) fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.to_ascii_lowercase().parse().ok()?;
    let port = authority.port_u16().map_or(String::new(), |port| format!(":{port}"));
    (authority.as_str() == format!("{}{port}", authority.host())).then_some(authority)
}

pub(super) fn positive(text: &str) -> anyhow::Result<usize> {
    let number: u32 = text.parse().context("expected a whole number")?;
    ensure!(number > 0, "expected at least 1");
    Ok(number as usize)
}

/// A duration such as `250ms`, `5s`, `10m`, `2h` or `30d`.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    let duration = humantime::parse_duration(text)?;
    // Longer ones could overflow a point in time.
    ensure!(duration <= CENTURY, "expected at most 100 years");
    ensure!(!duration.is_zero(), "expected more than zero");
    Ok(duration)
}

/// A number of bytes: `512`, `64k`, `512m` or `1g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

impl Size {
    /// The size of something in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = [("k", 10), ("m", 20), ("g", 30)];
        let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
        let (number, shift) = units.into_iter().find_map(with_unit).unwrap_or((text, 0));
        let number: u64 = number.parse().context("expected a size such as 64k, 512m or 1g")?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        bytes.map(Size).context("expected more than zero and less than 16 EiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("30d").unwrap(), Duration::from_secs(30 * 24 * 60 * 60));
        assert_eq!(duration("1w").unwrap(), Duration::from_secs(7 * 24 * 60 * 60));
        for (bad, error) in [
            ("", "value was empty"),
            ("5", "time unit needed"),
            ("s", "expected number"),
            ("-1s", "expected number"),
            ("5 parsecs", "unknown time unit"),
            ("0s", "more than zero"),
            ("101years", "at most 100 years"),
        ] {
            assert!(duration(bad).unwrap_err().to_string().contains(error), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for (text, origin) in [
            ("https://play.example.org", "https://play.example.org"),
            ("HTTPS://Play.Example.ORG:443/", "https://play.example.org"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://play.example.org:443", "http://play.example.org:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("ionic://localhost", "ionic://localhost"),
            ("com.example.app://localhost:80", "com.example.app://localhost:80"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), origin, "{text}");
        }
        for bad in [
            "",
            "play.example.org",
            "http://",
            "://a",
            "a b://c",
            "http://a b",
            "http://a;b",
            "http://a@b",
            "http://a:b",
            "http://a:",
            "http://a?b",
            "http://a#b",
            "null",
            "file:///a",
            "https://ä.example",
            "'self'://a",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_with_a_path_is_refused_and_says_why() {
        for bad in ["https://example.org/game", "https://example.org//", "capacitor://localhost/x"]
        {
            let error = bad.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains("no path"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_public_url_may_have_a_plain_path() {
        let longest = format!("https://example.org/{}", "x".repeat(MAX_PATH - 1));
        for (text, origin, path) in [
            ("https://example.org", "https://example.org", ""),
            ("https://example.org/", "https://example.org", ""),
            ("https://example.org/game", "https://example.org", "/game"),
            ("HTTPS://Example.org:443/Game/", "https://example.org", "/Game"),
            ("http://[::1]:3000/games/a-1_b.c", "http://[::1]:3000", "/games/a-1_b.c"),
            (&longest, "https://example.org", &longest["https://example.org".len()..]),
        ] {
            let url = public_url(text).unwrap();
            assert_eq!((url.origin.as_str(), &*url.path), (origin, path), "{text}");
        }
        for path in [
            "//",
            "//game",
            "/game//",
            "/a//b",
            "/.",
            "/..",
            "/../game",
            "/game/..",
            "/.well-known",
            "/%2e%2e",
            "/g%61me",
            "/a b",
            "/a\tb",
            "/game?",
            "/game?a=b",
            "/game#a",
            "/game\\",
            "/{game}",
            "/*",
            "/:a",
            "/a;b",
            "/'",
            "/ä",
            &longest[19..].replace('x', "xx"),
        ] {
            let error = public_url(&format!("https://example.org{path}")).unwrap_err();
            let expected = ["a path such as /game", "ASCII without spaces"];
            let is_clear = expected.iter().any(|expected| error.to_string().contains(expected));
            assert!(is_clear, "{path}: {error}");
        }
        for bad in ["example.org/game", "https:///game", "https://example.org?a", "ws://a/game"] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_may_have_a_path() {
        for (text, url) in
            [("https://a.example/npm/", "https://a.example/npm"), ("http://a", "http://a")]
        {
            assert_eq!(web_url(text).unwrap(), url);
        }
        for bad in [
            "a.example",
            "capacitor://localhost",
            "ftp://a/b",
            "https://a/b c",
            "https:///a",
            "https://a/\n",
        ] {
            assert!(web_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("512", 512), ("64k", 65_536), ("1g", 1 << 30)] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes));
        }
        for bad in ["", "k", "64K", "64 k", "-1", "0", "99999999999g", "18446744073709551616"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
