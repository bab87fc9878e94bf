//! A client's connection, from the first byte to the last. Back-pressure: it is read only as fast
//! as the client may send and as the client takes what it is sent. The rest waits in the socket's
//! buffers, where it costs others nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::future::maybe_done;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use crate::http::connection_limits::ConnectionPermit;
use crate::http::frame_counter::FrameCounter;
use crate::runtime::{Quota, TokenBucket, clock};

/// How long a client may take to close a connection that was hung up: it may have to read what it
/// was sent before.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Holds its permit until it is closed, also after an upgrade to a websocket.
pub(crate) struct ThrottledStream<S> {
    stream: S,
    _permit: Arc<ConnectionPermit>,
    /// Counts what is read; it is told of the requests.
    pub frames: Arc<Mutex<FrameCounter>>,
    rate: TokenBucket,
    /// Nothing is read before this is over.
    pause: Pin<Box<Sleep>>,
    /// The last write found the socket full. Reads stop meanwhile: a websocket answers each ping,
    /// and the answers would pile up.
    write_blocked: bool,
    /// Woken when writes go on.
    blocked_reader: Option<Waker>,
    pub hangup: Hangup,
    /// Is ready [`CLOSE_TIMEOUT`] after the hang-up.
    close_deadline: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Ends a connection from elsewhere: what the client sends from now on is discarded, and it has
/// [`CLOSE_TIMEOUT`] to read what it was sent and to close. In the extensions of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangup(pub CancellationToken);

impl<S> ThrottledStream<S> {
    /// `rate`: the frames of a websocket.
    pub fn new(stream: S, permit: Arc<ConnectionPermit>, rate: Quota) -> Self {
        let hangup = Hangup::default();
        let hung_up = hangup.0.clone().cancelled_owned();
        let close_deadline = async move {
            hung_up.await;
            clock::sleep_until(clock::now() + CLOSE_TIMEOUT).await;
        };
        ThrottledStream {
            stream,
            _permit: permit,
            frames: Arc::default(),
            rate: TokenBucket::new(rate, Instant::now()),
            pause: Box::pin(sleep(Duration::ZERO)),
            write_blocked: false,
            blocked_reader: None,
            hangup,
            close_deadline: Box::pin(maybe_done(close_deadline)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ThrottledStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.close_deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let hung_up = self.hangup.0.is_cancelled();
            if !hung_up {
                if self.write_blocked {
                    self.blocked_reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                ready!(self.pause.as_mut().poll(cx));
            }
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if !hung_up || buffer.filled().len() == before {
                break;
            }
            buffer.set_filled(before);
        }
        let bytes = &buffer.filled()[before..];
        let count = self.frames.lock().expect("nobody panics while holding this").read(bytes);
        let now = Instant::now();
        let wait = self.rate.take(count, now);
        if !wait.is_zero() {
            self.pause.as_mut().reset(now + wait);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ThrottledStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write_blocked = written.is_pending();
        if let Some(reader) = self.blocked_reader.take_if(|_| written.is_ready()) {
            reader.wake();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
