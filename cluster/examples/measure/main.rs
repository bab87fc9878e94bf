//! Measures what a room costs, next to the cheapest process there is, and what it costs to reach one,
//! next to a room with a port of its own. What is compared is measured in turns, in the same run:
//!
//! ```sh
//! cargo run --release --example measure
//! ```

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::time::timeout;

mod figures;
mod lobby;
mod rooms;
mod route;
mod routing;
mod seat;
#[path = "../../tests/cluster/socket_io.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod socket_io;

mod helpers {
    /// What the client waits with.
    pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
        let result = tokio::time::timeout(std::time::Duration::from_secs(20), future).await;
        result.unwrap_or_else(|_| panic!("{what}: too late"))
    }
}

/// Several times what it takes: whatever hangs, this ends.
const PATIENCE: Duration = Duration::from_secs(300);

// One thread: the load must leave the other processors to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    build()?;
    let measured = async {
        rooms::measure().await?;
        routing::measure().await
    };
    timeout(PATIENCE, measured).await.context("too late")?
}

/// The folder of the programs: `target/release`.
fn programs() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.ancestors().nth(2).context("not in target")?;
    Ok(profile.to_owned())
}

/// Cargo builds this program alone; the others may be missing, or older than the sources.
fn build() -> anyhow::Result<()> {
    let programs = programs()?;
    ensure!(programs.ends_with("release"), "only a release build is worth measuring");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--bins", "--example", "unruly", "--target-dir"])
        .arg(programs.parent().context("not in target")?)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(built.success(), "what is to be measured does not build");
    Ok(())
}
