//! The HTTP server of the lobby and of rooms: one place for timeouts and limits, whichever way a
//! connection arrives.

use std::{
    convert::Infallible,
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Router,
    http::{HeaderValue, Request, StatusCode, header::CONNECTION},
    middleware,
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::{Body as _, Incoming},
    rt::{Sleep, Timer},
    server::conn::http1,
    service::{Service as _, service_fn},
    upgrade::OnUpgrade,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rustix::net::AddressFamily;
#[cfg(target_os = "linux")]
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
};

use crate::{
    config::limits::Limits,
    http::{
        connection_limits::{ConnectionLimiter, ConnectionPermit, LimitReached},
        frames::{FrameCounter, MAX_HEADER_BYTES},
        throttled_stream::{Hangup, ThrottledStream},
    },
    runtime::{clock, token_bucket::Quota},
};

/// TCP user timeout: a client that does not acknowledge data for so long is disconnected. The
/// kernel's default is a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
/// Connections that wait to be accepted. When a room dies, its players reconnect all at once, and
/// the kernel retries one that finds the backlog full only after a second.
const BACKLOG: u32 = 1024;
/// The pause after accepting fails, as it does without free file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Listens on an address; port 0 takes a free one.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted server gets its port back at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts connections for ever and passes each to `serve` with its permit. Without a free permit
/// the next connection waits, and the others stay in the backlog.
pub(crate) async fn accept<Served: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limiter: ConnectionLimiter,
    serve: impl Fn(TcpStream, ConnectionPermit) -> Served,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match limiter.admit(Some(peer.ip())) {
                Ok(client) => drop(tokio::spawn(serve(stream, limiter.permit(client).await))),
                Err(LimitReached) => drop(tokio::spawn(limiter.clone().reject(stream))),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// How connections are served.
#[derive(Clone)]
pub(crate) struct Server {
    app: Router,
    /// How long a client may take for a request's head.
    pub header_timeout: Duration,
    /// Frames of one websocket; beyond this it is throttled.
    frames: Quota,
}

impl Server {
    pub fn new(app: Router, limits: &Limits) -> Self {
        Server { app, header_timeout: limits.header_timeout, frames: limits.frames() }
    }

    /// The same server for another application.
    pub fn with(self, app: Router) -> Self {
        Server { app, ..self }
    }

    pub async fn serve_tcp(self, stream: TcpStream, permit: ConnectionPermit) {
        // On a connection that has ended these fail, and serving ends at once.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
        self.serve(stream, permit).await;
    }

    /// Serves a socket that the lobby handed to this room: a client's connection, or one end of a
    /// relay.
    pub async fn serve_given(
        self,
        socket: OwnedFd,
        limiter: ConnectionLimiter,
    ) -> anyhow::Result<()> {
        // Sockets must not wait for a permit here: the lobby would not know and hand over ever
        // more.
        let permit = |peer| limiter.try_permit(limiter.admit(peer)?);
        if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
            let stream = UnixStream::from_std(socket.into())?;
            let permit = permit(None).ok().context("too many connections")?;
            self.serve(stream, permit).await;
        } else {
            let stream = TcpStream::from_std(socket.into())?;
            match permit(Some(stream.peer_addr()?.ip())) {
                Ok(permit) => self.serve_tcp(stream, permit).await,
                Err(LimitReached) => limiter.reject(stream).await,
            }
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        permit: ConnectionPermit,
    ) {
        let app = TowerToHyperService::new(self.app);
        let client = permit.client.clone();
        let counter = Arc::new(Mutex::new(FrameCounter::new()));
        let hangup = Hangup::default();
        let stream =
            ThrottledStream::new(stream, permit, self.frames, counter.clone(), hangup.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(client.clone());
            request.extensions_mut().insert(hangup.clone());
            let upgrade = request.extensions().get::<OnUpgrade>().is_some();
            // The rest of a body would be read as a request or as frames.
            let body = !request.body().is_end_stream();
            let counter = counter.clone();
            let in_sync = counter.lock().expect("nobody panics while holding this").serve(upgrade);
            // Refused before the application sees it: hyper upgrades a connection that the
            // application has taken, whatever the status of the response.
            let answer = (!upgrade || (in_sync && !body)).then(|| app.call(request));
            async move {
                let mut response = match answer {
                    Some(answer) => answer.await?,
                    None => StatusCode::BAD_REQUEST.into_response(),
                };
                let websocket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let mut counter = counter.lock().expect("nobody panics while holding this");
                let ends = match (upgrade, websocket) {
                    (true, true) => false,
                    (true, false) => !counter.refuse() || body,
                    // HTTP/1.0 has no upgrades.
                    (false, true) => {
                        response = StatusCode::BAD_REQUEST.into_response();
                        true
                    }
                    (false, false) => body,
                };
                if ends {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(RunningTime)
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // An error is a client that disconnected or does not speak HTTP.
        let _ = connection.await;
    }
}

/// Makes the HTTP server's timeouts use our clock, which does not count pauses of this process.
#[derive(Clone)]
struct RunningTime;

impl Timer for RunningTime {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Box::pin(clock::sleep_until(clock::later(clock::now(), time)))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeping(Box::pin(clock::sleep_until(deadline.into()))))
    }

    fn now(&self) -> Instant {
        clock::now().into()
    }
}

struct Sleeping(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Sleep for Sleeping {}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// Closes each connection after one response, unless it was upgraded.
pub(crate) fn one_request(app: Router) -> Router {
    app.layer(middleware::map_response(async |mut response: Response| {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }))
}
