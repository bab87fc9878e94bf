//! The way of the lobby's log to stdout: a queue, and a thread that writes. Whoever logs never waits for
//! the one who reads: a pipe that nobody empties, a terminal that is stopped, a full disk lose lines, and nothing
//! else.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, write},
};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written; a burst of a second. At 8 KiB, the longest lines of rooms, 16 MiB.
const MAX_WAITING: usize = 2048;
/// How long the lobby waits at its end until the last lines are written.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Job {
    Line(Vec<u8>),
    /// Dropped when all lines before it are written.
    Flush(SyncSender<()>),
}

/// Where lines go in. Each is written as a whole, or lost as a whole.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

/// Dropping this waits a moment until all lines are written.
pub(crate) struct LastLines(LogWriter);

/// Starts the thread that writes.
pub(crate) fn start() -> io::Result<(LogWriter, LastLines)> {
    let (queue, jobs) = sync_channel(MAX_WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = LogWriter { queue, lost: lost.clone() };
    thread::Builder::new().name("log".into()).spawn(move || write_lines(&jobs, &lost))?;
    Ok((writer.clone(), LastLines(writer)))
}

fn write_lines(jobs: &Receiver<Job>, lost: &AtomicU64) {
    let stdout = io::stdout();
    let (mut cut, mut works, mut flush) = (false, true, None);
    loop {
        let job = match jobs.try_recv() {
            // Now there is a place for this as well; as long as nothing can be written, it could not be either.
            Err(TryRecvError::Empty) if works && lost.load(Relaxed) > 0 => {
                let lines = lost.swap(0, Relaxed);
                tracing::error!(lines, "lines of this log are lost: it was not taken in time");
                continue;
            }
            Err(TryRecvError::Empty) => {
                drop(flush.take());
                jobs.recv().ok()
            }
            other => other.ok(),
        };
        let line = match job {
            Some(Job::Line(line)) => line,
            Some(Job::Flush(done)) => {
                flush = Some(done);
                continue;
            }
            None => return,
        };
        // What follows a line that was cut in the middle begins a new one.
        let line = if cut { [b"\n", &*line].concat() } else { line };
        let written = write_all(stdout.as_fd(), &line);
        works = written.is_ok();
        match written {
            Ok(()) => cut = false,
            Err(written) => {
                cut |= written > 0;
                lost.fetch_add(1, Relaxed);
            }
        }
    }
}

/// `Err`: so many bytes were written before it failed. The standard library would keep what it could not write.
fn write_all(out: BorrowedFd, line: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < line.len() {
        match write(out, &line[written..]) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            // Whoever started the lobby shares this terminal or pipe, and wants it so.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(out, PollFlags::OUT)], None);
            }
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

/// What is logged may hold what a player has written. A line within it is indented, as those of a backtrace: it
/// is no line of the log's own.
pub(crate) fn indented(line: &[u8]) -> Vec<u8> {
    let (text, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |text| (text, b"\n"));
    let mut indented = Vec::with_capacity(line.len());
    for byte in text {
        match byte {
            b'\n' => indented.extend(b"\n    "),
            // A terminal would begin the same line again.
            b'\r' => indented.push(b' '),
            other => indented.push(*other),
        }
    }
    indented.extend(end);
    indented
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl io::Write for &LogWriter {
    /// The formatter writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Job::Line(indented(line))).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LastLines {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_LINES;
        let (done, written) = sync_channel(0);
        let mut job = Job::Flush(done);
        while let Err(error) = self.0.queue.try_send(job) {
            let (TrySendError::Full(again) | TrySendError::Disconnected(again)) = error;
            if Instant::now() >= until {
                return;
            }
            job = again;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_a_line_of_his_own_into_the_log() {
        for (line, written) in [
            ("INFO hello\n", "INFO hello\n"),
            ("INFO x\nERROR forged\n", "INFO x\n    ERROR forged\n"),
            ("INFO x\rERROR forged\r\n", "INFO x ERROR forged \n"),
            ("INFO x\n\n", "INFO x\n    \n"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&indented(line.as_bytes())), written, "{line:?}");
        }
    }
}
