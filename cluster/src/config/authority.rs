//! A host with an optional port.

use std::{fmt, net::IpAddr};

use axum::http::uri;

/// A host with an optional port, as in `localhost:3000`, `[::1]` or `play.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// In lower case.
    pub host: String,
    pub port: Option<u16>,
}

impl Authority {
    /// Stricter than [`uri::Authority`]: no user, no empty port, letters, digits and `-._` alone in names.
    pub fn parse(text: &str) -> Option<Authority> {
        let uri: uri::Authority = text.parse().ok()?;
        let authority = Authority { host: uri.host().to_ascii_lowercase(), port: uri.port_u16() };
        let host = &authority.host;
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let strict = host.bytes().all(name) || is_ip(host);
        let whole = authority.to_string().eq_ignore_ascii_case(text);
        (strict && whole).then_some(authority)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Whether a host is an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_ip(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (inside.unwrap_or(host).parse(), inside) {
        (Ok(IpAddr::V6(_)), Some(_)) | (Ok(IpAddr::V4(_)), None) => true,
        (Ok(_) | Err(_), _) => false,
    }
}
