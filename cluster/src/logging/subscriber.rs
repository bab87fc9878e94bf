//! One log for the cluster. The lobby writes to stdout (`writer.rs`). A room writes plain lines to
//! its stderr, which the lobby copies with the room's id (`room_output.rs`).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock};
use std::time::UNIX_EPOCH;
use std::{env, io, panic};

use anyhow::{Context as _, bail};
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::LogFormat;
use crate::logging::writer::{self, EntryWriter, FlushGuard};

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
    let text = Some(text.trim_matches(',')).filter(|text| !text.is_empty()).unwrap_or("info");
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
    let (push, guard) = writer::start()?;
    let stdout = move || EntryWriter(push.clone());
    let mut layers = vec![match format {
        LogFormat::Human => text().with_ansi(has_colors()).with_writer(stdout).boxed(),
        LogFormat::Json => {
            let json = fmt::layer().json().flatten_event(true);
            json.log_internal_errors(false).with_writer(stdout).boxed()
        }
    }];
    if recent {
        let recent = RECENT.get_or_init(|| Mutex::new(RecentLines::new()));
        let push = |entry| drop(recent.lock().map(|mut recent| recent.push(entry)));
        layers.push(text().with_writer(move || EntryWriter(push)).boxed());
    }
    init(layers)?;
    Ok(guard)
}

/// Sets up logging in a room, on stderr. The lobby adds the time and the room's id.
pub(crate) fn init_room() -> anyhow::Result<()> {
    let print = |entry: String| drop(io::stderr().write_all((entry + "\n").as_bytes()));
    init(text().without_time().with_writer(move || EntryWriter(print)))
}

fn init(log: impl Layer<Registry> + Send + Sync) -> anyhow::Result<()> {
    let log = tracing_subscriber::registry().with(log).with(filter()?);
    log.try_init().context("logging is already set up")?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Lines of text, without colors.
fn text<S>() -> fmt::Layer<S, impl for<'a> FormatFields<'a> + Send + Sync + 'static> {
    let layer = fmt::layer().with_target(false).with_ansi(false).log_internal_errors(false);
    layer.fmt_fields(debug_fn(write_field).delimited(" "))
}

/// Writes the message or a field of an entry. Control characters are escaped: the library does so
/// only in messages, and players' text is in fields, too.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        write!(writer, "{field}=")?;
    }
    let keeps_lines = field.name() == "backtrace";
    format!("{value:?}").chars().try_for_each(|char| match char {
        '\n' if keeps_lines => writer.write_char(char),
        char if char.is_control() => write!(writer, "{}", char.escape_default()),
        char => writer.write_char(char),
    })
}

/// Logs a panic instead of printing it: a write to stderr would block if that is a stopped
/// terminal.
fn log_panic(panic: &panic::PanicHookInfo) {
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| tracing::field::display(backtrace));
    tracing::error!(backtrace, "{panic}");
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
