//! The lobby that is measured.

use std::path::Path;

use anyhow::{Context as _, ensure};
use cluster::testing::{LobbyProcess, Signal};

pub async fn start(program: &Path, flags: &[&str]) -> LobbyProcess {
    LobbyProcess::builder(program)
        // The load exceeds the default rate limits.
        .flags(&["--max-rooms", "1000", "--events-per-second", "1000000"])
        .flags(&["--max-connects-per-second", "1000000"])
        .flags(flags)
        // The usual log, and the process of each room.
        .env("RUST_LOG", "info,cluster::process::supervisor=debug")
        .start()
        .await
}

/// Stops it gracefully. Returns how many connections it has handed off and relayed.
pub async fn stop(mut lobby: LobbyProcess) -> anyhow::Result<(u64, u64)> {
    lobby.signal(Signal::TERM);
    ensure!(lobby.ended().await.success(), "the lobby did not stop in order");
    let last = lobby.logged("lobby stopped").await;
    let count = |name: &str| last[name].as_u64().with_context(|| format!("no {name}: {last}"));
    Ok((count("handed_off")?, count("relayed")?))
}
