//! Limits on connections to this process: in all, from one address, and new ones a second. A
//! connection that was handed off to a room counts there.

use std::collections::HashMap;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, HeaderName};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Limits;
use crate::runtime::{FailureCounter, KeyedRateLimiter, Quota, make_room, timeout};

/// The body of a 429 response.
pub(super) const TOO_MANY: &str = "too many connections\n";
/// How long a rejected client may take to read the 429 response.
const REJECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Rejected clients that are sent a 429 response at the same time. Further ones are closed.
const MAX_REJECTIONS: usize = 64;
/// HTTP connections for each Socket.IO connection: a page loads its files.
const CONNECTIONS_PER_PAGE: f64 = 10.0;
/// How many seconds' worth of new connections may come at once: a page that lost its room or its
/// network makes several.
pub(crate) const CONNECT_BURST: u32 = 10;
/// All clients of a local proxy whose header is malformed count as one address.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
static MALFORMED: FailureCounter =
    FailureCounter::new("no address in the client address header: such clients count as one");

/// The connections of this process.
pub(crate) struct ConnectionLimiter {
    free: Arc<Semaphore>,
    max_connections: u32,
    rejections: Semaphore,
    max_per_address: usize,
    /// The header in which a trusted proxy passes the client's address.
    header: Option<HeaderName>,
    /// A permit for each connection that an address may have.
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    /// New Socket.IO connections.
    connects: KeyedRateLimiter<IpAddr>,
    /// New connections of any kind.
    accepts: KeyedRateLimiter<IpAddr>,
}

/// One of the process's connections. Dropping it makes room for another.
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    peer: Option<IpAddr>,
    /// Of the address that the connection counts for. Behind a proxy, each request may change it.
    of_address: Mutex<Option<OwnedSemaphorePermit>>,
    permit: Option<OwnedSemaphorePermit>,
}

/// The client's address, in the extensions of each request; `None` if the client is on this
/// machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientAddress(pub Option<IpAddr>);

impl ConnectionLimiter {
    pub fn new(limits: &Limits, max_connections: u32) -> anyhow::Result<Arc<Self>> {
        let header = limits.client_address_header.as_deref().map(HeaderName::from_str);
        let rate = Quota::new(limits.max_connects_per_second_per_address.get(), CONNECT_BURST);
        Ok(Arc::new(ConnectionLimiter {
            free: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            rejections: Semaphore::new(MAX_REJECTIONS),
            max_per_address: limits.max_connections_per_address.get() as usize,
            header: header.transpose().context("--client-address-header is not a header name")?,
            addresses: Mutex::default(),
            connects: KeyedRateLimiter::new(rate),
            accepts: KeyedRateLimiter::new(rate.times(CONNECTIONS_PER_PAGE)),
        }))
    }

    /// How many connections there are.
    pub fn open(&self) -> u32 {
        self.max_connections - self.free.available_permits() as u32
    }

