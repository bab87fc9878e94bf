//! Listening and serving HTTP, for the lobby and for rooms alike: one place for limits of time,
//! size and number, whichever way a connection came.

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

/// A client that does not acknowledge what was sent is gone after this. Without it one that stopped
/// reading would block its writer until the kernel gives up, after a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
/// Connections that wait to be accepted. A room's players come back all at once when it dies, and
/// whoever finds no place here tries again only after a second.
const BACKLOG: u32 = 1024;
/// How long to wait when accepting fails, as it does without free descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Listens on an address; port 0 takes a free one.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port is free again as soon as its server has stopped.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts for ever, and gives each connection to `serve` together with its place, which is taken
/// until it is dropped. Without a free one the next connection waits, and those after it with it.
pub(crate) async fn accept<Served: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limiter: ConnectionLimiter,
    serve: impl Fn(TcpStream, ConnectionPermit) -> Served,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match limiter.admit(Some(peer.ip())) {
                Ok(guest) => drop(tokio::spawn(serve(stream, limiter.place(guest).await))),
                Err(LimitReached) => drop(tokio::spawn(limiter.clone().reject(stream))),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// How connections are served, by the lobby and by rooms alike.
#[derive(Clone)]
pub(crate) struct Server {
    app: Router,
    /// How long a client may take for the head of a request.
    pub header_timeout: Duration,
    /// From one websocket, before it is read more slowly.
    frames: Quota,
}

impl Server {
    pub fn new(app: Router, limits: &Limits) -> Self {
        Server { app, header_timeout: limits.header_timeout, frames: limits.frames() }
    }

    /// The same for something else.
    pub fn with(self, app: Router) -> Self {
        Server { app, ..self }
    }

    pub async fn serve_tcp(self, stream: TcpStream, place: ConnectionPermit) {
        // Both only tune the connection; one that is gone already fails here and ends below.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
        self.serve(stream, place).await;
    }

    /// Serves a socket that the lobby has given to this room: a browser's, or the end of a relay, if
    /// there is a place for it.
    pub async fn serve_given(
        self,
        socket: OwnedFd,
        limiter: ConnectionLimiter,
    ) -> anyhow::Result<()> {
        // Nobody waits for a place here: the lobby would not know, and hand over ever more.
        let place = |peer| limiter.place_now(limiter.admit(peer)?);
        if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
            let stream = UnixStream::from_std(socket.into())?;
            let place = place(None).ok().context("too many connections")?;
            self.serve(stream, place).await;
        } else {
            let stream = TcpStream::from_std(socket.into())?;
            match place(Some(stream.peer_addr()?.ip())) {
                Ok(place) => self.serve_tcp(stream, place).await,
                Err(LimitReached) => limiter.reject(stream).await,
            }
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: ConnectionPermit,
    ) {
        let app = TowerToHyperService::new(self.app);
        let guest = place.guest.clone();
        let reading = Arc::new(Mutex::new(FrameCounter::new()));
        let hangup = Hangup::default();
        let stream =
            ThrottledStream::new(stream, place, self.frames, reading.clone(), hangup.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(guest.clone());
            request.extensions_mut().insert(hangup.clone());
            let upgrade = request.extensions().get::<OnUpgrade>().is_some();
            // The rest of a body could pass for a request, or for frames.
            let body = !request.body().is_end_stream();
            let reading = reading.clone();
            let known = reading.lock().expect("nobody panics while holding this").serve(upgrade);
            // Refused before the application sees it: once that has taken a connection, hyper upgrades it whatever
            // the status of the response is.
            let answer = (!upgrade || (known && !body)).then(|| app.call(request));
            async move {
                let mut response = match answer {
                    Some(answer) => answer.await?,
                    None => StatusCode::BAD_REQUEST.into_response(),
                };
                let websocket = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                let mut reading = reading.lock().expect("nobody panics while holding this");
                let ends = match (upgrade, websocket) {
                    (true, true) => false,
                    (true, false) => !reading.refuse() || body,
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
        // An error here is a client that went away or spoke no HTTP.
        let _ = connection.await;
    }
}

/// Lets the HTTP server's time limits go by our clock.
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

/// Answers one request a connection, and closes it unless it was upgraded.
pub(crate) fn one_request(app: Router) -> Router {
    app.layer(middleware::map_response(async |mut response: Response| {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }))
}
