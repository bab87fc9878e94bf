//! Where connections come from, and how many of them there may be: in all, and from one address. In this
//! process; what was handed to a room counts there.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::limits::Limits,
    runtime::{
        clock::timeout, failures::FailureCounter, rate_limiter::KeyedRateLimiter,
        token_bucket::Quota,
    },
};

/// What one connection too many is told.
const TOO_MANY: &str = "too many connections\n";
/// How long those who are turned away may take to hear it, and how many may do so at the same time.
const CLOSE_TIMEOUT: (Duration, usize) = (Duration::from_secs(1), 64);
/// A page is so many connections, with all that it loads, for one of Socket.IO.
const PAGE: f64 = 10.0;
/// What one player, or one address, may connect in so many seconds, he may at once: a page that lost its
/// room, or its network.
pub(crate) const CONNECTS_AT_ONCE: u32 = 10;

/// All connections of this process.
#[derive(Clone)]
pub(crate) struct ConnectionLimiter(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    most: u32,
    goodbyes: Arc<Semaphore>,
    max_per_address: u32,
    /// From a proxy that we trust.
    header: Option<HeaderName>,
    counts: Mutex<HashMap<IpAddr, u32>>,
    connects: Mutex<KeyedRateLimiter<IpAddr>>,
    /// Connections of any kind.
    requests: Mutex<KeyedRateLimiter<IpAddr>>,
}

/// There is no place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitReached;

/// A connection's place, taken until this is dropped.
pub(crate) struct ConnectionPermit {
    pub guest: ClientConnection,
    _free: OwnedSemaphorePermit,
}

/// Whose connection it is. Behind a proxy each request says it anew.
#[derive(Clone)]
pub(crate) struct ClientConnection {
    all: ConnectionLimiter,
    peer: Option<IpAddr>,
    counted: Arc<Mutex<Option<AddressPermit>>>,
}

/// One connection of this address.
struct AddressPermit {
    all: ConnectionLimiter,
    address: IpAddr,
}

/// The proxy's header does not end with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// All clients of a proxy whose header is malformed count as one address.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
static MALFORMED: FailureCounter =
    FailureCounter::new("malformed --client-address-header: these clients count as one address");

/// Stands in a request's extensions: whose it is. Not there for this machine itself, and for a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub IpAddr);

impl ConnectionLimiter {
    /// For so many connections in all.
    pub fn new(limits: &Limits, most: u32) -> anyhow::Result<Self> {
        let header = limits.client_address_header.as_deref().map(HeaderName::from_str);
        let rate = Quota::new(limits.connects_per_second_per_address.get(), CONNECTS_AT_ONCE);
        Ok(ConnectionLimiter(Arc::new(Inner {
            free: Arc::new(Semaphore::new(most as usize)),
            most,
            goodbyes: Arc::new(Semaphore::new(CLOSE_TIMEOUT.1)),
            max_per_address: limits.max_connections_per_address.get(),
            header: header.transpose().context("--client-address-header is no header's name")?,
            counts: Mutex::default(),
            connects: Mutex::new(KeyedRateLimiter::new(rate)),
            requests: Mutex::new(KeyedRateLimiter::new(rate.times(PAGE))),
        })))
    }

    /// Whose connection this is, if its address has no more than it may.
    pub fn admit(&self, peer: Option<IpAddr>) -> Result<ClientConnection, LimitReached> {
        let peer = peer.and_then(limited);
        // With a proxy in front the requests say whose they are.
        let limited = peer.filter(|_| self.0.header.is_none());
        let mut requests = self.0.requests.lock().expect("nobody panics while holding this");
        if limited.is_some_and(|peer| !requests.allow(&peer, Instant::now())) {
            return Err(LimitReached);
        }
        drop(requests);
        let counted = limited.map(|peer| self.count(peer));
        let counted = Arc::new(Mutex::new(counted.transpose()?));
        Ok(ClientConnection { all: self.clone(), peer, counted })
    }

    /// A place for it, as soon as there is one.
    pub async fn place(&self, guest: ClientConnection) -> ConnectionPermit {
        let free = self.0.free.clone().acquire_owned().await;
        ConnectionPermit { guest, _free: free.expect("nobody closes this semaphore") }
    }

    /// A place for it, if there is one now.
    pub fn place_now(&self, guest: ClientConnection) -> Result<ConnectionPermit, LimitReached> {
        let free = self.0.free.clone().try_acquire_owned().map_err(|_| LimitReached)?;
        Ok(ConnectionPermit { guest, _free: free })
    }

