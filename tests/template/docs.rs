//! The documents: each command in them is run, each link leads somewhere, and the code in the
//! README is the repository's.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::helpers::{
    Folder, REPOSITORY, Template, Workshop, YOURS, examples, file_of, must, read, repository,
};

/// How a command is tested.
enum Tested {
    /// Run here, in a generated project, but without optimizations, which take minutes.
    Runs,
    /// Started here, in a generated project, and interrupted once it has printed this.
    Starts(&'static str),
    /// The same two, in this repository.
    RunsInRepository,
    StartsInRepository(&'static str),
    /// By the file at this path, which contains this text.
    By(&'static str, &'static str),
}
use Tested::{By, Runs, RunsInRepository, Starts, StartsInRepository};

/// All commands of all documents. Those that run here run in this order.
const COMMANDS: &[(&str, Tested)] = &[
    ("npm ci", Runs),
    ("npm run check", Runs),
    ("grep -rn HOOK src static tests", Runs),
    ("cargo run", Starts("lobby ready url=")),
    ("cargo run -- --help", Runs),
    ("cargo doc -p cluster --no-deps --features testing --open", Runs),
    ("cargo tree -e normal,build --prefix none --no-dedupe | sort -u", Runs),
    ("cargo build --profile dist", Runs),
    (STATIC, By("tests/release/static_program.rs", "RUSTFLAGS=")),
    ("cargo build --release", Runs),
    ("npm ci --omit=dev", Runs),
    ("mkdir -p dist", Runs),
    ("cp -rL target/dist/server static node_modules dist/", Runs),
    (
        "cd dist && ./server --public-url https://play.example.org --client-address-header x-forwarded-for",
        Starts("lobby ready url="),
    ),
    ("cargo build --release -p cluster --features testing --bin game", RunsInRepository),
    (
        "cargo run --release -p cluster --example chaos -- target/release/game --figures",
        StartsInRepository("welcome"),
    ),
    (
        "cargo run --release --example loadtest -- --players 500 --rooms 20 --for 30s",
        By("tests/story.rs", r#""--example", "loadtest""#),
    ),
    (
        "cargo run --example loadtest -- --url http://localhost:{{lobby_port}} --players 3",
        By("tests/story.rs", r#"load_test(&["--url""#),
    ),
    (
        "cargo run --release --manifest-path benches/Cargo.toml",
        By("tests/all.sh", "cargo clippy --manifest-path benches/Cargo.toml"),
    ),
    (
        "cargo run --release --manifest-path benches/Cargo.toml -- --only hosts,join,echo",
        By("tests/all.sh", "cargo clippy --manifest-path benches/Cargo.toml"),
    ),
    ("cargo test", By("tests/template/helpers.rs", r#"&["test", "--locked"]"#)),
    ("cargo test -p cluster", By("tests/all.sh", "cargo test --workspace")),
    ("cargo test --workspace", By("tests/all.sh", "cargo test --workspace")),
    ("cargo install --locked cargo-generate", By("tests/all.sh", "cargo install --locked")),
    (
        "cargo generate --git THE_URL_OF_THIS_REPOSITORY",
        By("tests/template/places.rs", r#""--git""#),
    ),
    ("cargo generate --git .", By("tests/template/places.rs", r#""--git""#)),
    (
        "cargo test --test browser restart:: -- --nocapture",
        By("tests/all.sh", "cargo test --locked --test browser"),
    ),
    ("tests/all.sh", By(".ci/run", "tests/all.sh")),
    ("tests/chaos", By("tests/all.sh", "tests/chaos")),
    ("tests/chaos --restarts", By("tests/all.sh", "tests/chaos --minutes 0.5 --seed 1 --restarts")),
    ("tests/counts.sh", By("tests/all.sh", "nice -n 19 tests/counts.sh")),
    ("tests/picture.sh", By("tests/all.sh", "cargo test --locked --test browser")),
    ("cargo generate", By("tests/template/helpers.rs", r#"arg("generate")"#)),
    (
        "cp cluster/parts/waiting_room.rs src/",
        By("tests/template/recipes.rs", "cp cluster/parts/waiting_room.rs src/"),
    ),
    ("cp cluster/parts/queue.rs src/", By("tests/template/hooks.rs", "cluster/parts/queue.rs")),
    ("cargo run -- --lan", By("tests/template/recipes.rs", "cargo run -- --lan")),
    ("node examples/bot.mjs", By("tests/template/recipes.rs", "node examples/bot.mjs")),
    (ACCOUNTS[0], By("tests/template/accounts.rs", r#"recipe.command("psql")"#)),
    (ACCOUNTS[1], By("tests/template/accounts.rs", r#"recipe.command("cargo run")"#)),
    (
        "cargo install --locked watchexec-cli",
        By("tests/all.sh", "cargo install --locked --debug watchexec-cli"),
    ),
    (WATCH, By("tests/template/watch.rs", r#"recipe.command("cargo run")"#)),
    (VITE[0], By("tests/browser/vite.rs", r#"recipe.block("npm install")"#)),
    (VITE[1], By("tests/browser/vite.rs", r#"recipe.block("npm install")"#)),
    (VITE[2], By("tests/browser/vite.rs", r#"recipe.block("npm install")"#)),
    ("npm run dev", By("tests/browser/vite.rs", r#"["run", "dev", "--""#)),
    ("npm run dev -- --host", By("tests/browser/vite.rs", r#"["run", "dev", "--""#)),
    (
        "npm run check && npm run build",
        By("tests/browser/vite.rs", r#"recipe.block("npm run build")"#),
    ),
    (
        "npx vite build --base /game/",
        By("tests/browser/vite.rs", r#"["vite", "build", "--base", "/game/"]"#),
    ),
    ("npm ci && npm run build", By("tests/browser/vite.rs", r#"recipe.block("npm run build")"#)),
    (UPDATE, By("tests/template/update.rs", r#".command("FETCH_HEAD")"#)),
    ("cluster/update.sh URL", By("tests/template/update.rs", "project.update(&[&project.url])")),
    ("cluster/update.sh URL TO", By("tests/template/update.rs", "project.update(&[&project.url,")),
    (
        "cluster/update.sh URL TO FROM",
        By("tests/template/update.rs", "project.update(&[&project.url,"),
    ),
    ("cargo update --workspace", By("cluster/update.sh", "cargo update --quiet --workspace")),
    ("npm install", By("cluster/update.sh", "npm install --package-lock-only")),
    ("git reset --hard", By("tests/template/update.rs", r#"["reset", "--quiet", "--hard"]"#)),
    (HOSTS[0], By("cluster/tests/common/hosts.rs", r#".arg("link-key")"#)),
    (HOSTS[1], By("cluster/tests/common/hosts.rs", r#"["host", "--name", name"#)),
    (HOSTS[2], By("cluster/tests/common/hosts.rs", r#"["--hosts", "#)),
    (STANDBY, By("cluster/tests/standby/nats.rs", r#"["--lease", lease"#)),
    (
        "cargo build --profile dist --features cluster/nats",
        By("tests/all.sh", "-p cluster --features nats"),
    ),
    ("mv lobby.key lobby.key.old", By("cluster/tests/auth/tokens.rs", "fs::rename(&key, &old)")),
];

const ACCOUNTS: [&str; 2] = [
    "sudo -u postgres psql -c \"CREATE USER game PASSWORD 'secret'\" -c \"CREATE DATABASE game OWNER game\"",
    "DATABASE_URL=postgres://game:secret@localhost/game cargo run",
];
const HOSTS: [&str; 3] = [
    "./server link-key > link.key",
    "./server host --name h1 --link 10.0.0.5:3001 --host 0.0.0.0 --public-url https://h1.play.example.org --max-rooms 200",
    "./server --hosts 10.0.0.5:3001,10.0.0.6:3001 --public-url https://play.example.org --max-rooms 400",
];
const STANDBY: &str = "./server --lease nats://10.0.0.7:4222,nats://10.0.0.8:4222,nats://10.0.0.9:4222 \
                       --hosts 10.0.0.5:3001,10.0.0.6:3001 --public-url https://play.example.org";
const STATIC: &str = "RUSTFLAGS=\"-C target-feature=+crt-static -C relocation-model=static\" \
                      cargo build --profile dist --target \"$(rustc --print host-tuple)\"";
const WATCH: &str = "watchexec --restart --stop-signal KILL --watch src --watch static --watch cluster \
                     --exts rs,toml,js,css,html,svg -- cargo run";
const VITE: [&str; 3] = [
    "npm install --save-dev --save-exact vite@8.4.0 @types/js-cookie@3.0.6",
    "mkdir page && mv static/index.html static/style.css static/icon.svg page/ && rm static/client.js",
    "printf '/static/assets\\n/static/index.html\\n' >> .gitignore",
];
const UPDATE: &str =
    "git fetch --no-tags URL && git show FETCH_HEAD:cluster/update.sh | sh -s -- URL";

/// The first builds take minutes.
const PATIENCE: Duration = Duration::from_secs(900);
/// What commands begin with. A longer text in backticks that begins so is a command.
const PROGRAMS: [&str; 13] = [
    "cargo ",
    "npm ",
    "npx ",
    "node ",
    "git ",
    "grep ",
    "mv ",
    "cp ",
    "tests/all",
    "tests/chaos",
    "tests/picture",
    "tests/counts",
    "cluster/update",
];

#[test]
fn each_command_of_the_documents_is_run_by_a_test() {
    let listed: BTreeSet<_> = COMMANDS.iter().map(|(command, _)| (*command).to_owned()).collect();
    // The steps in `server.md` want a server with systemd: they are run by hand when they change.
    let here = documents().into_iter().filter(|(path, _)| path != "cluster/docs/server.md");
    let documented: BTreeSet<_> = here.flat_map(|(_, text)| commands(&text)).collect();
    let untested: Vec<_> = documented.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&documented).collect();
    assert!(untested.is_empty() && stale.is_empty(), "untested: {untested:#?}; stale: {stale:#?}");
    for (command, tested) in COMMANDS {
        if let By(path, text) = tested {
            let runs = read(Path::new(REPOSITORY), path).contains(text);
            assert!(runs && path != command, "{path} does not run {command}");
        }
    }
}

#[test]
fn the_commands_of_the_documents_work() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    let workshop = Workshop::take(&folder.path().join("dots"));
    symlink(&workshop.target, workshop.project.join("target")).unwrap();
    for (command, tested) in COMMANDS {
        let mut shell = Command::new("sh");
        shell.args(["-c", &unoptimized(command)]).env("BROWSER", "true").env("CLUSTER_PORT", "0");
        shell.env("RUSTDOCFLAGS", "-D warnings");
        match tested {
            Runs => drop(must(workshop.build_here(&mut shell))),
            Starts(text) => starts(workshop.build_here(&mut shell), text),
            RunsInRepository => drop(must(shell.current_dir(REPOSITORY))),
            StartsInRepository(text) => starts(shell.current_dir(REPOSITORY), text),
            By(..) => {}
        }
    }
}

/// The same command for the profile `dev`.
fn unoptimized(command: &str) -> String {
    let dev = command.replace("--profile dist", "--profile dev").replace(" --release", "");
    dev.replace("target/dist", "target/debug").replace("target/release", "target/debug")
}

/// Waits until the command has printed this, and interrupts it like Ctrl-C.
fn starts(command: &mut Command, text: &str) {
    // With the shell as the leader of a group of its own, all its processes get the signal.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = command.spawn().expect("sh runs");
    let (sender, lines) = channel();
    let stdout = BufReader::new(shell.stdout.take().unwrap());
    // Ends with the processes that write there.
    let reader = thread::spawn(move || {
        stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut said = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !said.contains(text) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else { break };
        said += &format!("{line}\n");
    }
    let _ = kill_process_group(Pid::from_child(&shell), Signal::INT);
    shell.wait().expect("it ends");
    reader.join().unwrap();
    assert!(said.contains(text), "{command:?} does not print {text:?}, but:\n{said}");
}

#[test]
fn each_link_leads_somewhere() {
    let (template, folder) = (Template::new(), Folder::new());
    template.generate(folder.path()).args(&["--name", "dots", "--silent"]).succeed();
    let project = folder.path().join("dots");
    let mut count = 0;
    for (path, text) in documents() {
        // The structure's documents must work in both.
        let roots = match &*path {
            "template-hooks/files/README.md" => vec![(project.as_path(), "README.md")],
            _ if path.starts_with("cluster/") => {
                vec![(project.as_path(), &*path), (Path::new(REPOSITORY), &*path)]
            }
            _ => vec![(Path::new(REPOSITORY), &*path)],
        };
        for link in text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            let target = link.split('#').next().unwrap();
            for (root, document) in roots.iter().filter(|_| !link.contains("://")) {
                let leads = root.join(document).parent().unwrap().join(target).exists();
                assert!(leads, "{path}: {link}");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} are not all");
}

#[test]
fn the_readmes_are_short() {
    let lines = |path| read(Path::new(REPOSITORY), path).lines().count();
    assert!(lines("README.md") <= 90);
    assert!(lines("template-hooks/files/README.md") <= 50);
}

/// The block of Rust in the README stands in the arena's room, but for its indentation.
#[test]
fn the_readme_shows_the_room_as_it_is() {
    let readme = read(Path::new(REPOSITORY), "README.md");
    let (_, rest) = readme.split_once("```rust\n").expect("code");
    let shown = rest.split_once("\n```").expect("the end of the code").0;
    let dedented = |text: &str| text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
    let room = dedented(&read(Path::new(REPOSITORY), "src/room.rs"));
    assert!(room.contains(&dedented(shown)), "it is not in src/room.rs:\n{shown}");
    let lines = shown.lines().count();
    assert!((10..=16).contains(&lines), "{lines} lines");
}

#[test]
fn the_readme_says_how_long_each_example_is() {
    let readme = read(Path::new(REPOSITORY), "README.md");
    for example in examples() {
        let lines: usize = YOURS.iter().map(|path| file_of(&example, path).lines().count()).sum();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{example}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {example}"));
        assert!(row.ends_with(&format!("| {lines} |")), "{row} is not {lines}");
    }
}

/// All Markdown but the changelog, whose commands are those of its time.
fn documents() -> Vec<(String, String)> {
    let documents = repository().into_iter().filter(|(path, _)| path.ends_with(".md"));
    let current = documents.filter(|(path, _)| !path.ends_with("CHANGELOG.md"));
    current.map(|(path, text)| (path, String::from_utf8(text).expect("UTF-8"))).collect()
}

/// Lines of `sh` blocks without their comments, and commands in backticks.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (nth, part) in text.split("```").enumerate() {
        match part.strip_prefix("sh\n") {
            Some(block) if nth % 2 == 1 => commands.extend(block.lines().map(str::to_owned)),
            _ if nth % 2 == 1 => {}
            _ => {
                let quoted = part.split('`').skip(1).step_by(2).map(|text| text.replace('\n', " "));
                let command = |text: &String| PROGRAMS.iter().any(|name| text.starts_with(name));
                commands.extend(quoted.filter(command));
            }
        }
    }
    let bare = commands.iter().map(|line| line.split(" #").next().unwrap().trim().to_owned());
    bare.filter(|line| !line.is_empty()).collect()
}
