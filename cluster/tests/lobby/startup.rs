//! Startup errors: one clear line on stderr and a nonzero exit status.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Output, Stdio};

#[cfg(target_os = "linux")]
use cluster::testing::ProcessStat;
use cluster::testing::{LobbyProcess, TestFolder, TestPlayer, tcp};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};
use serde_json::json;

use crate::common::{command, game, start_game, start_game_with};

/// Runs the program until it exits.
fn run(flags: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = command(game());
    command.args(flags).envs(environment.iter().copied()).output().expect("the program starts")
}

/// Expects the program to exit with one line on stderr that contains `because`.
fn refuses(flags: &[&str], environment: &[(&str, &str)], because: &str) {
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key").display().to_string();
    let key = if flags.contains(&"--key-file") { vec![] } else { vec!["--key-file", &key] };
    let output = run(&[flags, &key].concat(), environment);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{flags:?} {environment:?}");
    let (first, rest) = text.split_once('\n').expect("a line");
    assert!(first.starts_with("error: ") && first.contains(because), "{text}");
    // An error in a flag is followed by its usage.
    assert!(rest.is_empty() || rest.contains("--help"), "{text}");
}

#[test]
fn a_taken_port_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    refuses(&["--port", &port], &[], &format!("cannot listen on 127.0.0.1:{port}"));
    refuses(&["--port", &port], &[], "set a free --port above 1023, or another --host");
}

#[test]
fn a_bad_flag_or_variable_is_refused() {
    refuses(&["--nonsense"], &[], "--nonsense");
    refuses(&["--port", "http"], &[], "'http'");
    refuses(&["--seats", "0"], &[], "at least 1");
    refuses(&["--room-memory", "512"], &[], "at least 16m");
    refuses(&["--max-message", "1023"], &[], "at least 1k");
    refuses(&["--pool", "18446744073709551615"], &[], "open files are too few");
    refuses(&["--ready-timeout", "5"], &[], "--ready-timeout");
    refuses(&["--ready-timeout", "5"], &[], "time unit needed");
    refuses(&["--ready-timeout", "0s"], &[], "more than zero");
    refuses(&["--public-url", "play.example.org"], &[], "https://play.example.org");
    for odd in ["//game", "/game//", "/../game", "/%2e%2e", "/.game", "/game?a=b", "/game#a"] {
        let url = format!("https://example.org{odd}");
        refuses(&["--public-url", &url], &[], "expected a path such as /game");
    }
    refuses(&["--public-url", "https://example.org/my game"], &[], "expected ASCII without spaces");
    refuses(&["--allow-origin", "https://example.org/game"], &[], "expected no path");
    refuses(&["--public-url", "capacitor://localhost"], &[], "https://play.example.org");
    refuses(&["--heartbeat", "5s"], &[], "at least twice");
    refuses(&[], &[("CLUSTER_PORT", "http")], "'http'");
}

#[test]
fn a_bad_log_filter_is_refused() {
    refuses(&["--port", "0"], &[("RUST_LOG", "app=loud")], "RUST_LOG=app=loud");
}

#[test]
fn a_log_filter_that_silences_the_log_by_mistake_is_refused() {
    for filter in ["verbose", "cluster", "info,verbose", "verbose,cluster=debug", "warning"] {
        refuses(&["--port", "0"], &[("RUST_LOG", filter)], "is none of off, error, warn, info");
    }
}

#[tokio::test]
async fn a_log_filter_may_be_empty_and_have_spaces() {
    for filter in [",", " ", " info ", "info, cluster = debug", "info,", "DEBUG", "3"] {
        // The lobby is ready when its log says so.
        start_game_with(&[], &[("RUST_LOG", filter)]).await;
    }
}

#[test]
fn a_bad_value_in_the_environment_is_blamed_on_its_variable() {
    let variable = |name, value, because: &str| refuses(&[], &[(name, value)], because);
    variable("CLUSTER_PORT", "abc", "invalid value 'abc' for 'CLUSTER_PORT'");
    variable("CLUSTER_LAN", "maybe", "invalid value 'maybe' for 'CLUSTER_LAN'");
    variable("CLUSTER_DEV", "x", "invalid value 'x' for 'CLUSTER_DEV'");
    variable("CLUSTER_LOG_FORMAT", "xml", "invalid value 'xml' for 'CLUSTER_LOG_FORMAT'");
    variable("CLUSTER_ALLOW_ORIGIN", "https://x/y", "for 'CLUSTER_ALLOW_ORIGIN'");
    variable("CLUSTER_MAX_MESSAGE", "x", "for 'CLUSTER_MAX_MESSAGE'");
    refuses(&["--host", "127.0.0.1"], &[("CLUSTER_LAN", "true")], "CLUSTER_LAN");
    // A flag overrides its variable.
    for port in [&["--port", "xyz"][..], &["--port=xyz"]] {
        refuses(port, &[("CLUSTER_PORT", "0")], "invalid value 'xyz' for '--port <PORT>'");
    }
}

#[test]
fn what_is_not_utf_8_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = OsStr::from_bytes(b"\xff");
    let mut first = command(game());
    first.arg(bytes);
    let mut later = command(game());
    later.args(["--port", "0", "--static-dir"]).arg(bytes);
    let mut variable = command(game());
    variable.env("CLUSTER_KEY_FILE", bytes);
    let mut filter = command(game());
    filter.args(["--port", "0"]).env("RUST_LOG", bytes);
    for (command, name) in [
        (&mut first, "argument is not UTF-8"),
        (&mut later, "argument is not UTF-8"),
        (&mut variable, "CLUSTER_KEY_FILE is not UTF-8"),
        (&mut filter, "RUST_LOG is not UTF-8"),
    ] {
        let output = command.output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.starts_with("error: ") && text.contains(name), "{text}");
    }
}

