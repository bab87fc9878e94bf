//! Logs: one line per event of a player's or a room's life. The lobby writes to stdout (`log_writer.rs`), in
//! one format for all; a room writes plain lines to its stderr, which the lobby repeats with the room's id
//! (`output.rs`).

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::VecDeque,
    io::{self, IsTerminal as _},
    panic,
    str::FromStr as _,
    sync::{Mutex, OnceLock},
};

use anyhow::Context as _;
use tokio::sync::broadcast;
use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{
    log_writer::{self, LastLines},
    settings::LogFormat,
};

/// Lines that a slow reader of the log may be behind; then it misses some.
const MAX_BEHIND: usize = 512;
/// Lines that somebody gets who begins to watch.
const RECENT: usize = 200;

/// The lobby's lines, for those who watch (development only).
static WATCHED: OnceLock<Watched> = OnceLock::new();

struct Watched {
    lines: broadcast::Sender<String>,
    recent: Mutex<VecDeque<String>>,
}

/// `RUST_LOG` such as `debug` or `info,app=trace`; without it, `info`.
fn filter() -> anyhow::Result<Targets> {
    match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => Targets::from_str(&text)
            .with_context(|| format!("RUST_LOG={text}: expected such as info,app=debug")),
        _ => Ok(Targets::new().with_default(Level::INFO)),
    }
}

/// For the lobby; with `watch`, lines can be read with [`watch`]. Keep what it returns until the end.
pub(crate) fn init_lobby(format: LogFormat, watch: bool) -> anyhow::Result<LastLines> {
    let (stdout, last_lines) = log_writer::start()?;
    let human = (format == LogFormat::Human).then(|| {
        let color = io::stdout().is_terminal();
        let layer = fmt::layer().with_target(false).with_ansi(color);
        layer.log_internal_errors(false).with_writer(stdout.clone())
    });
    let json = (format == LogFormat::Json).then(|| {
        let layer = fmt::layer().json().flatten_event(true);
        layer.log_internal_errors(false).with_writer(stdout)
    });
    let watched = watch.then(|| {
        let lines = broadcast::channel(MAX_BEHIND).0;
        let watched = WATCHED.get_or_init(|| Watched { lines, recent: Mutex::default() });
        let layer = fmt::layer().with_target(false).with_ansi(false);
        layer.log_internal_errors(false).with_writer(move || watched)
    });
    tracing_subscriber::registry()
        .with(human.with_filter(filter()?))
        .with(json.with_filter(filter()?))
        .with(watched.with_filter(filter()?))
        .try_init()
        .context("logging was set up already")?;
    panic::set_hook(Box::new(log_panic));
    Ok(last_lines)
}

/// Panics are lines of the log: stderr may be a terminal that is stopped, and writing there would wait for it.
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

/// The last lines, and those from now on; `None` where nobody may watch.
pub(crate) fn watch() -> Option<(Vec<String>, broadcast::Receiver<String>)> {
    let watched = WATCHED.get()?;
    let recent = watched.recent.lock().ok()?;
    Some((recent.iter().rev().cloned().collect(), watched.lines.subscribe()))
}

impl io::Write for &'static Watched {
    /// The formatter writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(&log_writer::indented(line)).trim_end().to_owned();
        if let Ok(mut recent) = self.recent.lock() {
            recent.truncate(RECENT - 1);
            recent.push_front(text.clone());
            let _ = self.lines.send(text);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
