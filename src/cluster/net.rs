//! Listening and serving HTTP, for the lobby and for rooms alike: one place for limits of time,
//! size and number, whichever way a connection came.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    middleware,
    response::Response,
};
use hyper::server::conn::http1;
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
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::settings::PortRange;

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
    places: Arc<Semaphore>,
    serve: impl Fn(TcpStream, OwnedSemaphorePermit) -> Served,
) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = places.clone().acquire_owned().await;
                let place = place.expect("nobody closes this semaphore");
                tokio::spawn(serve(stream, place));
            }
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
    pub async fn serve_tcp(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Both only tune the connection; one that is gone already fails here and ends below.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
        self.serve(stream, place).await;
    }

    /// Serves a socket that the lobby has given to this room: a browser's, or the end of a relay.
    pub async fn serve_given(self, socket: OwnedFd, place: OwnedSemaphorePermit) -> io::Result<()> {
        match rustix::net::getsockname(&socket)?.address_family() {
            AddressFamily::UNIX => self.serve(UnixStream::from_std(socket.into())?, place).await,
            _ => self.serve_tcp(TcpStream::from_std(socket.into())?, place).await,
        }
        Ok(())
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: OwnedSemaphorePermit,
    ) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(
                TokioIo::new(Counted { stream, _place: place }),
                TowerToHyperService::new(self.app),
            )
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

/// A connection that holds its place until it is closed, also after its upgrade to a websocket.
struct Counted<S> {
    stream: S,
    _place: OwnedSemaphorePermit,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
