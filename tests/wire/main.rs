//! The wire contract. `contract.mjs` checks it with `socket.io-client`. `client.mjs` plays with
//! `cluster/web/cluster.js` in Node; in `throwing.mjs` the page's own code or storage fails.
//! `messages.mjs` tests that client without a server.

use std::path::Path;
use std::process::{Command, Stdio};

use cluster::testing::TestLobby;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn the_official_client_confirms_the_wire_contract() {
    let lobby = start_lobby().await;
    run("contract.mjs", &[&lobby.url]);
}

#[tokio::test]
async fn cluster_js_plays_in_node_and_survives_every_kind_of_disconnect() {
    let lobby = start_lobby().await;
    run("client.mjs", &[&lobby.url]);
}

#[test]
fn cluster_js_handles_every_message() {
    run("messages.mjs", &[]);
}

#[tokio::test]
async fn cluster_js_survives_exceptions_in_hooks_watchers_listeners_and_storage() {
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
