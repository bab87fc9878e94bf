//! Random faults for a lobby and its rooms, beside players who mean well, and a report of what came
//! of it:
//!
//! ```sh
//! cargo run --release -p cluster --example chaos -- target/release/server --minutes 1
//! ```
//!
//! `--help` says what else it can do.
//!
//! | file | idea |
//! |---|---|
//! | `storm` | the run, from the first player to the last |
//! | `faults`, `guests` | what is done to rooms, lobby and players; clients that do what no page does |
//! | `player`, `line` | somebody who means well, as the page does; connections |
//! | `lobby`, `log`, `kernel` | the lobby's process, what it says, what it holds |
//! | `book`, `report` | what has happened, and what it means |
//! | `figures`, `neighbours` | how soon everyone is back, and whether others notice: measured, not drawn |

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

mod book;
mod faults;
mod figures;
mod guests;
mod kernel;
mod line;
mod lobby;
mod log;
mod neighbours;
mod player;
mod report;
mod storm;

use book::Book;
use lobby::Lobby;

/// Injects random faults into a lobby and its rooms, and says whether everyone came back.
#[derive(Debug, Parser)]
pub struct Storm {
    /// The program to test, such as target/release/server.
    program: PathBuf,

    /// Measures instead how soon players are back. The program must be the game of the structure's
    /// tests.
    #[arg(long)]
    figures: bool,

    /// How players get into a room: an event of yours that they send to the lobby, and its data,
    /// such as 'play' or 'create {"title":"x"}'.
    #[arg(long, env = "CHAOS_ENTER", default_value = "play", value_parser = event)]
    enter: (String, Value),

    /// What they say in a room, once a second each: an event of yours and its data. Several: one of
    /// them.
    #[arg(long, env = "CHAOS_SAY", value_delimiter = '\n', value_parser = event)]
    say: Vec<(String, Value)>,

    /// Players who mean well.
    #[arg(long, env = "CHAOS_PLAYERS", default_value_t = 100)]
    players: usize,

    /// How long, without the calm before and after.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,

    /// Each of them is drawn at random.
    #[arg(long, default_value_t = 60.0)]
    faults_per_minute: f64,

    /// The same seed brings the same faults in the same order, though not at the same rooms and
    /// moments; by default a random one.
    #[arg(long, default_value_t = rand::random_range(0..1_000_000), hide_default_value = true)]
    seed: u64,

    /// Ends the lobby itself now and then, too, and starts it again with the same key.
    #[arg(long)]
    restarts: bool,

    /// Where the lobby's log goes; by default into the target folder.
    #[arg(long, default_value_os_t = default_log_file(), hide_default_value = true)]
    log_file: PathBuf,

    /// Flags for the lobby, such as `-- --seats 20`.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// What all players share.
pub struct World {
    url: String,
    seed: u64,
    enter: (String, Value),
    says: Vec<(String, Value)>,
    /// How often each player says something.
    beat: Duration,
    book: Book,
}

// One thread: the load must leave the other processors to what is tested.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let storm = Storm::parse();
    match run(&storm).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever ends this ends the lobby, too, and with it the rooms.
async fn run(storm: &Storm) -> anyhow::Result<bool> {
    ensure!(cfg!(target_os = "linux"), "this looks into /proc, which only Linux has");
    kernel::allow_many_files();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let running = async {
        match storm.figures {
            true => figures::measure(storm).await,
            false => storm::run(storm).await,
        }
    };
    tokio::select! {
        result = running => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("asked to stop")),
        _ = hang_up.recv() => Err(anyhow::anyhow!("the terminal is gone")),
    }
}

impl Storm {
    async fn start_lobby(&self) -> anyhow::Result<Lobby> {
        let most_rooms = self.players.max(100);
        let lobby = Lobby::start(&self.program, &self.flags, most_rooms, &self.log_file).await;
        lobby.with_context(|| format!("see {}", self.log_file.display()))
    }

    fn world(&self, lobby: &Lobby) -> World {
        World {
            url: lobby.url.clone(),
            seed: self.seed,
            enter: self.enter.clone(),
            says: self.say.clone(),
            beat: Duration::from_secs(1),
            book: Book::default(),
        }
    }
}

/// `play`, or `create {"title":"x"}`.
fn event(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, data) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), "{}"));
    let data = serde_json::from_str(data).with_context(|| format!("{data} is not JSON"))?;
    Ok((name.to_owned(), data))
}

/// In the target folder, two above this program.
fn default_log_file() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(PathBuf::new, |target| target.join("chaos.log"))
}