    /// Checks the limits of the client's address, and waits until the process may have one more
    /// connection. Returns `None` if the address has reached a limit.
    pub async fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let mut connection = self.connection(Some(peer))?;
        connection.permit = self.free.clone().acquire_owned().await.ok();
        Some(connection)
    }

    /// The same, but does not wait: returns `None` as well if the process has reached its limit.
    pub fn try_admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionPermit> {
        let mut connection = self.connection(peer)?;
        connection.permit = Some(self.free.clone().try_acquire_owned().ok()?);
        Some(connection)
    }

    fn connection(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionPermit> {
        let peer = peer.and_then(limited);
        // Behind a proxy, the requests tell the address.
        let address = peer.filter(|_| self.header.is_none());
        let allowed = address.is_none_or(|address| self.accepts.allow(&address, Instant::now()));
        let (limiter, of_address) = (self.clone(), Mutex::default());
        let connection = ConnectionPermit { limiter, peer, of_address, permit: None };
        (allowed && connection.count_for(address)).then_some(connection)
    }

    /// One of the connections of an address; `None` if that has too many.
    fn permit_of(&self, address: IpAddr) -> Option<OwnedSemaphorePermit> {
        let mut addresses = self.addresses.lock().expect("nobody panics while holding this");
        make_room(&mut addresses, |free| free.available_permits() < self.max_per_address);
        let free = || Arc::new(Semaphore::new(self.max_per_address));
        addresses.entry(address).or_insert_with(free).clone().try_acquire_owned().ok()
    }

    /// Waits until all connections are closed.
    pub async fn all_closed(&self) {
        let _ = self.free.acquire_many(self.max_connections).await;
    }

    /// Responds 429 without reading the request. Unread data would reset the connection when it is
    /// closed, and the response would be lost: so the client's data is discarded until the client
    /// closes.
    pub async fn reject(self: Arc<Self>, mut stream: TcpStream) {
        let Ok(_permit) = self.rejections.try_acquire() else { return };
        let response =
            format!("HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\r\n{TOO_MANY}");
        let respond = async {
            stream.write_all(response.as_bytes()).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        let _ = timeout(REJECT_TIMEOUT, respond).await;
    }

    /// Counts a new Socket.IO connection. Returns `false` if its address makes too many.
    pub fn allow_connect(&self, ClientAddress(address): ClientAddress) -> bool {
        address.is_none_or(|address| self.connects.allow(&address, Instant::now()))
    }
}

impl ConnectionPermit {
    /// The address that this request comes from. Behind a proxy, the connection counts for it from
    /// now on. Returns `None` if the address has too many connections.
    pub fn client_address(&self, headers: &HeaderMap) -> Option<ClientAddress> {
        let Some(header) = &self.limiter.header else { return Some(ClientAddress(self.peer)) };
        let address = client_address(self.peer, forwarded_for(headers, header));
        self.count_for(address).then_some(ClientAddress(address))
    }

    /// Counts this connection for an address, instead of the one before. Returns `false` if that
    /// has too many.
    fn count_for(&self, address: Option<IpAddr>) -> bool {
        let mut permit = self.of_address.lock().expect("nobody panics while holding this");
        *permit = None; // before the next: the address may be the same
        *permit = address.and_then(|address| self.limiter.permit_of(address));
        address.is_none() || permit.is_some()
    }
}

type ForwardedFor = Result<IpAddr, AddrParseError>;

/// The address whose limits apply. A malformed header must not lift a limit.
fn client_address(peer: Option<IpAddr>, forwarded_for: Option<ForwardedFor>) -> Option<IpAddr> {
    match forwarded_for {
        // The client bypassed the proxy.
        None => peer,
        Some(Ok(address)) => limited(address).or(peer),
        Some(Err(_)) => {
            MALFORMED.add();
            Some(peer.unwrap_or(UNKNOWN))
        }
    }
}

/// The last address in the last of these headers, which the nearest proxy added; a client can forge
/// what stands before it. Returns `None` if there is no such header.
fn forwarded_for(headers: &HeaderMap, name: &HeaderName) -> Option<ForwardedFor> {
    let value = headers.get_all(name).iter().next_back()?.as_bytes();
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let last = str::from_utf8(last).unwrap_or_default().trim().trim_matches('"');
    let bare = last.trim_matches(['[', ']']).parse::<IpAddr>();
    Some(bare.or_else(|_| last.parse::<SocketAddr>().map(|address| address.ip())))
}

/// What counts as one address: of IPv6 the /64 network, since a customer gets at least that.
/// Returns `None` for loopback addresses, which have no limits. A local proxy that does not pass on
/// the client's address therefore has none either.
fn limited(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
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
            forwarded_for(&headers, &name).map(|said| said.ok().map(|address| address.to_string()))
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
            assert_eq!(said(values), Some(Some(address.to_owned())), "{values:?}");
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
            assert_eq!(said(&[b"192.0.2.7", malformed]), Some(None), "{malformed:?}");
        }
    }

    #[test]
    fn a_malformed_header_lifts_no_limit() {
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let malformed = || Some("unknown".parse::<IpAddr>());
        assert_eq!(client_address(Some(peer), malformed()), Some(peer));
        assert_eq!(client_address(None, malformed()), Some(UNKNOWN), "one limit for all");
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
