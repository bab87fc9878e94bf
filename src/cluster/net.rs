//! Listening and serving HTTP, for the lobby and for rooms alike: one place for limits of time,
//! size and number, whichever way a connection came.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    http::{HeaderValue, Request, StatusCode, header::CONNECTION},
    middleware,
    response::Response,
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::net::AddressFamily;
#[cfg(target_os = "linux")]
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
};

use super::{
    guests::{Full, Guests, Place},
    values::PortRange,
};

/// The largest request line and headers together; browsers with many cookies send a few KiB.
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
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
    listen(address).with_context(|| format!("cannot listen on {address}"))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port is free again as soon as its server has stopped.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens on the first free port of a range.
pub(crate) fn bind_any(host: IpAddr, ports: PortRange) -> anyhow::Result<TcpListener> {
    let PortRange { low, high } = ports;
    for port in low..=high {
        if let Ok(listener) = listen((host, port).into()) {
            return Ok(listener);
        }
    }
    bail!("no free port in {low}-{high}")
}

/// Accepts for ever, and gives each connection to `serve` together with its place, which is taken
/// until it is dropped. Without a free one the next connection waits, and those after it with it.
pub(crate) async fn accept<Served: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    guests: Guests,
    serve: impl Fn(TcpStream, Place) -> Served,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match guests.welcome(Some(peer.ip())) {
                Ok(guest) => drop(tokio::spawn(serve(stream, guests.place(guest).await))),
                Err(Full) => drop(tokio::spawn(guests.clone().turn_away(stream))),
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
    pub app: Router,
    /// How long a client may take for the head of a request.
    pub header_timeout: Duration,
}

impl Server {
    pub async fn serve_tcp(self, stream: TcpStream, place: Place) {
        // Both only tune the connection; one that is gone already fails here and ends below.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
        self.serve(stream, place).await;
    }

    /// Serves a socket that the lobby has given to this room: a browser's, or the end of a relay, if
    /// there is a place for it.
    pub async fn serve_given(self, socket: OwnedFd, guests: Guests) -> anyhow::Result<()> {
        // Nobody waits for a place here: the lobby would not know, and hand over ever more.
        let place = |peer| guests.place_now(guests.welcome(peer)?);
        if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
            let stream = UnixStream::from_std(socket.into())?;
            let place = place(None).ok().context("too many connections")?;
            self.serve(stream, place).await;
        } else {
            let stream = TcpStream::from_std(socket.into())?;
            match place(Some(stream.peer_addr()?.ip())) {
                Ok(place) => self.serve_tcp(stream, place).await,
                Err(Full) => guests.turn_away(stream).await,
            }
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: Place,
    ) {
        let app = TowerToHyperService::new(self.app);
        let guest = place.guest.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(guest.clone());
            app.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Placed::new(stream, place)), service)
            .with_upgrades();
        // An error here is a client that went away or spoke no HTTP.
        let _ = connection.await;
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

/// A connection that holds its place until it is closed, also after its upgrade to a websocket. Who does not
/// take what he is told is not listened to either: a websocket answers each ping, and the answers would pile up.
struct Placed<S> {
    stream: S,
    _place: Place,
    /// The last write found no room.
    full: bool,
    /// Wants to read when there is room again.
    reader: Option<Waker>,
}

impl<S> Placed<S> {
    fn new(stream: S, place: Place) -> Self {
        Placed { stream, _place: place, full: false, reader: None }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.full = written.is_pending();
        if let Some(reader) = self.reader.take_if(|_| written.is_ready()) {
            reader.wake();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.full {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
