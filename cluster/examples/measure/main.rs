//! Measures what a room costs, compared with the cheapest process there is, and what it costs to
//! reach one, compared with a bare Socket.IO server. What is compared is measured in alternating
//! rounds of one run:
//!
//! ```sh
//! cargo build --release -p cluster --features testing --bin game
//! cargo run --release -p cluster --example measure -- target/release/game
//! cargo run --release -p cluster --example measure -- target/release/server --enter 'create {"title":"x"}'
//! ```
//!
//! With `--enter` only what a room costs: only the tests' game has rooms that just echo.

use std::{path::PathBuf, time::Duration};

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

/// Several times as long as a run takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures what a room costs, and what it costs to reach one.
#[derive(Debug, Parser)]
struct Measure {
    /// A release build of the tests' game, or of yours.
    #[arg(required_unless_present = "bare")]
    program: Option<PathBuf>,

    /// Serves as the bare server instead.
    #[arg(long, hide = true)]
    bare: bool,

    /// The request that opens a room in your program, such as 'create {"title":"x"}'.
    #[arg(long, value_parser = event)]
    enter: Option<(String, Value)>,
}

// One thread: the load leaves the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Measure { program, bare, enter } = Measure::parse();
    let Some(program) = program.filter(|_| !bare) else {
        return bare::serve().await;
    };
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
