//! Listening and serving HTTP, for the lobby and for rooms alike: one place for limits of time,
//! size and number. The seam for other ways in which a connection may come to a room is `serve`.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::settings::PortRange;

/// A client that sends half a header is gone after this; a slow phone network takes less.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest request line and headers together; browsers with many cookies send a few KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// A client that does not acknowledge what was sent is gone after this. Without it one that stopped
/// reading would block its writer until the kernel gives up, after a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);
/// How long to wait when accepting fails, as it does without free descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Binds `port` (0: a free one) at `host`.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Binds the first free port of a range, or any free one.
pub(crate) async fn bind_any(
    host: IpAddr,
    ports: Option<PortRange>,
) -> anyhow::Result<TcpListener> {
    let Some(PortRange { low, high }) = ports else {
        return bind((host, 0).into()).await;
    };
    for port in low..=high {
        if let Ok(listener) = TcpListener::bind((host, port)).await {
            return Ok(listener);
        }
    }
    bail!("no free port in {low}-{high}")
}

/// Accepts and serves for ever. Each connection takes one of the places until it is closed; without
/// a free one, new connections wait to be accepted.
pub(crate) async fn accept(
    listener: TcpListener,
    app: Router,
    places: Arc<Semaphore>,
) -> Infallible {
    loop {
        let place = places.clone().acquire_owned().await.expect("nobody closes this semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, app.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Serves one connection.
async fn serve(stream: TcpStream, app: Router, place: OwnedSemaphorePermit) {
    // Both only tune the connection; one that is gone already fails here and ends below.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED.as_millis() as u32);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(
            TokioIo::new(Counted { stream, _place: place }),
            TowerToHyperService::new(app),
        )
        .with_upgrades();
    // An error here is a client that went away or spoke no HTTP.
    let _ = connection.await;
}

/// A connection that holds its place until it is closed, also after its upgrade to a websocket.
struct Counted {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
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