    /// Waits until all have hung up.
    pub async fn all_gone(&self) {
        let _ = self.0.free.acquire_many(self.0.most).await;
    }

    /// Tells a client that it has too many connections. Its request is not looked at; but what is not read
    /// when a connection is closed takes back what was said on it.
    pub async fn reject(self, mut stream: TcpStream) {
        let Ok(_few) = self.0.goodbyes.try_acquire() else {
            return;
        };
        let length = TOO_MANY.len();
        let answer = format!(
            "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n{TOO_MANY}"
        );
        let goodbye = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            while stream.read(&mut [0; 1024]).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = timeout(CLOSE_TIMEOUT.0, goodbye).await;
    }

    /// Counts a new Socket.IO connection of this address; whether it is not too many in too short a time.
    pub fn may_connect(&self, address: Option<ClientAddress>) -> bool {
        let mut connects = self.0.connects.lock().expect("nobody panics while holding this");
        address.is_none_or(|ClientAddress(address)| connects.allow(&address, Instant::now()))
    }

    fn count(&self, address: IpAddr) -> Result<AddressPermit, LimitReached> {
        let mut counts = self.0.counts.lock().expect("nobody panics while holding this");
        let count = counts.entry(address).or_default();
        if *count >= self.0.max_per_address {
            return Err(LimitReached);
        }
        *count += 1;
        Ok(AddressPermit { all: self.clone(), address })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.all.0.counts.lock().expect("nobody panics while holding this");
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl ClientConnection {
    /// Whose request this is. One connection of a proxy counts for whoever speaks on it.
    fn asks(&self, headers: &HeaderMap) -> Result<Option<ClientAddress>, LimitReached> {
        let Some(header) = &self.all.0.header else {
            return Ok(self.peer.map(ClientAddress));
        };
        let address = client_address(self.peer, forwarded_for(headers, header));
        let mut counted = self.counted.lock().expect("nobody panics while holding this");
        *counted = None;
        *counted = address.map(|address| self.all.count(address)).transpose()?;
        Ok(address.map(ClientAddress))
    }
}

/// Answers only those who have no more connections than they may, and notes whose request it is.
pub(crate) fn enforce_limits(app: Router) -> Router {
    app.layer(middleware::from_fn(async |mut request: Request, next: Next| -> Response {
        // Taken out: a websocket keeps what it finds here, and would count for longer than it lives.
        if let Some(guest) = request.extensions_mut().remove::<ClientConnection>() {
            match guest.asks(request.headers()) {
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

/// The address to be limited. What the header says wrongly is never better than saying nothing.
fn client_address(
    peer: Option<IpAddr>,
    forwarded_for: Option<Result<IpAddr, Malformed>>,
) -> Option<IpAddr> {
    match forwarded_for {
        // The client came past the proxy.
        None => peer,
        Some(Ok(address)) => limited(address).or(peer),
        Some(Err(Malformed)) => {
            MALFORMED.add();
            Some(peer.unwrap_or(UNKNOWN))
        }
    }
}

/// The last address in the last of these headers: the one that the nearest proxy has added. What stands before it may
/// be anybody's. `None`: there is no such header.
fn forwarded_for(headers: &HeaderMap, name: &HeaderName) -> Option<Result<IpAddr, Malformed>> {
    let value = headers.get_all(name).iter().next_back()?.as_bytes();
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let last = str::from_utf8(last).unwrap_or_default().trim().trim_matches('"');
    let bare = last.trim_matches(['[', ']']).parse::<IpAddr>();
    let address = bare.or_else(|_| last.parse::<SocketAddr>().map(|address| address.ip()));
    Some(address.map_err(|_| Malformed))
}

/// What counts as one address: of IPv6 the network, of which one customer gets at least one. `None` is this
/// machine itself, or a proxy on it that does not say for whom it speaks: it has no limit.
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
    fn the_nearest_proxy_says_whose_request_it_is() {
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
    fn a_wrong_header_is_never_better_than_none() {
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
    fn one_network_counts_as_one_address_and_this_machine_as_none() {
        let limited = |text: &str| limited(text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(limited("127.0.0.1"), None);
        assert_eq!(limited("::1"), None);
        assert_eq!(limited("::ffff:127.0.0.1"), None);
        assert_eq!(limited("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(limited("127.0.0.2").as_deref(), Some("127.0.0.2"));
        assert_eq!(limited("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
    }
}
