//! Limits on connections to this process: in all, from one address, and new ones a second. A
//! connection that was handed off to a room counts there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::limits::Limits;
use crate::runtime::clock::timeout;
use crate::runtime::failures::FailureCounter;
use crate::runtime::rate_limiter::KeyedRateLimiter;
use crate::runtime::token_bucket::Quota;

/// The response to a connection over the limit.
const TOO_MANY: &str = "too many connections\n";
/// How long a rejected client may take to read it.
const REJECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Rejected clients that get it at the same time. Further ones are closed without it.
const MAX_REJECTIONS: usize = 64;
/// HTTP connections for each Socket.IO connection: a page loads its files.
const CONNECTIONS_PER_PAGE: f64 = 10.0;
/// The burst of new connections, in seconds of their rate: a page that lost its room, or its
/// network.
pub(crate) const CONNECT_BURST: u32 = 10;
/// All clients of a local proxy whose header is malformed count as one address.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
static MALFORMED: FailureCounter =
    FailureCounter::new("malformed --client-address-header: these clients count as one address");

/// All connections of this process.
#[derive(Clone)]
pub(crate) struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    max_connections: u32,
    rejections: Semaphore,
    max_per_address: u32,
    /// The header in which a trusted proxy passes the client's address.
    header: Option<HeaderName>,
    /// Open connections by address.
    counts: Mutex<HashMap<IpAddr, u32>>,
    /// New Socket.IO connections.
    connects: Mutex<KeyedRateLimiter<IpAddr>>,
    /// New connections of any kind.
    accepts: Mutex<KeyedRateLimiter<IpAddr>>,
}

/// The process or the address has as many connections as are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitReached;

/// One of the process's connections. Dropping it makes room for another.
pub(crate) struct ConnectionPermit {
    pub client: ClientConnection,
    _permit: OwnedSemaphorePermit,
}

/// The address that a connection counts for. Behind a proxy, each request may change it.
#[derive(Clone)]
pub(crate) struct ClientConnection {
    limiter: ConnectionLimiter,
    peer: Option<IpAddr>,
    permit: Arc<Mutex<Option<AddressPermit>>>,
}

/// One of an address's connections.
struct AddressPermit {
    limiter: ConnectionLimiter,
    address: IpAddr,
}

/// The proxy's header does not end with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// The client's address, in the extensions of a request. Absent if the client is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub IpAddr);

impl ConnectionLimiter {
    pub fn new(limits: &Limits, max_connections: u32) -> anyhow::Result<Self> {
        let header = limits.client_address_header.as_deref().map(HeaderName::from_str);
        let rate = Quota::new(limits.max_connects_per_second_per_address.get(), CONNECT_BURST);
        Ok(ConnectionLimiter(Arc::new(Inner {
            free: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            rejections: Semaphore::new(MAX_REJECTIONS),
            max_per_address: limits.max_connections_per_address.get(),
            header: header.transpose().context("--client-address-header is not a header name")?,
            counts: Mutex::default(),
            connects: Mutex::new(KeyedRateLimiter::new(rate)),
            accepts: Mutex::new(KeyedRateLimiter::new(rate.times(CONNECTIONS_PER_PAGE))),
        })))
    }

    /// Checks the limits of the client's address, and waits until the process may have one more
    /// connection.
    pub async fn admit(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        let client = self.client(peer)?;
        let permit = self.0.free.clone().acquire_owned().await;
        Ok(ConnectionPermit { client, _permit: permit.expect("nobody closes this semaphore") })
    }

    /// The same, but does not wait.
    pub fn try_admit(&self, peer: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        let client = self.client(peer)?;
        let permit = self.0.free.clone().try_acquire_owned().map_err(|_| LimitReached)?;
        Ok(ConnectionPermit { client, _permit: permit })
    }

    fn client(&self, peer: Option<IpAddr>) -> Result<ClientConnection, LimitReached> {
        let peer = peer.and_then(limited);
        // Behind a proxy, the requests tell the address.
        let address = peer.filter(|_| self.0.header.is_none());
        if !allow(&self.0.accepts, address) {
            return Err(LimitReached);
        }
        let permit = address.map(|address| self.count(address)).transpose()?;
        Ok(ClientConnection { limiter: self.clone(), peer, permit: Arc::new(Mutex::new(permit)) })
    }

    /// Waits until all connections are closed.
    pub async fn all_closed(&self) {
        let _ = self.0.free.acquire_many(self.0.max_connections).await;
    }

