//! A client's connection: holds its permit, and throttles reads by back-pressure and by rate.

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

/// How long a client may take to close a connection after `hang_up`: a slow one has yet to read
/// what was sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Holds its permit until it is closed, also as a websocket. Reads stop while a write is blocked;
/// otherwise pongs would pile up. A client over its rate is read later: its data waits in its own
/// socket.
pub(crate) struct ThrottledStream<S> {
    stream: S,
    _permit: ConnectionPermit,
    counter: Arc<Mutex<FrameCounter>>,
    frames: TokenBucket,
    /// Reads stop until this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// The last write was blocked.
    blocked: bool,
    /// Wants to read when writes are possible again.
    reader: Option<Waker>,
    hangup: Hangup,
    /// The deadline to close, after `hang_up`.
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Ends a connection from elsewhere: data that arrives from now on is discarded, and the client has
/// [`CLOSE_TIMEOUT`] to read what was sent and to close. In the extensions of each request.
#[derive(Clone, Default)]
pub(crate) struct Hangup(Arc<(AtomicBool, AtomicWaker)>);

impl Hangup {
    pub fn hang_up(&self) {
        self.0.0.store(true, SeqCst);
        self.0.1.wake();
    }

    /// Whether `hang_up` was called. If not, wakes the reader when it is.
    fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.1.register(cx.waker());
        self.0.0.load(SeqCst)
    }
}

impl<S> ThrottledStream<S> {
    /// `frames`: the rate of a websocket. The server tells `counter` which requests it serves.
    pub fn new(
        stream: S,
        permit: ConnectionPermit,
        frames: Quota,
        counter: Arc<Mutex<FrameCounter>>,
        hangup: Hangup,
    ) -> Self {
        ThrottledStream {
            hangup,
            closing: None,
            stream,
            _permit: permit,
            counter,
            frames: TokenBucket::new(frames, Instant::now()),
            pause: None,
            blocked: false,
            reader: None,
        }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked = written.is_pending();
        if let Some(reader) = self.reader.take_if(|_| written.is_ready()) {
            reader.wake();
        }
        written
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut counter = self.counter.lock().expect("nobody panics while holding this");
        let count = counter.read(bytes);
        if count > 0 {
            let wait = self.frames.take(count, Instant::now());
            self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
        }
    }
}

impl<S: AsyncRead + Unpin> ThrottledStream<S> {
    /// Discards data until the client closes or its time is up; both read as the end of the stream.
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
        if self.blocked {
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
