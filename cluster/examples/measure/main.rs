//! Measures the cost of a room, compared with the cheapest process, and of the ways to reach one,
//! compared with a bare Socket.IO server. All of it is measured in one run, the ways to reach a
//! room in turns:
//!
//! ```sh
//! cargo build --release -p cluster --features testing --bin game
//! cargo run --release -p cluster --example measure -- target/release/game
//! cargo run --release -p cluster --example measure -- target/release/server \
//!   --enter 'create {"title":"x"}'
//! ```
//!
//! With `--enter` only the cost of a room: the rest needs the game of the tests, whose rooms echo.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;
use tokio::time::timeout;

mod bare;
mod figures;
mod lobby;
mod rooms;
mod route;
mod routing;
mod seat;

/// Several times the usual duration.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Measures the cost of a room and of the ways to reach one.
#[derive(Debug, Parser)]
struct Measure {
    /// A release build of the game of the tests, or of your game.
    program: PathBuf,

    /// The event and data with which a player opens a room and joins it, such as 'create
    /// {"title":"x"}'.
    #[arg(long, value_parser = event)]
    enter: Option<(String, Value)>,
}

// One thread: the load must leave the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if env::args_os().nth(1).is_some_and(|role| role == bare::ARGUMENT) {
        return bare::serve().await;
    }
    let Measure { program, enter } = Measure::parse();
    let measured = async {
        match &enter {
            Some((event, data)) => rooms::measure(&program, event, data).await,
            None => {
                rooms::measure(&program, "create", &Value::Null).await?;
                routing::measure(&program).await
            }
        }
    };
    timeout(TIMEOUT, measured).await.context("not done in time")?
}

/// `play`, or `create {"title":"x"}`.
fn event(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, data) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), "{}"));
    let data = serde_json::from_str(data).with_context(|| format!("{data} is not JSON"))?;
    Ok((name.to_owned(), data))
}
