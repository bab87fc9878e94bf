//! The wire contract, told by the official client: `contract.mjs` drives the program with
//! `socket.io-client` and says what differs; `client.mjs` does so with `cluster/web/cluster.js`, in Node, and
//! `throwing.mjs` where the page's own code or storage
//! fails; `words.mjs` says to it what no arena says.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use cluster::testing::TestLobby;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn the_official_client_finds_the_contract_kept() {
    let lobby = start_lobby().await;
    run("contract.mjs", &[&lobby.url]);
}

#[tokio::test]
async fn the_pages_client_plays_without_a_page_and_survives_every_kind_of_loss() {
    let lobby = start_lobby().await;
    run("client.mjs", &[&lobby.url]);
}

#[test]
fn the_pages_client_understands_all_that_may_be_said() {
    run("words.mjs", &[]);
}

#[tokio::test]
async fn a_page_whose_hooks_watchers_listeners_or_storage_throw_does_not_stand_still() {
    let lobby = start_lobby().await;
    run("throwing.mjs", &[&lobby.url]);
}

async fn start_lobby() -> TestLobby {
    let lobby = TestLobby::builder(env!("CARGO_BIN_EXE_server"));
    lobby.flags(&["--dev", "--seats", "8"]).start().await
}

fn run(script: &str, args: &[&str]) {
    let project = Path::new(PROJECT);
    assert!(
        project.join("node_modules/socket.io-client").is_dir(),
        "socket.io-client is missing: run `npm ci` in {PROJECT}"
    );
    let output = Command::new("node")
        .arg(project.join("tests/wire").join(script))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("node is missing: install Node.js 20 or newer");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} differs; the last lines above say where");
}