#[test]
fn a_misspelt_flag_gets_a_suggestion() {
    let output = run(&["--prot", "3000"], &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("'--port'"), "{text}");
}

/// The text log of a lobby in a terminal, up to its address.
#[cfg(target_os = "linux")]
fn in_a_terminal(environment: &[(&str, &str)]) -> String {
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key");
    let start = format!("exec '{}' --port 0 --key-file '{}'", game().display(), key.display());
    let mut script = command("script")
        .args(["--quiet", "--return", "--command", &start, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of util-linux");
    let log = std::io::BufReader::new(script.stdout.take().expect("piped"));
    let mut text = String::new();
    for line in std::io::BufRead::lines(log).map_while(Result::ok) {
        text += &line;
        if line.contains("lobby ready") {
            break;
        }
    }
    let lobby = ProcessStat::children(Pid::from_child(&script))[0].pid;
    kill_process(lobby, Signal::TERM).expect("it runs");
    script.wait().expect("our child");
    text
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_colors_unless_no_color_or_a_dumb_terminal_is_set() {
    let has_colors = |environment| in_a_terminal(environment).contains('\u{1b}');
    assert!(has_colors(&[]));
    assert!(has_colors(&[("NO_COLOR", "")]));
    assert!(!has_colors(&[("NO_COLOR", "1")]));
    assert!(!has_colors(&[("TERM", "dumb")]));
}

#[test]
fn a_missing_page_is_refused() {
    refuses(&["--static-dir", "/nowhere"], &[], "no index.html in \"/nowhere\"");
}

#[test]
fn an_invalid_key_file_is_refused() {
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key");
    fs::write(&key, "too short").expect("written");
    let path = key.display().to_string();
    refuses(&["--port", "0", "--key-file", &path], &[], "9 bytes instead of 32");
    let nowhere = folder.path().join("missing/lobby.key").display().to_string();
    refuses(&["--port", "0", "--key-file", &nowhere], &[], "missing/lobby.key: No such file");
    refuses(&["--port", "0", "--old-key-file", &path], &[], "9 bytes instead of 32");
}

#[test]
fn too_few_open_files_for_so_many_rooms_are_refused() {
    let limit: Rlimit = rustix::process::getrlimit(Resource::Nofile);
    let rooms = limit.maximum.unwrap_or(1 << 40).to_string();
    if limit.maximum.is_some() {
        refuses(&["--port", "0", "--max-rooms", &rooms], &[], "raise `ulimit -n`");
    }
}

#[test]
fn a_room_cannot_be_started_by_hand() {
    refuses(&["room"], &[], "only a lobby can start a room");
}

#[test]
fn help_names_every_setting_and_its_variable() {
    let output = run(&["--help"], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for setting in ["--port", "CLUSTER_PORT", "CLUSTER_POOL", "--static-dir"] {
        assert!(text.contains(setting), "{setting}: {text}");
    }
}

/// Other loopback addresses stand for other machines of the network.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn other_machines_can_play_only_with_lan() {
    let alone = start_game(&[]).await;
    let at = |cluster: &LobbyProcess| format!("127.0.0.2:{}", cluster.port());
    assert!(tcp(Ipv4Addr::LOCALHOST, &at(&alone)).await.is_err());
    let open = start_game(&["--lan"]).await;
    let mut ann = TestPlayer::register(&format!("http://{}", at(&open)), "Ann").await;
    ann.enter("create", json!({})).await.event("joined").await;
}

#[test]
fn the_limits_match_the_docs() {
    let help = run(&["--help"], &[]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let document = fs::read_to_string("docs/limits.md").expect("it is there");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `--"));
    let rows: Vec<_> = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in &rows {
        let flag = row[0].split('`').next().expect("a flag");
        let (_, about) = help.split_once(&format!("--{flag} <")).expect("a setting");
        let default = about.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
        assert_eq!(default, Some(row[1]), "{flag}");
    }
    // The docs list all limits that lobby and rooms share.
    let (_, shared) = help.split_once("for each room:").expect("a heading");
    for flag in shared.lines().filter_map(|line| line.trim().strip_prefix("--")) {
        let flag = flag.split(' ').next().expect("a flag");
        let said = rows.iter().any(|row| row[0].starts_with(&format!("{flag}`")));
        assert!(said || flag == "client-address-header", "{flag}");
    }
}

#[tokio::test]
async fn the_key_is_created_at_the_first_start_readable_only_by_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = start_game(&[]).await;
    let key = fs::metadata(cluster.key_file()).expect("a key");
    assert_eq!((key.len(), key.permissions().mode() & 0o777), (32, 0o600));
}

#[test]
fn the_text_log_is_readable_and_the_start_ends_with_the_address() {
    let folder = TestFolder::new();
    let key = folder.path().join("lobby.key");
    let mut process = command(game())
        .args(["--port", "0", "--key-file"])
        .arg(key)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = std::io::BufReader::new(process.stdout.take().expect("piped"));
    let mut lines = std::io::BufRead::lines(log).map_while(Result::ok);
    let line = lines.find(|line| line.contains("lobby ready"));
    kill_process(Pid::from_child(&process), Signal::TERM).expect("our child");
    let next = lines.next();
    process.wait().expect("our child");
    let line = line.expect("it starts");
    assert!(line.contains("INFO lobby ready url=\"http://127.0.0.1:"), "{line}");
    assert!(!line.contains('\u{1b}'), "no colors in a pipe: {line}");
    assert!(next.expect("it stops").contains("asked to stop"), "the address is the last line");
}
