//! What a room prints becomes lines of the lobby's log, with the room's id. However much a room
//! prints, the log stays readable and is written no faster than a disk takes it.

use std::{
    str::FromStr as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::Level;

use crate::{
    runtime::token_bucket::{Quota, TokenBucket},
    types::RoomId,
};

/// Longer lines are split.
const MAX_LINE: usize = 8 * 1024;
/// Lines of one stream that reach the log: 200 a second, bursts of 2,000. Each `LINE_SHARE` bytes
/// of a line count as one more line, so this is also 50 KB a second and bursts of 500 KB.
const LINES: Quota = Quota { per_second: 200.0, burst: 2000.0 };
const LINE_SHARE: usize = 256;
/// Bytes that are read in a second. A room that prints more blocks when its pipe is full.
const BYTES: Quota = Quota::new(1 << 20, 1);
/// How long skipped lines may go unreported.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// The task that logs one stream. It ends when all writers have closed the stream, or when this is
/// dropped.
pub(crate) struct Output {
    task: JoinHandle<()>,
    last_line: Arc<Mutex<String>>,
}

impl Output {
    /// Logs what a room writes. Lines without a level get `level`.
    pub fn log(
        room: RoomId,
        stream: impl AsyncRead + Unpin + Send + 'static,
        level: Level,
    ) -> Self {
        let last_line = Arc::new(Mutex::default());
        let budget = TokenBucket::new(LINES, Instant::now());
        let lines = Lines { room, level, last_line: last_line.clone(), budget, skipped: 0 };
        Output { task: tokio::spawn(lines.log(stream)), last_line }
    }

    /// Waits for the end of the stream, which may never come: a process that has left the room's
    /// process group may keep it open.
    pub async fn end(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// The last line so far that is neither empty nor part of a backtrace.
    pub fn last_line(&self) -> String {
        self.last_line.lock().map(|line| line.clone()).unwrap_or_default()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Lines {
    room: RoomId,
    level: Level,
    last_line: Arc<Mutex<String>>,
    budget: TokenBucket,
    /// Lines that were not logged and not reported yet.
    skipped: u64,
}

impl Lines {
    async fn log(mut self, stream: impl AsyncRead + Unpin) {
        let mut stream = BufReader::new(stream);
        let mut reading = TokenBucket::new(BYTES, Instant::now());
        let mut line = Vec::new();
        loop {
            let mut rest = (&mut stream).take((MAX_LINE - line.len()) as u64);
            let patience = if self.skipped > 0 { REPORT_AFTER } else { Duration::MAX };
            match timeout(patience, rest.read_until(b'\n', &mut line)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => break,
                Err(_) => {
                    self.report_skipped();
                    continue;
                }
            }
            let pause = reading.take(line.len(), Instant::now());
            self.line(&String::from_utf8_lossy(&line));
            line.clear();
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        self.report_skipped();
    }

    fn line(&mut self, line: &str) {
        let now = Instant::now();
        // After skipping, resume with a second's worth of lines instead of single lines with gaps
        // between them.
        let wanted = if self.skipped > 0 { LINES.per_second as usize } else { 1 };
        if !self.budget.has(wanted, now) {
            self.skipped += 1;
            return;
        }
        self.budget.take(1 + line.len() / LINE_SHARE, now);
        self.report_skipped();
        let line = line.trim_end();
        if !is_backtrace(line)
            && let Ok(mut last_line) = self.last_line.lock()
        {
            line.clone_into(&mut last_line);
        }
        let (level, text) = match line.trim_start().split_once(' ') {
            Some((word @ ("ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE"), rest)) => {
                (Level::from_str(word).unwrap_or(self.level), rest)
            }
            _ => (self.level, line),
        };
        let room = &self.room;
        // The macros need a constant level.
        match level {
            Level::ERROR => tracing::error!(%room, "{text}"),
            Level::WARN => tracing::warn!(%room, "{text}"),
            Level::INFO => tracing::info!(%room, "{text}"),
            Level::DEBUG => tracing::debug!(%room, "{text}"),
            Level::TRACE => tracing::trace!(%room, "{text}"),
        }
    }

    fn report_skipped(&mut self) {
        let lines = std::mem::take(&mut self.skipped);
        if lines > 0 {
            tracing::warn!(room = %self.room, "… {lines} lines skipped: the room prints too much");
        }
    }
}

/// Lines that say nothing by themselves: a backtrace follows the line that says what happened.
fn is_backtrace(line: &str) -> bool {
    let starts = [" ", "\t", "note: ", "stack backtrace:", "skipping backtrace"];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}
