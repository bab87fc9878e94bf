//! What a room prints becomes lines of the lobby's log, with the room's id: so many that a log can be read, and
//! no faster than a disk takes it, however much a room prints.

use std::{
    str::FromStr as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::Level;

use crate::{
    runtime::token_bucket::{Quota, TokenBucket},
    types::RoomId,
};

/// Longer lines are cut into pieces of this size.
const MAX_LINE: usize = 8 * 1024;
/// What one stream of a room may have in the log in a second, and at once. Every `SHARE` bytes of a line count as
/// a line, so that this is also 50 KB and 500 KB.
const LINES: Quota = Quota { per_second: 200.0, burst: 2000.0 };
const SHARE: usize = 256;
/// Bytes that are read in a second, and at once; a room that prints more waits when its pipe is full.
const BYTES: Quota = Quota::new(1 << 20, 1);
/// How long lines may be missing without a word about it.
const SILENCE: Duration = Duration::from_secs(1);

/// The task that repeats one stream. It ends when nobody holds the stream's other end, or at the latest with this.
pub(crate) struct Output {
    task: JoinHandle<()>,
    last: Arc<Mutex<String>>,
}

impl Output {
    /// Repeats what a room writes there. Lines without a level get `level`.
    pub fn repeat(
        room: RoomId,
        stream: impl AsyncRead + Unpin + Send + 'static,
        level: Level,
    ) -> Self {
        let last = Arc::new(Mutex::default());
        let lines = Lines {
            room,
            level,
            last: last.clone(),
            budget: TokenBucket::new(LINES, Instant::now()),
            skipped: 0,
        };
        Output { task: tokio::spawn(lines.repeat(stream)), last }
    }

    /// Waits until all is repeated, which may never be: a process that has left the room's group may
    /// hold the stream.
    pub async fn end(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// The last line so far that says something.
    pub fn last_line(&self) -> String {
        self.last.lock().map(|last| last.clone()).unwrap_or_default()
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
    last: Arc<Mutex<String>>,
    budget: TokenBucket,
    /// Lines that are not in the log, since the last word about it.
    skipped: u64,
}

impl Lines {
    async fn repeat(mut self, mut stream: impl AsyncRead + Unpin) {
        let mut reading = TokenBucket::new(BYTES, Instant::now());
        let mut chunk = [0; MAX_LINE];
        let mut line = Vec::new();
        loop {
            let patience = if self.skipped > 0 { SILENCE } else { Duration::MAX };
            let read = match timeout(patience, stream.read(&mut chunk)).await {
                Ok(Ok(count @ 1..)) => count,
                Ok(_) => break,
                Err(_) => {
                    self.confess();
                    continue;
                }
            };
            for piece in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                if line.len() + piece.len() > MAX_LINE {
                    self.line(&line);
                    line.clear();
                }
                line.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    self.line(&line);
                    line.clear();
                }
            }
            sleep(reading.take(read, Instant::now())).await;
        }
        if !line.is_empty() {
            self.line(&line);
        }
        self.confess();
    }

    fn line(&mut self, line: &[u8]) {
        let now = Instant::now();
        // Once there was too much, it goes on when a second's worth may be said again: not in single lines
        // with a gap before each.
        let wanted = if self.skipped > 0 { LINES.per_second as usize } else { 1 };
        if !self.budget.has(wanted, now) {
            self.skipped += 1;
            return;
        }
        self.budget.take(1 + line.len() / SHARE, now);
        self.confess();
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        // What a backtrace consists of follows the line that says what has on_notice.
        let what = !text.is_empty() && !text.starts_with([' ', '\t']);
        if what
            && !["note: ", "stack backtrace:", "skipping backtrace"]
                .iter()
                .any(|start| text.starts_with(start))
            && let Ok(mut last) = self.last.lock()
        {
            text.clone_into(&mut last);
        }
        let (level, text) = match text.trim_start().split_once(' ') {
            Some((word, rest)) if word.chars().all(|c| c.is_ascii_uppercase()) => {
                Level::from_str(word).map_or((self.level, text), |level| (level, rest))
            }
            _ => (self.level, text),
        };
        let room = &self.room;
        // The macros want a level that is known when the program is built.
        match level {
            Level::ERROR => tracing::error!(%room, "{text}"),
            Level::WARN => tracing::warn!(%room, "{text}"),
            Level::INFO => tracing::info!(%room, "{text}"),
            Level::DEBUG => tracing::debug!(%room, "{text}"),
            Level::TRACE => tracing::trace!(%room, "{text}"),
        }
    }

    fn confess(&mut self) {
        let lines = std::mem::take(&mut self.skipped);
        if lines > 0 {
            tracing::warn!(room = %self.room, "… {lines} lines skipped: the room prints too much");
        }
    }
}
