//! The lobby's log goes to stdout through a bounded queue and a thread that writes. Logging never
//! blocks: while stdout is a stopped terminal, a pipe that nobody reads or a full disk, lines are
//! lost and counted.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, write},
};
use tracing_subscriber::fmt::MakeWriter;

/// Lines in the queue; a burst of a second. At 8 KiB, the longest lines of rooms, 16 MiB.
const MAX_QUEUED: u64 = 2048;
/// How long the lobby waits at its end for the queue to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The formatter's end of the queue. Each line is queued whole, or lost whole.
#[derive(Clone)]
pub(crate) struct LogWriter {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Lines that are not written yet.
    queued: AtomicU64,
    /// Lines that were lost since this was last logged.
    lost: AtomicU64,
}

/// Waits a moment for the queue to be written when it is dropped.
pub(crate) struct FlushGuard(Arc<Counts>);

/// Starts the thread that writes.
pub(crate) fn start() -> io::Result<(LogWriter, FlushGuard)> {
    let (lines, queue) = sync_channel(MAX_QUEUED as usize);
    let counts = Arc::new(Counts::default());
    let writer = LogWriter { lines, counts: counts.clone() };
    let guard = FlushGuard(counts.clone());
    thread::Builder::new().name("log".into()).spawn(move || write_lines(&queue, &counts))?;
    Ok((writer, guard))
}

fn write_lines(queue: &Receiver<Vec<u8>>, counts: &Counts) {
    let stdout = io::stdout();
    for line in queue {
        let written = write_all(stdout.as_fd(), &line);
        if written.is_err() {
            counts.lost.fetch_add(1, SeqCst);
        }
        let empty = counts.queued.fetch_sub(1, SeqCst) == 1;
        // An empty queue has a place for this line as well.
        if empty && written.is_ok() {
            let lines = counts.lost.swap(0, SeqCst);
            if lines > 0 {
                tracing::error!(lines, "log lines were lost: stdout was not read in time");
            }
        }
    }
}

/// Unlike the standard library's stdout, keeps nothing that could not be written.
fn write_all(out: BorrowedFd, mut line: &[u8]) -> Result<(), Errno> {
    while !line.is_empty() {
        match write(out, line) {
            Ok(count) => line = &line[count..],
            Err(Errno::INTR) => {}
            // The lobby's parent shares this terminal or pipe and has made it non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(out, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Indents all lines but the first: a logged value may hold a player's text, which must not forge a
/// line.
pub(crate) fn indented(line: &[u8]) -> Vec<u8> {
    let (text, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |text| (text, b"\n"));
    let mut indented = Vec::with_capacity(line.len());
    for byte in text {
        match byte {
            b'\n' => indented.extend(b"\n    "),
            // A terminal would overwrite the line.
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
        self.counts.queued.fetch_add(1, SeqCst);
        if self.lines.try_send(indented(line)).is_err() {
            self.counts.queued.fetch_sub(1, SeqCst);
            self.counts.lost.fetch_add(1, SeqCst);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.0.queued.load(SeqCst) > 0 && begun.elapsed() < FLUSH_TIMEOUT {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_message_starts_no_line_of_the_log() {
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
