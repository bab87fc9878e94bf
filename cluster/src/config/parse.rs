//! What settings are made of: addresses, sizes and times, each parsed once.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use axum::http::uri::Authority;
use serde::{Deserialize, Serialize};

/// An http or https address without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address as text.
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

impl FromStr for PublicUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = PublicUrl(text.trim_end_matches('/').to_owned());
        ensure!(
            matches!(url.scheme(), "http" | "https") && authority(url.authority()).is_some(),
            "expected an address such as https://play.example.org"
        );
        ensure!(
            url.0.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>;,".contains(&byte)),
            "an address holds no spaces, quotes, brackets or semicolons"
        );
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

/// `250ms`, `5s`, `10m`, `2h` or `30d`.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 =
        number.parse().context("expected a time such as 250ms, 5s, 10m, 2h or 30d")?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        "d" => Duration::from_secs(24 * 60 * 60),
        _ => bail!("expected one of the units ms, s, m, h and d"),
    };
    ensure!(number > 0, "expected more than nothing");
    Ok(number * unit)
}

/// A number of bytes: `512`, `64k`, `512m` or `1g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

impl Size {
    /// For what lies in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().context("expected a size such as 64k, 512m or 1g")?;
        let shift = match unit {
            "" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            _ => bail!("expected one of the units k, m and g"),
        };
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        bytes.map(Size).context("expected more than nothing, and less than that")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("30d").unwrap(), Duration::from_secs(30 * 24 * 60 * 60));
        for bad in ["", "5", "s", "5 s", "-1s", "0s", "1w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        let url: PublicUrl = "https://play.example.org:8443/".parse().unwrap();
        assert_eq!((url.scheme(), url.authority()), ("https", "play.example.org:8443"));
        for bad in
            ["play.example.org", "ftp://x", "http://", "http://a b", "http://a;b", "http://a@b"]
        {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
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
