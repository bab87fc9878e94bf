//! Injects random faults into a lobby and its rooms while players play, and reports the effects:
//!
//! ```sh
//! cargo run -p cluster --example chaos -- target/debug/server --minutes 1
//! ```
//!
//! `--help` lists the options.
//!
//! | file | idea |
//! |---|---|
//! | `run` | the run, from the first player to the last |
//! | `faults`, `misbehaving_clients` | faults; clients that break the rules |
//! | `player` | a player who behaves as the page does |
//! | `lobby`, `hosts`, `log`, `kernel` | the lobby's process, those of hosts, its log, its resources |
//! | `record`, `report` | what happened, and what it means |
//! | `figures`, `neighbours` | measurements: recovery times, effects of noisy clients |

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use cluster::testing::allow_many_files;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

mod faults;
mod figures;
mod hosts;
mod kernel;
mod lobby;
mod log;
mod misbehaving_clients;
mod neighbours;
mod player;
mod record;
mod report;
mod run;

use lobby::Lobby;
use record::Record;

/// Injects random faults into a lobby and its rooms, and reports whether everyone came back.
#[derive(Debug, Parser)]
pub struct Options {
    /// The program to test, such as target/release/server.
    program: PathBuf,

    /// Measures instead how soon players are back. Needs the game of the structure's tests.
    #[arg(long)]
    figures: bool,

    /// The event and data with which players ask the lobby for a room, such as 'play' or 'create
    /// {"title":"x"}'.
    #[arg(long, env = "CHAOS_ENTER", default_value = "play", value_parser = event)]
    enter: (String, Value),

    /// An event and data that each player sends in a room once a second; one of them at random, if
    /// several are given.
    #[arg(long, env = "CHAOS_SAY", value_delimiter = '\n', value_parser = event)]
    say: Vec<(String, Value)>,

    /// Number of players.
    #[arg(long, env = "CHAOS_PLAYERS", default_value_t = 100)]
    players: usize,

    /// Duration of the faults in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,

    /// Average number of random faults per minute.
    #[arg(long, default_value_t = 60.0)]
    faults_per_minute: f64,

    /// Seed that determines the faults and their order, but not which rooms they hit and when.
    /// Random by default.
    #[arg(long, default_value_t = rand::random_range(0..1_000_000), hide_default_value = true)]
    seed: u64,

    /// Also kills, stops or reloads the lobby now and then. One that has ended is started again
    /// with the same key.
    #[arg(long)]
    restarts: bool,

    /// Rooms run on so many hosts, which are killed and stopped, too.
    #[arg(long, default_value_t = 0)]
    hosts: usize,

    /// File for the lobby's log. By default in the target folder.
    #[arg(long, default_value_os_t = default_log_file(), hide_default_value = true)]
    log_file: PathBuf,

    /// Flags for the lobby, such as `-- --seats 20`.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// Shared by all players.
pub struct Shared {
    url: String,
    seed: u64,
    enter: (String, Value),
    says: Vec<(String, Value)>,
    /// How often each player sends something.
    beat: Duration,
    record: Record,
}

// One thread: the load must leave the other processors to the cluster under test.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// However it ends, it ends the lobby and its rooms, too.
async fn run(options: &Options) -> anyhow::Result<bool> {
    ensure!(cfg!(target_os = "linux"), "chaos needs /proc, which only Linux has");
    allow_many_files();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let running = async {
        match options.figures {
            true => figures::measure(options).await,
            false => run::run(options).await,
        }
    };
    tokio::select! {
        result = running => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("asked to stop")),
        _ = hang_up.recv() => Err(anyhow::anyhow!("the terminal was closed")),
    }
}

impl Options {
    async fn start_lobby(&self) -> anyhow::Result<Lobby> {
        let most_rooms = self.players.max(100);
        let flags = &self.flags;
        let lobby =
            Lobby::start(&self.program, flags, most_rooms, self.hosts, &self.log_file).await;
        lobby.with_context(|| format!("see {}", self.log_file.display()))
    }

    fn shared(&self, lobby: &Lobby) -> Shared {
        Shared {
            url: lobby.url.clone(),
            seed: self.seed,
            enter: self.enter.clone(),
            says: self.say.clone(),
            beat: Duration::from_secs(1),
            record: Record::default(),
        }
    }
}

/// `play`, or `create {"title":"x"}`.
fn event(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, data) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), "{}"));
    let data = serde_json::from_str(data).with_context(|| format!("{data} is not JSON"))?;
    Ok((name.to_owned(), data))
}

/// `chaos.log` in the target folder.
fn default_log_file() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(PathBuf::new, |target| target.join("chaos.log"))
}
