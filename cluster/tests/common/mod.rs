//! What the structure's tests share beside `cluster::testing`: the game, and HTTP below Socket.IO.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use cluster::testing::{self, LobbyBuilder, TestFolder, TestLobby};

pub mod raw;

/// For tests that say more, and come back more often, than a public game allows.
pub const NO_RATE_LIMITS: [&str; 4] =
    ["--events-per-second", "1000000", "--max-connects-per-second", "1000000"];

/// Where the game's page is.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/game");

/// The program of the tests.
pub fn game() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_game"))
}

/// A program that runs where the game's page is.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = testing::command(program);
    command.current_dir(FOLDER);
    command
}

/// The game, or another program that is one.
pub fn builder(program: &Path) -> LobbyBuilder {
    TestLobby::builder(program).working_dir(Path::new(FOLDER))
}

/// Starts the game.
pub async fn start_game(flags: &[&str]) -> TestLobby {
    start_game_with(flags, &[]).await
}

/// The same with something in its environment; what is empty is taken out of it.
pub async fn start_game_with(flags: &[&str], environment: &[(&str, &str)]) -> TestLobby {
    let builder = builder(game()).flags(flags);
    environment
        .iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value))
        .start()
        .await
}

/// The same with so many open files at most.
pub async fn start_game_with_open_files(limit: u32, flags: &[&str]) -> TestLobby {
    let folder = TestFolder::new();
    let script = folder.path().join("limited");
    let text = format!("#!/bin/sh\nulimit -n {limit}\nexec '{}' \"$@\"\n", game().display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("our script");
    builder(&script).flags(flags).folder(&folder).start().await
}
