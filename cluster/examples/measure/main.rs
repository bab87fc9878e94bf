//! Measures what a room costs, next to the cheapest process there is, and what it costs to reach one,
//! next to a room with a port of its own. What is compared is measured in turns, in the same run:
//!
//! ```sh
//! cargo build --release -p cluster --features testing --bin game
//! cargo run --release -p cluster --example measure -- target/release/game
//! cargo run --release -p cluster --example measure -- target/release/server --enter 'create {"title":"x"}'
//! ```
//!
//! With `--enter` only what a room costs: no program but the game of the tests has rooms that only echo.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;
use tokio::time::timeout;

mod figures;
mod lobby;
mod rooms;
mod route;
mod routing;
mod seat;

/// Several times what it takes: whatever hangs, this ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures what a room costs, and what it costs to reach one.
#[derive(Debug, Parser)]
struct Measure {
    /// A release build of the game of the tests, or of yours.
    program: PathBuf,

    /// With what a player of yours opens a room and goes there, such as 'create {"title":"x"}'.
    #[arg(long, value_parser = event)]
    enter: Option<(String, Value)>,
}

// One thread: the load must leave the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
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
    timeout(PATIENCE, measured).await.context("too late")?
}

/// `play`, or `create {"title":"x"}`.
fn event(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, data) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), "{}"));
    let data = serde_json::from_str(data).with_context(|| format!("{data} is not JSON"))?;
    Ok((name.to_owned(), data))
}
