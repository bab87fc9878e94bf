//! One log for the cluster. The lobby writes to stdout (`writer.rs`). A room writes plain lines to
//! its stderr, which the lobby copies with the room's id (`room_output.rs`).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::UNIX_EPOCH;
use std::{env, io, panic};

use anyhow::{Context as _, bail};
use tracing::Level;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::LogFormat;
use crate::logging::writer;
use crate::logging::writer::{EntryWriter, FlushGuard};

/// Lines kept for the page's log, which asks every second.
const MAX_RECENT: usize = 512;

/// The lobby's last lines, in development only.
static RECENT: OnceLock<Mutex<RecentLines>> = OnceLock::new();

/// The last lines, numbered consecutively.
struct RecentLines {
    lines: VecDeque<String>,
    /// One less than the number of the first line. It is the start in microseconds since 1970, so
    /// that a restarted lobby does not use a number again.
    start: u64,
    /// The newest line's number.
    last: u64,
}

/// `RUST_LOG`, such as `debug` or `info,app=trace`; `info` by default.
fn filter() -> anyhow::Result<Targets> {
    let text = env::var_os("RUST_LOG").unwrap_or_default();
    let text = text.to_str().context("RUST_LOG is not UTF-8")?.replace(char::is_whitespace, "");
    let text = text.trim_matches(',');
    if text.is_empty() {
        return Ok(Targets::new().with_default(Level::INFO));
    }
    // The parser would take it for a module, and silence all others.
    let is_module = |word: &&str| !word.contains('=') && word.parse::<LevelFilter>().is_err();
    if let Some(word) = text.split(',').find(is_module) {
        bail!(
            "RUST_LOG={text}: '{word}' is none of off, error, warn, info, debug and trace; for the \
             level of one module write info,{word}=debug"
        );
    }
    text.parse().with_context(|| format!("RUST_LOG={text} is no filter such as info,cluster=debug"))
}

/// Whether the log may have colors: in a terminal, unless `NO_COLOR` or `TERM=dumb` is set.
fn has_colors() -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !no_color && !is_dumb
}

/// Sets up logging in the lobby; with `recent`, [`recent_lines`] has its last lines. Keep the guard
/// until the process ends.
pub(crate) fn init_lobby(format: LogFormat, recent: bool) -> anyhow::Result<FlushGuard> {
    let (log, guard) = writer::start()?;
    let stdout = fmt::layer().log_internal_errors(false).with_writer(move || {
        let log = log.clone();
        EntryWriter(move |entry| log.push(entry))
    });
    let stdout = match format {
        LogFormat::Human => {
            stdout.with_target(false).with_ansi(has_colors()).fmt_fields(fields()).boxed()
        }
        LogFormat::Json => stdout.json().flatten_event(true).boxed(),
    };
    let recent = recent.then(|| {
        RECENT.get_or_init(|| Mutex::new(RecentLines::new()));
        let layer = fmt::layer().with_target(false).with_ansi(false).fmt_fields(fields());
        layer.log_internal_errors(false).with_writer(|| EntryWriter(push_recent))
    });
    tracing_subscriber::registry()
        .with(stdout)
        .with(recent)
        .with(filter()?)
        .try_init()
        .context("logging is already set up")?;
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// Writes the message and the fields of an entry. Control characters are escaped: the library does
/// so only in messages, and players' text is in fields, too.
fn fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    let write_field = |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        if field.name() != "message" {
            write!(writer, "{field}=")?;
        }
        let keeps_lines = field.name() == "backtrace";
        format!("{value:?}").chars().try_for_each(|char| match char {
            '\n' if keeps_lines => writer.write_char(char),
            char if char.is_control() => write!(writer, "{}", char.escape_default()),
            char => writer.write_char(char),
        })
    };
    debug_fn(write_field).delimited(" ")
}

/// Logs a panic instead of printing it: a write to stderr would block if that is a stopped
/// terminal.
fn log_panic(panic: &panic::PanicHookInfo) {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| tracing::field::display(backtrace));
    tracing::error!(backtrace, "{panic}");
}

/// Sets up logging in a room, on stderr. The lobby adds the time and the room's id.
pub(crate) fn init_room() -> anyhow::Result<()> {
    let plain = fmt::layer().without_time().with_target(false).fmt_fields(fields());
    let print = |entry: String| drop(io::stderr().write_all((entry + "\n").as_bytes()));
    tracing_subscriber::registry()
        .with(
            plain
                .with_ansi(false)
                .log_internal_errors(false)
                .with_writer(move || EntryWriter(print)),
        )
        .with(filter()?)
        .try_init()
        .context("logging is already set up")?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The kept lines that follow line number `after`, and the numbers of the lobby's start and of the
/// newest line. If `after` is 0, or no number of this lobby's, all kept lines. `None` outside
/// development.
pub(crate) fn recent_lines(after: u64) -> Option<(Vec<String>, u64, u64)> {
    let recent = RECENT.get()?.lock().ok()?;
    Some((recent.after(after), recent.start, recent.last))
}

impl RecentLines {
    fn new() -> RecentLines {
        let start = UNIX_EPOCH.elapsed().map_or(0, |now| now.as_micros() as u64);
        RecentLines { lines: VecDeque::new(), start, last: start }
    }

    fn push(&mut self, line: String) {
        if self.lines.len() == MAX_RECENT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.last += 1;
    }

    fn after(&self, number: u64) -> Vec<String> {
        let is_known = (self.start..=self.last).contains(&number);
        let new = (self.last - if is_known { number } else { self.start }) as usize;
        let missed = new.saturating_sub(self.lines.len());
        let notice = (is_known && missed > 0).then(|| format!("… {missed} lines missed …"));
        let unseen = self.lines.iter().skip(self.lines.len().saturating_sub(new));
        notice.into_iter().chain(unseen.cloned()).collect()
    }
}

fn push_recent(entry: String) {
    if let Some(Ok(mut recent)) = RECENT.get().map(Mutex::lock) {
        recent.push(entry);
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
        // Numbers of another lobby.
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
