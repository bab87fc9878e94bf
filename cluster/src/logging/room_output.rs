//! Copies what a room prints into the lobby's log, line by line, with the room's id. The log takes
//! a limited number of lines, and reading is limited in bytes: a room that prints without end waits
//! at its own full pipe, and costs the lobby little.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::runtime::{Quota, TokenBucket};
use crate::types::RoomId;

/// The longest line, in bytes; a longer one is split.
const MAX_LINE: usize = 8 * 1024;
/// Lines that one stream of a room may log. Each `BYTES_PER_LINE` bytes of a line count as one more
/// line, so the stream is also limited to about 50 KB per second, in bursts of 500 KB.
const LINES: Quota = Quota { per_second: 200.0, burst: 2000.0 };
const BYTES_PER_LINE: usize = 256;
/// Bytes that are read from one stream.
const BYTES: Quota = Quota::new(1 << 20, 1);
/// Lines of a room that are kept for a report on its crash, and their bytes.
const MAX_LAST_LINES: usize = 200;
const MAX_LAST_BYTES: usize = 64 * 1024;
/// Skipped lines are reported after this time without output.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// The last lines of a room, of both streams.
#[derive(Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<Last>>);

/// Is told each line, and whether it came from stderr.
type Listener = Box<dyn Fn(&str, bool) + Send>;

#[derive(Default)]
struct Last {
    lines: VecDeque<String>,
    listener: Option<Listener>,
}

impl LastLines {
    pub fn push(&self, line: &str, is_error: bool) {
        let mut last = self.0.lock().expect("nobody panics while holding this");
        last.lines.push_back(line.to_owned());
        let bytes = |lines: &VecDeque<String>| lines.iter().map(String::len).sum::<usize>();
        while last.lines.len() > MAX_LAST_LINES || bytes(&last.lines) > MAX_LAST_BYTES {
            last.lines.pop_front();
        }
        last.listener.as_ref().inspect(|listener| listener(line, is_error));
    }

    /// From now on, calls this for each line.
    pub fn listen(&self, listener: impl Fn(&str, bool) + Send + 'static) {
        let mut last = self.0.lock().expect("nobody panics while holding this");
        last.listener = Some(Box::new(listener));
    }

    pub fn lines(&self) -> String {
        let last = self.0.lock().expect("nobody panics while holding this");
        last.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// The task that copies stdout and stderr. It ends when both are closed or this is dropped.
pub(crate) struct Output {
    /// One task; a set aborts it on drop.
    task: JoinSet<(pipe::Receiver, pipe::Receiver)>,
    stop: CancellationToken,
    pub last_lines: LastLines,
    /// The last line of stderr so far that does not look like a part of a backtrace.
    pub last_error: watch::Sender<String>,
}

impl Output {
    /// Copies stdout and stderr into the log.
    pub fn copy(room: &RoomId, ends: [OwnedFd; 2], last_lines: LastLines) -> io::Result<Self> {
        let copier = |level| LineCopier {
            room: room.clone(),
            level,
            last_line: watch::Sender::default(),
            last_lines: last_lines.clone(),
            lines: TokenBucket::new(LINES, Instant::now()),
            skipped: 0,
        };
        let (out, err) = (copier(Level::INFO), copier(Level::WARN));
        let (stop, last_error) = (CancellationToken::new(), err.last_line.clone());
        let [stdout, stderr] = ends.map(pipe::Receiver::from_owned_fd);
        let copied = join(out.run(stdout?, stop.clone()), err.run(stderr?, stop.clone()));
        let mut task = JoinSet::new();
        task.spawn(copied);
        Ok(Output { task, stop, last_lines, last_error })
    }

    /// Waits for the end of both. Use a timeout: a process that has left the room's group may keep
    /// them open.
    pub async fn end(&mut self) {
        self.task.join_next().await;
    }

    /// Stops copying, and returns stdout and stderr. What was read is in the log: of a line that
    /// was not whole, the first part.
    pub async fn stop(&mut self) -> Option<[OwnedFd; 2]> {
        self.stop.cancel();
        let (stdout, stderr) = self.task.join_next().await?.ok()?;
        Some([stdout.into_nonblocking_fd().ok()?, stderr.into_nonblocking_fd().ok()?])
    }
}

struct LineCopier {
    room: RoomId,
    /// Of lines that name none.
    level: Level,
    last_line: watch::Sender<String>,
    last_lines: LastLines,
    lines: TokenBucket,
    /// Lines skipped since the last report.
    skipped: u64,
}

impl LineCopier {
    async fn run(mut self, pipe: pipe::Receiver, stop: CancellationToken) -> pipe::Receiver {
        let mut stream = BufReader::with_capacity(MAX_LINE, pipe);
        let mut bytes = TokenBucket::new(BYTES, Instant::now());
        let mut line = Vec::new();
        loop {
            let report_after = if self.skipped > 0 { REPORT_AFTER } else { Duration::MAX };
            // When it is dropped, `line` keeps what was read so far.
            let mut limited = (&mut stream).take((MAX_LINE - line.len()) as u64);
            let read = tokio::select! {
                read = timeout(report_after, limited.read_until(b'\n', &mut line)) => read,
                () = stop.cancelled() => break,
            };
            match read {
                Ok(Ok(_)) if !line.is_empty() => {
                    self.line(&line);
                    let pause = bytes.take(line.len(), Instant::now());
                    line.clear();
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                }
                Ok(_) => break,
                Err(_) => self.report_skipped(),
            }
        }
        line.extend_from_slice(stream.buffer());
        line.split_inclusive(|byte| *byte == b'\n').for_each(|line| self.line(line));
        self.report_skipped();
        stream.into_inner()
    }

    fn line(&mut self, line: &[u8]) {
        let now = Instant::now();
        // After a skip, wait for a second's worth of lines: single lines between gaps help nobody.
        let needed = if self.skipped > 0 { LINES.per_second as usize } else { 1 };
        if !self.lines.has(needed, now) {
            self.skipped += 1;
            return;
        }
        self.lines.take(1 + line.len() / BYTES_PER_LINE, now);
        self.report_skipped();
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        self.last_lines.push(text, self.level == Level::WARN);
        if !is_backtrace(text) {
            self.last_line.send_modify(|last| text.clone_into(last));
        }
        log_line(&self.room, text, self.level == Level::WARN);
    }

    fn report_skipped(&mut self) {
        let lines = std::mem::take(&mut self.skipped);
        if lines > 0 {
            let text = format!("… {lines} lines skipped: the room prints too much");
            self.last_lines.push(&text, true);
            log_line(&self.room, &text, true);
        }
    }
}

/// Logs what a room has printed.
pub(crate) fn log_line(room: &RoomId, text: &str, is_error: bool) {
    // The room's own log lines begin with their level, right-aligned.
    match text.trim_start().split_once(' ') {
        Some(("ERROR", text)) => tracing::error!(%room, "{text}"),
        Some(("WARN", text)) => tracing::warn!(%room, "{text}"),
        Some(("INFO", text)) => tracing::info!(%room, "{text}"),
        Some(("DEBUG", text)) => tracing::debug!(%room, "{text}"),
        Some(("TRACE", text)) => tracing::trace!(%room, "{text}"),
        _ if is_error => tracing::warn!(%room, "{text}"),
        _ => tracing::info!(%room, "{text}"),
    }
}

/// Whether this line only accompanies a panic's message: frames of a backtrace are indented.
fn is_backtrace(line: &str) -> bool {
    let starts = [" ", "\t", "note: ", "stack backtrace:", "skipping backtrace"];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}
