//! A connection, from the first byte to the last: it holds a place, and is read no faster than its client takes what
//! he is told and than he may speak.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    budget::{Budget, Rate},
    frames::Reading,
    guests::Place,
};

/// Holds its place until it is closed, also after its upgrade to a websocket. Who does not take what he is told is
/// not listened to either: a websocket answers each ping, and the answers would pile up. Who says too much waits
/// in his own socket, where it costs nobody anything.
pub(crate) struct Placed<S> {
    stream: S,
    _place: Place,
    reading: Arc<Mutex<Reading>>,
    frames: Budget,
    /// Nothing is read before this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// The last write found no room.
    full: bool,
    /// Wants to read when there is room again.
    reader: Option<Waker>,
}

impl<S> Placed<S> {
    /// `frames`: how many a websocket may send. `reading` is told what is answered.
    pub fn new(stream: S, place: Place, frames: Rate, reading: Arc<Mutex<Reading>>) -> Self {
        Placed {
            stream,
            _place: place,
            reading,
            frames: Budget::new(frames, Instant::now()),
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
            let wait = self.frames.spend(count, Instant::now());
            self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
        }
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
