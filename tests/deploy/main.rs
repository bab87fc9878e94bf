//! The files in `deploy/`, checked by the tools that read them: hadolint, systemd and promtool.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::testing::{LobbyProcess, TestFolder};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(REPOSITORY).join(path)).expect("a file")
}

/// The output of a program, which must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    let said = run(Command::new("hadolint").arg("deploy/Dockerfile").current_dir(REPOSITORY));
    assert_eq!(said, "");
}

/// The image for the build has the oldest Rust that the project supports.
#[test]
fn the_dockerfile_builds_with_the_oldest_rust() {
    let manifest = read("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let rust = rust.expect("a version").trim_matches('"');
    assert!(read("deploy/Dockerfile").contains(&format!("FROM rust:{rust}-slim-")));
}

/// systemd finds no error in the unit, and rates it "OK": at most 2 of 10.
#[test]
fn the_unit_is_right_and_hardened() {
    let unit = read("deploy/lobby.service");
    let folder = TestFolder::new();
    let file = folder.path().join("lobby.service");
    // `verify` wants a program that is there.
    let program = env!("CARGO_BIN_EXE_server");
    fs::write(&file, unit.replace("/opt/game/server", program)).expect("written");
    let said = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file));
    assert!(!said.contains("lobby.service"), "{said}");
    let security = ["security", "--offline=true", "--threshold=20"];
    let said = run(Command::new("systemd-analyze").args(security).arg(&file));
    assert!(said.contains("OK"), "{said}");
    // Else rooms could not limit their memory, and one without memory would end the lobby.
    assert!(!unit.lines().any(|line| line.starts_with("SystemCallFilter=~@resources")));
    assert!(unit.contains("\nOOMPolicy=continue\n"));
    assert!(unit.contains("\nExecReload=sh -c 'kill -HUP $MAINPID'\n"));
}

/// The time until SIGKILL is longer than the drain. Both are in minutes.
#[test]
fn the_drain_fits_into_the_time_to_stop() {
    let value = |text: &str, name: &str| {
        let rest = text.split_once(name).unwrap_or_else(|| panic!("{name}")).1;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let unit: String =
            rest[number.len()..].chars().take_while(char::is_ascii_alphabetic).collect();
        assert!(["m", "min"].contains(&&*unit), "{name}{number}{unit}");
        number.parse::<u32>().expect("a number")
    };
    let (unit, compose) = (read("deploy/lobby.service"), read("deploy/compose.yaml"));
    assert!(value(&unit, "TimeoutStopSec=") > value(&unit, "CLUSTER_DRAIN_TIMEOUT="));
    for compose in [compose, read("cluster/deploy/compose.hosts.yaml")] {
        assert!(
            value(&compose, "stop_grace_period: ") > value(&compose, "CLUSTER_DRAIN_TIMEOUT: ")
        );
    }
    let pods = read("cluster/deploy/kubernetes.yaml");
    let seconds = pods.split_once("terminationGracePeriodSeconds: ").expect("of hosts").1;
    let seconds = seconds.split(' ').next().and_then(|text| text.parse::<u32>().ok());
    assert!(seconds > Some(60 * value(&pods, "CLUSTER_DRAIN_TIMEOUT, value: ")));
}

#[test]
fn the_files_for_kubernetes_are_valid() {
    let packages = Path::new(REPOSITORY).join("target/tools/python");
    let mut validate = Command::new("kubernetes-validate");
    validate.env("PYTHONPATH", packages).arg("--strict").arg("cluster/deploy/kubernetes.yaml");
    let said = run(validate.current_dir(REPOSITORY));
    assert_eq!(said.matches(" passed ").count(), 7, "{said}");
}

#[test]
fn what_the_files_set_are_settings() {
    let help = run(Command::new(env!("CARGO_BIN_EXE_server")).arg("--help"));
    for path in [
        "deploy/compose.yaml",
        "cluster/deploy/compose.hosts.yaml",
        "cluster/deploy/kubernetes.yaml",
    ] {
        for name in read(path).split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let known = help.contains(&format!("[env: {name}="));
            assert!(known || !name.starts_with("CLUSTER_"), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn promtool_finds_nothing_in_the_metrics() {
    let lobby =
        LobbyProcess::start(env!("CARGO_BIN_EXE_server"), &["--admin", "127.0.0.1:0"]).await;
    let address = lobby.logged("admin ready").await["address"].as_str().expect("text").to_owned();
    let answer = run(Command::new("curl")
        .args(["--silent", "--fail"])
        .arg(format!("http://{address}/metrics")));
    let folder = TestFolder::new();
    fs::write(folder.path().join("metrics"), answer).expect("written");
    let metrics = fs::File::open(folder.path().join("metrics")).expect("a file");
    let said = run(Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::from(metrics)));
    assert_eq!(said, "");
}
