//! The wire contract, told by the official client: `contract.mjs` drives the program with
//! `socket.io-client` and says what differs.

mod lobby;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use lobby::Lobby;

#[test]
fn the_official_client_finds_the_contract_kept() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        project.join("node_modules/socket.io-client").is_dir(),
        "socket.io-client is missing: run `npm ci` in {}",
        project.display()
    );
    let lobby = Lobby::start(Path::new(env!("CARGO_BIN_EXE_cluster")), project, &[]).unwrap();
    let output = Command::new("node")
        .arg(project.join("tests/wire/contract.mjs"))
        .arg(&lobby.url)
        .stdin(Stdio::null())
        .output()
        .expect("node is missing: install Node.js 18 or newer");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the contract is broken; the last lines above say where");
}
