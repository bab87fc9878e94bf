//! Logs: one line per event of a player's or a room's life. The lobby writes to stdout
//! (`writer.rs`), in one format for all; a room writes plain lines to its stderr, which the lobby
//! repeats with the room's id (`room_output.rs`).

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::VecDeque,
    io::{self, IsTerminal as _},
    panic,
    str::FromStr as _,
    sync::{Mutex, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    config::settings::LogFormat,
    logging::writer::{self, FlushGuard},
};

/// Lines that are kept for pages, which ask every second; one that is further behind misses some.
const MAX_RECENT: usize = 512;

/// The lobby's last lines, for pages (development only).
static RECENT: OnceLock<Mutex<RecentLines>> = OnceLock::new();

/// The last lines. Each has a number, one more than the line before it.
struct RecentLines {
    lines: VecDeque<String>,
    /// The number before the first line's: microseconds since 1970, so that those of a lobby that
    /// ran before are lower.
    start: u64,
    /// The newest line's number.
    last: u64,
}

/// Where the formatter writes lines for pages.
struct RecentWriter;

/// `RUST_LOG` such as `debug` or `info,app=trace`; without it, `info`.
fn filter() -> anyhow::Result<Targets> {
    match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => Targets::from_str(&text)
            .with_context(|| format!("RUST_LOG={text}: expected such as info,cluster=debug")),
        _ => Ok(Targets::new().with_default(Level::INFO)),
    }
}

/// For the lobby; with `recent`, its last lines can be read with [`recent_lines`]. Keep what it
/// returns until the end.
pub(crate) fn init_lobby(format: LogFormat, recent: bool) -> anyhow::Result<FlushGuard> {
    let (stdout, last_lines) = writer::start()?;
    let human = (format == LogFormat::Human).then(|| {
        let color = io::stdout().is_terminal();
        let layer = fmt::layer().with_target(false).with_ansi(color);
        layer.log_internal_errors(false).with_writer(stdout.clone())
    });
    let json = (format == LogFormat::Json).then(|| {
        let layer = fmt::layer().json().flatten_event(true);
        layer.log_internal_errors(false).with_writer(stdout)
    });
    let recent = recent.then(|| {
        RECENT.get_or_init(|| Mutex::new(RecentLines::new()));
        let layer = fmt::layer().with_target(false).with_ansi(false);
        layer.log_internal_errors(false).with_writer(|| RecentWriter)
    });
    tracing_subscriber::registry()
        .with(human.with_filter(filter()?))
        .with(json.with_filter(filter()?))
        .with(recent.with_filter(filter()?))
        .try_init()
        .context("logging was set up already")?;
    panic::set_hook(Box::new(log_panic));
    Ok(last_lines)
}

/// Panics are lines of the log: stderr may be a terminal that is stopped, and writing there would
/// wait for it.
fn log_panic(panic: &panic::PanicHookInfo) {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| tracing::field::display(backtrace));
    tracing::error!(backtrace, "{panic}");
}

/// For a room: the lobby adds the time and the room's id.
pub(crate) fn init_room() -> anyhow::Result<()> {
    let plain = fmt::layer().without_time().with_target(false).with_ansi(false);
    let plain = plain.log_internal_errors(false).with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(plain.with_filter(filter()?))
        .try_init()
        .context("logging was set up already")
}

/// The lines after that of this number, as far as they are kept, and the last line's number. All
/// that are kept for 0, and for a number of another lobby's. `None` outside development.
pub(crate) fn recent_lines(after: u64) -> Option<(Vec<String>, u64)> {
    let recent = RECENT.get()?.lock().ok()?;
    Some((recent.after(after), recent.last))
}

impl RecentLines {
    fn new() -> RecentLines {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = u64::try_from(now.as_micros()).unwrap_or_default();
        RecentLines { lines: VecDeque::new(), start, last: start }
    }

    fn push(&mut self, line: String) {
        self.lines.truncate(MAX_RECENT - 1);
        self.lines.push_front(line);
        self.last += 1;
    }

    fn after(&self, number: u64) -> Vec<String> {
        let is_ours = (self.start..=self.last).contains(&number);
        let new = self.last - if is_ours { number } else { self.start };
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        let kept = new.min(self.lines.len());
        let missed = (is_ours && new > kept).then(|| format!("… {} lines missed …", new - kept));
        missed.into_iter().chain(self.lines.iter().take(kept).rev().cloned()).collect()
    }
}

impl io::Write for RecentWriter {
    /// The formatter writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(&writer::indented(line)).trim_end().to_owned();
        if let Some(Ok(mut recent)) = RECENT.get().map(Mutex::lock) {
            recent.push(text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gets_each_line_once_and_is_told_how_many_it_has_missed() {
        let mut recent = RecentLines::new();
        let start = recent.last;
        assert_eq!(recent.after(0), [""; 0]);
        recent.push("one".into());
        recent.push("two".into());
        assert_eq!(recent.after(0), ["one", "two"]);
        assert_eq!(recent.after(start + 1), ["two"]);
        assert_eq!(recent.after(start + 2), [""; 0]);
        // Numbers of another lobby's.
        assert_eq!(recent.after(start - 1), ["one", "two"]);
        assert_eq!(recent.after(start + 3), ["one", "two"]);
        assert_eq!(recent.after(u64::MAX), ["one", "two"]);

        (0..MAX_RECENT).for_each(|line| recent.push(line.to_string()));
        let lines = recent.after(start + 1);
        assert_eq!(lines.len(), MAX_RECENT + 1);
        assert_eq!(lines[..2], ["… 1 lines missed …", "0"]);
        assert_eq!(recent.after(start + 2)[0], "0");
        assert_eq!(recent.after(0).len(), MAX_RECENT);
    }
}
