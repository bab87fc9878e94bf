//! The static program, by the command in `cluster/docs/operate.md`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cluster::testing::{LobbyProcess, Pid, private_kib};
use serde_json::json;

/// The program, built by the documented command.
pub fn static_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(repository.join("cluster/docs/operate.md")).expect("a file");
    let mut lines = document.lines();
    let command = lines.find(|line| line.starts_with("RUSTFLAGS=")).expect("the command");
    // This test is TARGET/PROFILE/deps/NAME.
    let test = env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("a target folder");
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(repository).env("CARGO_TARGET_DIR", target);
    assert!(shell.status().expect("a shell").success(), "it does not build");
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().expect("rustc runs");
    let host = String::from_utf8(host.stdout).expect("text");
    target.join(host.trim()).join("dist/server")
}

/// A player plays. Returns the libraries that the room has loaded, and its private memory in KiB.
async fn play(program: &Path) -> (usize, u64) {
    let lobby = LobbyProcess::start(program, &[]).await;
    let mut ann = lobby.player("Ann").await.enter("play", json!({})).await;
    let room = ann.event("joined").await["room"].take();
    let room = lobby.process_of(&room).await;
    let maps = format!("/proc/{}/maps", Pid::as_raw(Some(room)));
    let maps = fs::read_to_string(maps).expect("the room runs");
    (maps.matches(".so").count(), private_kib(room).expect("Linux"))
}

#[tokio::test]
async fn its_rooms_load_no_library_and_take_less_memory() {
    let (libraries, usual) = play(Path::new(env!("CARGO_BIN_EXE_server"))).await;
    assert_ne!(libraries, 0, "there is something to compare with");
    let (libraries, small) = play(static_program()).await;
    assert_eq!(libraries, 0);
    assert!(4 * small < 3 * usual, "{small} KiB and {usual} KiB");
}
