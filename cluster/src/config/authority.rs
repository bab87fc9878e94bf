//! Where something is reached: a host and perhaps a port.

use std::net::IpAddr;

/// A host and perhaps a port, as in `localhost:3000`, `[::1]` or `play.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// In lower case.
    pub host: String,
    pub port: Option<u16>,
}

impl Authority {
    /// Strict: nothing but a host and a port.
    pub fn parse(text: &str) -> Option<Authority> {
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of an IPv6 address is in its brackets.
            Some((host, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                (host, Some(port.parse().ok().filter(|_| digits)?))
            }
            _ => (text, None),
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let good = !host.is_empty() && (host.bytes().all(name) || is_ip(host));
        good.then(|| Authority { host: host.to_ascii_lowercase(), port })
    }
}

/// IPv6 has brackets here.
pub(crate) fn is_ip(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (inside.unwrap_or(host).parse(), inside) {
        (Ok(IpAddr::V6(_)), Some(_)) | (Ok(IpAddr::V4(_)), None) => true,
        (Ok(_) | Err(_), _) => false,
    }
}
