//! The wire contract. `contract.mjs` checks it with `socket.io-client`. `client.mjs` plays with
//! `cluster/web/cluster.js` in Node; in `throwing.mjs` the page's own code or storage fails.
//! `messages.mjs` tests that client without a server. `client.py` plays with python-socketio.

use std::path::Path;
use std::process::{Command, Stdio};

use cluster::testing::LobbyProcess;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn the_official_client_confirms_the_wire_contract() {
    let lobby = start_lobby().await;
    run_in_node("contract.mjs", &[&lobby.url]);
}

#[tokio::test]
async fn cluster_js_plays_in_node_and_survives_every_kind_of_disconnect() {
    let lobby = start_lobby().await;
    run_in_node("client.mjs", &[&lobby.url]);
}

#[test]
fn cluster_js_handles_every_message() {
    run_in_node("messages.mjs", &[]);
}

#[tokio::test]
async fn cluster_js_survives_exceptions_in_hooks_watchers_listeners_and_storage() {
    let lobby = start_lobby().await;
    run_in_node("throwing.mjs", &[&lobby.url]);
}

#[tokio::test]
async fn python_socketio_plays_with_its_blocking_and_its_asyncio_client() {
    let lobby = start_lobby().await;
    // Where `tests/all.sh` installs it.
    let packages = Path::new(PROJECT).join("target/tools/python");
    assert!(
        packages.join("socketio").is_dir(),
        "python-socketio is missing in {}: `tests/all.sh` installs it",
        packages.display()
    );
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    run(&mut python, "client.py", &[&lobby.url]);
}

async fn start_lobby() -> LobbyProcess {
    let lobby = LobbyProcess::builder(env!("CARGO_BIN_EXE_server"));
    lobby.flags(&["--dev", "--seats", "8"]).start().await
}

fn run_in_node(script: &str, args: &[&str]) {
    assert!(
        Path::new(PROJECT).join("node_modules/socket.io-client").is_dir(),
        "socket.io-client is missing: run `npm ci` in {PROJECT}"
    );
    assert!(
        Command::new("node").arg("--version").output().is_ok(),
        "node is missing: install Node.js 20 or newer"
    );
    run(&mut Command::new("node"), script, args);
}

fn run(program: &mut Command, script: &str, args: &[&str]) {
    let output = program
        .arg(Path::new(PROJECT).join("tests/wire").join(script))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program is there");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} differs; the last lines above say where");
}
