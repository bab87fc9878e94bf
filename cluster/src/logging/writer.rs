//! The lobby's log on its way to stdout: a bounded queue, and a thread that writes. Logging never
//! blocks. If stdout is not read, or the disk is full, lines are dropped and counted.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, poll};

/// Lines that wait to be written; the next one is dropped. Some 16 MiB if each is the longest that
/// a room may print, 8 KiB; escaping can make it more.
const MAX_QUEUED: usize = 2048;
/// How long the lobby waits at its end, or before a reload, for the last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Lines that stdout did not take in time, since the start.
pub(crate) static LOST_LINES: AtomicU64 = AtomicU64::new(0);
/// Lines that are in the queue or being written.
static QUEUED: AtomicUsize = AtomicUsize::new(0);

/// Where the formatter writes: passes on one entry of the log at a time.
pub(crate) struct EntryWriter<F>(pub F);

/// Dropping this waits until all lines are written, as [`flush`] does.
pub(crate) struct FlushGuard(());

/// Starts the thread that writes, once in a process. Returns what queues an entry for it.
pub(crate) fn start() -> io::Result<(impl Fn(String) + Clone, FlushGuard)> {
    let (queue, lines) = sync_channel(MAX_QUEUED);
    // Unbuffered: the standard library's handle would keep part of a line that it could not write.
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    thread::Builder::new().name("log".into()).spawn(move || write(lines, stdout))?;
    let push = move |entry: String| {
        QUEUED.fetch_add(1, Relaxed);
        if queue.try_send(entry + "\n").is_err() {
            QUEUED.fetch_sub(1, Relaxed);
            LOST_LINES.fetch_add(1, Relaxed);
        }
    };
    Ok((push, FlushGuard(())))
}

fn write(lines: Receiver<String>, mut stdout: File) {
    let mut reported = 0;
    for line in lines {
        // A parent that shares stdout may have made it non-blocking.
        let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
        let written = stdout.write_all(line.as_bytes());
        let is_drained = QUEUED.fetch_sub(1, Relaxed) == 1;
        if written.is_err() {
            LOST_LINES.fetch_add(1, Relaxed);
        } else if is_drained && LOST_LINES.load(Relaxed) > reported {
            // Reported only now: in a full queue the report would be dropped as well.
            let lines = LOST_LINES.load(Relaxed) - reported;
            reported += lines;
            tracing::error!(lines, "log lines were dropped: stdout did not take them in time");
        }
    }
}

/// The formatter's line without its end. Players' text may be in it: nobody can forge a line,
/// control the terminal or reorder what it shows. `subscriber.rs` has escaped control characters;
/// colours and the lines of a backtrace are left.
fn one_entry(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    let text = line.replace('\r', " ").replace('\n', "\n    ");
    let is_deceptive = |char| matches!(char, 0x7f..=0x9f | 0x61c | 0x200e..=0x200f | 0x2028..=0x202e | 0x2066..=0x2069);
    text.replace(|char| is_deceptive(u32::from(char)), "\u{fffd}")
}

impl<F: FnMut(String)> io::Write for EntryWriter<F> {
    /// The formatter writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(one_entry(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until all lines are written, up to `FLUSH_TIMEOUT`.
pub(crate) fn flush() {
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    while QUEUED.load(Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_within_a_line_cannot_forge_another() {
        for (line, written) in [
            ("INFO hello\n", "INFO hello"),
            ("INFO x\nERROR forged\n", "INFO x\n    ERROR forged"),
            ("INFO x\rERROR forged\r\n", "INFO x ERROR forged "),
            ("INFO x\n\n", "INFO x\n    "),
            ("INFO x\u{2028}y\u{202e}\u{9b}31m\n", "INFO x\u{fffd}y\u{fffd}\u{fffd}31m"),
            ("", ""),
        ] {
            assert_eq!(one_entry(line.as_bytes()), written, "{line:?}");
        }
    }
}