    /// Answers 429 without reading the request. Unread data would reset the connection when it is
    /// closed, and take the answer with it: so the client's data is discarded until the client
    /// closes.
    pub async fn reject(self, mut stream: TcpStream) {
        let Ok(_permit) = self.0.rejections.try_acquire() else {
            return;
        };
        let response =
            format!("HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\r\n{TOO_MANY}");
        let respond = async {
            stream.write_all(response.as_bytes()).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        let _ = timeout(REJECT_TIMEOUT, respond).await;
    }

    /// Counts a new Socket.IO connection, if its address may make one more now.
    pub fn may_connect(&self, address: Option<ClientAddress>) -> bool {
        allow(&self.0.connects, address.map(|ClientAddress(address)| address))
    }

    fn count(&self, address: IpAddr) -> Result<AddressPermit, LimitReached> {
        let mut counts = self.0.counts.lock().expect("nobody panics while holding this");
        let count = counts.entry(address).or_default();
        if *count >= self.0.max_per_address {
            return Err(LimitReached);
        }
        *count += 1;
        Ok(AddressPermit { limiter: self.clone(), address })
    }
}

fn allow(limiter: &Mutex<KeyedRateLimiter<IpAddr>>, address: Option<IpAddr>) -> bool {
    let mut limiter = limiter.lock().expect("nobody panics while holding this");
    address.is_none_or(|address| limiter.allow(&address, Instant::now()))
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.0.counts.lock().expect("nobody panics while holding this");
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl ClientConnection {
    /// The address that this request comes from. Behind a proxy, the connection counts for it from
    /// now on.
    fn address(&self, headers: &HeaderMap) -> Result<Option<ClientAddress>, LimitReached> {
        let Some(header) = &self.limiter.0.header else {
            return Ok(self.peer.map(ClientAddress));
        };
        let address = client_address(self.peer, forwarded_for(headers, header));
        let mut permit = self.permit.lock().expect("nobody panics while holding this");
        *permit = None;
        *permit = address.map(|address| self.limiter.count(address)).transpose()?;
        Ok(address.map(ClientAddress))
    }
}

/// Adds the [`ClientAddress`] to each request, or answers 429 if it has too many connections.
pub(crate) fn enforce_limits(app: Router) -> Router {
    app.layer(middleware::from_fn(async |mut request: Request, next: Next| -> Response {
        // Removed: a websocket keeps the extensions, and its connection would count for too long.
        if let Some(client) = request.extensions_mut().remove::<ClientConnection>() {
            match client.address(request.headers()) {
                Ok(Some(address)) => drop(request.extensions_mut().insert(address)),
                Ok(None) => {}
                Err(LimitReached) => {
                    return (StatusCode::TOO_MANY_REQUESTS, TOO_MANY).into_response();
                }
            }
        }
        next.run(request).await
    }))
}

/// The address whose limits apply. A malformed header must not lift a limit.
fn client_address(
    peer: Option<IpAddr>,
    forwarded_for: Option<Result<IpAddr, Malformed>>,
) -> Option<IpAddr> {
    match forwarded_for {
        // The client bypassed the proxy.
        None => peer,
        Some(Ok(address)) => limited(address).or(peer),
        Some(Err(Malformed)) => {
            MALFORMED.add();
            Some(peer.unwrap_or(UNKNOWN))
        }
    }
}

/// The last address in the last of these headers, which the nearest proxy added; a client can forge
/// what stands before it. `None`: there is no such header.
fn forwarded_for(headers: &HeaderMap, name: &HeaderName) -> Option<Result<IpAddr, Malformed>> {
    let value = headers.get_all(name).iter().next_back()?.as_bytes();
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let last = str::from_utf8(last).unwrap_or_default().trim().trim_matches('"');
    let bare = last.trim_matches(['[', ']']).parse::<IpAddr>();
    let address = bare.or_else(|_| last.parse::<SocketAddr>().map(|address| address.ip()));
    Some(address.map_err(|_| Malformed))
}

/// What counts as one address: of IPv6 the /64 network, since a customer gets at least that.
/// `None`: this machine itself has no limits, nor has a proxy on it that does not pass the client's
/// address.
fn limited(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            Some(Ipv6Addr::from_bits(network).into())
        }
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_nearest_proxy_tells_the_client_s_address() {
        let name = HeaderName::from_static("x-forwarded-for");
        let said = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_bytes(value).unwrap());
            }
            forwarded_for(&headers, &name).map(|said| said.map(|address| address.to_string()))
        };
        for (values, address) in [
            (&[&b"192.0.2.7"[..]][..], "192.0.2.7"),
            (&[b"198.51.100.1, 192.0.2.7"], "192.0.2.7"),
            (&[b"198.51.100.1", b"192.0.2.7"], "192.0.2.7"),
            (&[b"\xff, 192.0.2.7"], "192.0.2.7"),
            (&[b"\xff", b"192.0.2.7"], "192.0.2.7"),
            (&[b"192.0.2.7:4711"], "192.0.2.7"),
            (&[b"\"[2001:db8::7]:4711\""], "2001:db8::7"),
            (&[b"[2001:db8::7]"], "2001:db8::7"),
            (&[b" 2001:db8::7 "], "2001:db8::7"),
        ] {
            assert_eq!(said(values), Some(Ok(address.to_owned())), "{values:?}");
        }
        assert_eq!(said(&[]), None);
        for malformed in [
            &b""[..],
            b",",
            b"\xff",
            b"192.0.2.7, \xff",
            b"unknown",
            b"_hidden",
            b"for=192.0.2.7",
            b"192.0.2.7,",
            b"192.0.2.7, x",
            b"fe80::1%eth0",
        ] {
            assert_eq!(said(&[b"192.0.2.7", malformed]), Some(Err(Malformed)), "{malformed:?}");
        }
    }

    #[test]
    fn a_malformed_header_lifts_no_limit() {
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(client_address(Some(peer), Some(Err(Malformed))), Some(peer));
        assert_eq!(client_address(None, Some(Err(Malformed))), Some(UNKNOWN), "one limit for all");
        for unlimited in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let claim = || Some(Ok(unlimited.parse().unwrap()));
            assert_eq!(client_address(Some(peer), claim()), Some(peer), "{unlimited}");
            assert_eq!(client_address(None, claim()), None, "{unlimited}");
        }
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_this_machine_as_none() {
        let limited = |text: &str| limited(text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(limited("127.0.0.1"), None);
        assert_eq!(limited("::1"), None);
        assert_eq!(limited("::ffff:127.0.0.1"), None);
        assert_eq!(limited("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(limited("127.0.0.2").as_deref(), Some("127.0.0.2"));
        assert_eq!(limited("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
    }
}
