//! Serves HTTP/1.1, in the lobby and in rooms, with the same limits for accepted,
//! handed-off and relayed connections.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::Bytes;
use crate::config::Settings;
use crate::http::connection_limits::{
    ClientAddress, ConnectionLimiter, ConnectionPermit, TOO_MANY,
};
use crate::http::pages::check_origin;
use crate::http::throttled_stream::ThrottledStream;
use crate::runtime::{Quota, clock};

/// The largest request line and headers together; browsers with many cookies send a few KiB.
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// A client that neither acknowledges nor accepts data for this long counts as gone. Without this
/// timeout the kernel would give up after a quarter of an hour, and the client's writer would wait.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(4);

/// What a client has sent when the server stops is read within this time.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(100);
/// How long a server that stops waits for the answers to requests.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Server {
    app: Router,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// Frames of one websocket; it is throttled beyond that.
    frames: Quota,
    /// Whether a connection may make further requests. In a room it may not: they may be for the
    /// lobby.
    keep_alive: bool,
    /// Has a receiver for each task that accepts connections, and for each connection that is no
    /// websocket.
    pub stopping: watch::Sender<()>,
}

/// Binds the port of these settings.
pub(crate) async fn bind(settings: &Settings) -> anyhow::Result<TcpListener> {
    let host = if settings.lan { Ipv4Addr::UNSPECIFIED.into() } else { settings.host };
    let address = SocketAddr::new(host, settings.port);
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; set a free --port above 1023, or another --host")
    })
}

impl Server {
    pub fn new(app: Router, settings: &Settings, keep_alive: bool) -> Self {
        Self::for_any_host(check_origin(app, settings, false), settings, keep_alive)
    }

    /// The same without a check of `Host` and `Origin`, for an app that wants a token.
    pub fn for_any_host(app: Router, settings: &Settings, keep_alive: bool) -> Self {
        let (header_timeout, frames) = (settings.limits.header_timeout, settings.limits.frames());
        Server { app, header_timeout, frames, keep_alive, stopping: watch::Sender::default() }
    }

    /// Accepts no more connections, and answers the requests that have come. Websockets stay open.
    pub async fn stop(&self) {
        self.stopping.send_replace(());
        let _ = clock::timeout(STOP_TIMEOUT, self.stopping.closed()).await;
    }

    pub async fn serve_tcp(self, stream: TcpStream, permit: ConnectionPermit) {
        // Both only tune the connection; on one that is gone they fail, and serving ends at once.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ =
            rustix::net::sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT.as_millis() as u32);
        self.serve(stream, permit).await;
    }

    /// Serves a socket that the lobby handed to this room: a client's connection, or one end of a
    /// relay. Above the limit it is rejected and does not wait: the lobby would not notice, and
    /// would hand over ever more.
    pub async fn serve_handed_off(
        self,
        socket: OwnedFd,
        limiter: Arc<ConnectionLimiter>,
    ) -> anyhow::Result<()> {
        if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
            let stream = UnixStream::from_std(socket.into())?;
            let permit = limiter.try_admit(None).context("too many connections")?;
            self.serve(stream, permit).await;
        } else {
            let stream = TcpStream::from_std(socket.into())?;
            match limiter.try_admit(Some(stream.peer_addr()?.ip())) {
                Some(permit) => self.serve_tcp(stream, permit).await,
                None => limiter.reject(stream).await,
            }
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        permit: ConnectionPermit,
    ) {
        let Server { app, keep_alive, frames: rate, header_timeout, stopping } = self;
        let mut stopping = stopping.subscribe();
        let app = TowerToHyperService::new(app);
        let permit = Arc::new(permit);
        let stream = ThrottledStream::new(stream, permit.clone(), rate);
        let (frames, hangup) = (stream.frames.clone(), stream.hangup.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(hangup.clone());
            let frames = frames.clone();
            // HTTP/1.0 has no upgrades. A body could pass for frames.
            let upgrade = request.extensions().get::<OnUpgrade>().is_some();
            upgrade.then(|| copy_head(&mut request));
            let in_sync =
                frames.lock().expect("nobody panics while holding this").on_request(upgrade);
            let allowed = upgrade && in_sync && request.body().is_end_stream();
            // Refused before the app sees it: hyper upgrades a connection that the app has taken,
            // whatever the status of the response is.
            let response = client_of(&permit, request.headers(), allowed).map(|address| {
                request.extensions_mut().insert(address);
                app.call(request)
            });
            let refused = response.is_err();
            async move {
                let mut response = match response {
                    Ok(response) => response.await?,
                    Err(refusal) => refusal.into_response(),
                };
                let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let mut frames = frames.lock().expect("nobody panics while holding this");
                let stays_open = upgraded || keep_alive && frames.on_response();
                if refused || !stays_open {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // An error here is a client that went away or spoke no HTTP.
        tokio::select! {
            _ = &mut connection => {}
            _ = stopping.changed() => {
                // hyper would close a connection whose first request it has not read.
                if clock::timeout(STOP_GRACE, &mut connection).await.is_err() {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

/// Copies the head out of hyper's buffer. Socket.IO keeps it as long as the connection, and with it
/// the buffer, of 8 KiB.
fn copy_head<B>(request: &mut Request<B>) {
    let values = request.headers().values().flat_map(HeaderValue::as_bytes);
    let mut copy = Bytes::from_iter(values.copied());
    for value in request.headers_mut().values_mut() {
        let copied = HeaderValue::from_maybe_shared(copy.split_to(value.len()));
        *value = copied.unwrap_or(value.clone());
    }
    let uri = request.uri().to_string().parse();
    *request.uri_mut() = uri.unwrap_or(request.uri().clone());
}

/// The client that sends this request, or why it is refused.
fn client_of(
    permit: &ConnectionPermit,
    headers: &HeaderMap,
    may_upgrade: bool,
) -> Result<ClientAddress, (StatusCode, &'static str)> {
    let address = permit.client_address(headers);
    let address = address.ok_or((StatusCode::TOO_MANY_REQUESTS, TOO_MANY))?;
    if headers.contains_key(UPGRADE) && !may_upgrade {
        return Err((StatusCode::BAD_REQUEST, "this connection cannot become a websocket\n"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    /// The buffer would stay in memory as long as the connection.
    #[test]
    fn a_copied_head_says_the_same_and_does_not_hold_the_buffer_that_it_was_read_into() {
        let buffer = Bytes::from(b"/socket.io/?EIO=4 localhost one two".to_vec());
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_maybe_shared(buffer.slice(..17)).unwrap();
        for (name, at) in [("host", 18..27), ("x-two", 28..31), ("x-two", 32..35)] {
            let value = HeaderValue::from_maybe_shared(buffer.slice(at)).unwrap();
            request.headers_mut().append(name, value);
        }
        let (uri, headers) = (request.uri().to_string(), format!("{:?}", request.headers()));
        assert!(!buffer.is_unique());
        copy_head(&mut request);
        assert!(buffer.is_unique());
        assert_eq!(request.uri().to_string(), uri);
        assert_eq!(format!("{:?}", request.headers()), headers);
    }
}
