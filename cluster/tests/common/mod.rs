//! Shared by the structure's tests: the game, and raw HTTP.

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::testing;
use cluster::testing::{Client, LobbyBuilder, LobbyProcess, TestFolder, TestPlayer};
use serde_json::{Value, json};

pub mod hosts;
pub mod net_ns;
pub mod raw;
pub mod wire;

/// For tests that exceed the default rate limits.
pub const NO_RATE_LIMITS: [&str; 4] =
    ["--events-per-second", "1000000", "--max-connects-per-second", "1000000"];

/// The folder of the game's page.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/game");

/// The path of the game's program.
pub fn game() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_game"))
}

/// A command that runs in the game's folder.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = testing::command(program);
    command.current_dir(FOLDER);
    command
}

/// Builds a lobby of the game, or of another program.
pub fn builder(program: &Path) -> LobbyBuilder {
    LobbyProcess::builder(program).working_dir(Path::new(FOLDER))
}

/// Starts the game.
pub async fn start_game(flags: &[&str]) -> LobbyProcess {
    start_game_with(flags, &[]).await
}

/// Starts the lobby of `game/features/`, which has all that a lobby can have.
pub async fn start_features(flags: &[&str]) -> LobbyProcess {
    features(flags).start().await
}

/// Builds it.
pub fn features(flags: &[&str]) -> LobbyBuilder {
    builder(game()).flags(flags).env("FEATURES", "1").env("CLUSTER_DEV", "false")
}

/// Opens an arena of `game/features/` with these options, and joins it.
pub async fn enter_arena(player: &mut TestPlayer, options: Value) -> (Value, Client) {
    let room = player.ask("arena", json!({ "options": options })).await.expect("a room");
    let mut client = player.enter("join", json!({ "room": room })).await;
    client.event("joined").await;
    (room, client)
}

/// The same for one more player.
pub async fn enter_room(player: &mut TestPlayer, room: &Value) -> Client {
    let mut client = player.enter("join", json!({ "room": room })).await;
    client.event("joined").await;
    client
}

/// Starts the game with these environment variables; an empty one is removed.
pub async fn start_game_with(flags: &[&str], environment: &[(&str, &str)]) -> LobbyProcess {
    let builder = builder(game()).flags(flags);
    environment
        .iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value))
        .start()
        .await
}

/// Makes a shell script that anyone may run. Another process writes it: a child that a test starts
/// meanwhile would inherit our descriptor, and a file that is open for writing cannot be run.
pub fn script(folder: &TestFolder, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
    let written = command("sh").args(["-c", write]).arg(&path).arg(text).status();
    assert!(written.expect("a shell").success());
    path
}

/// Starts the game with a limit of open files.
pub async fn start_game_with_open_files(limit: u32, flags: &[&str]) -> LobbyProcess {
    let folder = TestFolder::new();
    let text = format!("ulimit -n {limit}\nexec '{}' \"$@\"", game().display());
    builder(&script(&folder, "limited", &text)).flags(flags).folder(&folder).start().await
}
