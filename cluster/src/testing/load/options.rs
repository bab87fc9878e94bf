//! The flags of a load test.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::threshold::Threshold;

/// Load test: bots register, play, speak, lose their connections and return. Ctrl-C ends it early,
/// with the figures so far.
#[derive(Debug, Parser)]
#[command(after_help = "Exit status: 0, or 1 if a threshold is crossed or the test cannot be run.")]
pub(super) struct Options {
    /// Number of players.
    #[arg(long, default_value_t = 100)]
    pub players: usize,

    /// Number of rooms: sets the seats of a room so that the players fill them. By default rooms
    /// have the seats that the game gives them.
    #[arg(long, conflicts_with = "url", value_parser = clap::value_parser!(u32).range(1..))]
    pub rooms: Option<u32>,

    /// Duration, after all players have come.
    #[arg(long = "for", default_value = "30s", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// The players come one after the other within this time.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub ramp_up: Duration,

    /// Each player loses the connection about this often, and returns; `0s` for never.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub drop_every: Duration,

    /// What must be true in the end, such as `join.p99<50ms`, `errors.total<1` or
    /// `deliveries.per_second>1000`: a figure of the JSON file; times are in ms. May be repeated.
    #[arg(long)]
    pub threshold: Vec<Threshold>,

    /// Writes the figures to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// A running lobby, such as http://127.0.0.1:3000. By default the test starts one of its own,
    /// on a free port.
    #[arg(long)]
    pub url: Option<String>,

    /// The process of that lobby, if it runs on this machine: its memory and processor time, and
    /// that of its rooms, are measured, too.
    #[arg(long, requires = "url")]
    pub pid: Option<i32>,

    /// Flags for the lobby, such as `-- --room-memory 64m`.
    #[arg(last = true, conflicts_with = "url")]
    pub flags: Vec<String>,
}

impl Options {
    /// The flags of the lobby: limits that let all players in, then the user's own.
    pub fn lobby_flags(&self) -> Vec<String> {
        let rooms = self.players.max(100).to_string();
        let connections = (2 * self.players + 1000).max(10_000).to_string();
        let mut flags = vec!["--max-rooms", &rooms, "--max-connections", &connections];
        let seats =
            self.rooms.map(|rooms| self.players.div_ceil(rooms as usize).max(1).to_string());
        if let Some(seats) = &seats {
            flags.extend(["--seats", seats]);
        }
        flags.into_iter().map(str::to_owned).chain(self.flags.iter().cloned()).collect()
    }
}
