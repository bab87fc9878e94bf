//! Parsers for the values of settings: URLs, sizes and durations.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::uri::Authority;
use serde::{Deserialize, Serialize};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// An http or https URL without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address without a path: `https://play.example.org:8443`.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// `play.example.org` or `play.example.org:8443`.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for HttpUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = HttpUrl(text.trim_end_matches('/').to_owned());
        // It becomes part of a header, the content security policy.
        let is_safe = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>;,".contains(&byte);
        let is_valid = matches!(url.scheme(), "http" | "https")
            && authority(url.authority()).is_some()
            && url.0.bytes().all(is_safe);
        ensure!(is_valid, "expected a URL such as https://play.example.org");
        Ok(url)
    }
}

/// A host and perhaps a port, in lower case. Nothing else: no user, no empty port.
pub(crate) fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.to_ascii_lowercase().parse().ok()?;
    let plain = match authority.port_u16() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    (authority.as_str() == plain).then_some(authority)
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
    fn addresses_are_checked() {
        let url: HttpUrl = "https://play.example.org:8443/".parse().unwrap();
        assert_eq!((url.scheme(), url.authority()), ("https", "play.example.org:8443"));
        for bad in
            ["play.example.org", "ftp://x", "http://", "http://a b", "http://a;b", "http://a@b"]
        {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
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
