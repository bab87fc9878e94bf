//! Logs: one line per event of a player's or a room's life. The lobby writes to stdout, in one
//! format for all; a room writes plain lines to its stderr, which the lobby repeats with the room's id.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _},
    str::FromStr as _,
    sync::{Mutex, OnceLock},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    sync::broadcast,
};
use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{settings::LogFormat, words::RoomId};

/// Longer lines of a room are cut into pieces of this size.
const MAX_LINE: u64 = 8 * 1024;
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

/// For the lobby; with `watch`, lines can be read with [`watch`].
pub(crate) fn init_lobby(format: LogFormat, watch: bool) -> anyhow::Result<()> {
    let color = io::stdout().is_terminal();
    let human =
        (format == LogFormat::Human).then(|| fmt::layer().with_target(false).with_ansi(color));
    let json = (format == LogFormat::Json).then(|| fmt::layer().json().flatten_event(true));
    let watched = watch.then(|| {
        let lines = broadcast::channel(MAX_BEHIND).0;
        let watched = WATCHED.get_or_init(|| Watched { lines, recent: Mutex::default() });
        fmt::layer().with_target(false).with_ansi(false).with_writer(move || watched)
    });
    tracing_subscriber::registry()
        .with(human.with_filter(filter()?))
        .with(json.with_filter(filter()?))
        .with(watched.with_filter(filter()?))
        .try_init()
        .context("logging was set up already")
}

/// For a room: the lobby adds the time and the room's id.
pub(crate) fn init_room() -> anyhow::Result<()> {
    let plain = fmt::layer().without_time().with_target(false).with_ansi(false);
    tracing_subscriber::registry()
        .with(plain.with_writer(io::stderr).with_filter(filter()?))
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
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
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

/// Repeats what a room writes, until it is gone. Lines without a level get `level`.
pub(crate) async fn repeat(room: RoomId, output: impl AsyncRead + Unpin, level: Level) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while matches!((&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await, Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let (level, text) = match text.trim_start().split_once(' ') {
            Some((word, rest)) if word.chars().all(|c| c.is_ascii_uppercase()) => {
                Level::from_str(word).map_or((level, text), |level| (level, rest))
            }
            _ => (level, text),
        };
        // The macros want a level that is known when the program is built.
        match level {
            Level::ERROR => tracing::error!(%room, "{text}"),
            Level::WARN => tracing::warn!(%room, "{text}"),
            Level::INFO => tracing::info!(%room, "{text}"),
            Level::DEBUG => tracing::debug!(%room, "{text}"),
            Level::TRACE => tracing::trace!(%room, "{text}"),
        }
        line.clear();
    }
}
