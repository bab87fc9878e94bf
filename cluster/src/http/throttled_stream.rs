//! A connection, from the first byte to the last: it holds a place, and is read no faster than its client takes what
//! he is told and than he may speak.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::{
    http::{connection_limits::ConnectionPermit, frames::FrameCounter},
    runtime::{
        clock,
        token_bucket::{Quota, TokenBucket},
    },
};

/// How long a client may take to close a connection that was hung up: a slow one has yet to read what it was told.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Holds its place until it is closed, also after its upgrade to a websocket. Who does not take what he is told is
/// not listened to either: a websocket answers each ping, and the answers would pile up. Who says too much waits
/// in his own socket, where it costs nobody anything.
pub(crate) struct ThrottledStream<S> {
    stream: S,
    _place: ConnectionPermit,
    reading: Arc<Mutex<FrameCounter>>,
    frames: TokenBucket,
    /// Nothing is read before this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// The last write found no room.
    full: bool,
    /// Wants to read when there is room again.
    reader: Option<Waker>,
    hangup: Hangup,
    /// The end, once that has on_notice.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Ends a connection from elsewhere: what the client says from now on is discarded, and it has [`CLOSE_TIMEOUT`] to read
/// what it was told and to close. Stands in the extensions of each request.
#[derive(Clone, Default)]
pub(crate) struct Hangup(Arc<(AtomicBool, AtomicWaker)>);

impl Hangup {
    pub fn hang_up(&self) {
        self.0.0.store(true, SeqCst);
        self.0.1.wake();
    }

    /// Whether that has on_notice. If not, the reader is woken when it does.
    fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.1.register(cx.waker());
        self.0.0.load(SeqCst)
    }
}

impl<S> ThrottledStream<S> {
    /// `frames`: how many a websocket may send. `reading` is told which requests are served.
    pub fn new(
        stream: S,
        place: ConnectionPermit,
        frames: Quota,
        reading: Arc<Mutex<FrameCounter>>,
        hangup: Hangup,
    ) -> Self {
        ThrottledStream {
            hangup,
            closing: None,
            stream,
            _place: place,
            reading,
            frames: TokenBucket::new(frames, Instant::now()),
            pause: None,
            full: false,
            reader: None,
        }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.full = written.is_pending();
        if let Some(reader) = self.reader.take_if(|_| written.is_ready()) {
            reader.wake();
        }
        written
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut reading = self.reading.lock().expect("nobody panics while holding this");
        let count = reading.read(bytes);
        if count > 0 {
            let wait = self.frames.take(count, Instant::now());
            self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
        }
    }
}

impl<S: AsyncRead + Unpin> ThrottledStream<S> {
    /// Discards what comes until the client closes, or has had the time to: both read as the end of the stream.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = || clock::sleep_until(clock::now() + CLOSE_TIMEOUT);
        let closing = self.closing.get_or_insert_with(|| Box::pin(until()));
        while closing.as_mut().poll(cx).is_pending() {
            let mut discarded = [0; 1024];
            let mut discarded = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut discarded))?;
            if discarded.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ThrottledStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.hangup.poll(cx) {
            return self.poll_close(cx);
        }
        if self.full {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.read(&buffer.filled()[before..]);
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
