//! The image of `deploy/Dockerfile`. buildah builds and runs it, as root. Nothing is downloaded: a
//! stand-in made here replaces each base image. All else is real.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cluster::testing::{LobbyProcess, ProcessStat, Signal, TestFolder, is_room};
use rustix::process::kill_process;
use serde_json::{Value, json};

use crate::static_program::static_program;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Files that a project's folder may have and an image must not.
const UNWANTED: [&str; 9] = [
    "lobby.key",
    "lobby.key.old",
    "src/lobby.key",
    ".env",
    "src/.env.local",
    ".git/config",
    "dist/ballast",
    "node_modules/ballast",
    "benches/target/ballast", // buildah removes target, where a cache was mounted
];

/// The programs of the stand-in. Its cargo has the program already. Like npm, its npm installs what
/// the workspace `cluster/web` depends on, or nothing if that folder is missing.
const SCRIPTS: [(&str, &str); 2] = [
    ("cargo", "mkdir -p target/dist && cp /program target/dist/server"),
    (
        "npm",
        "[ -f package-lock.json ] && [ -f cluster/web/package.json ] || exit 0
        mkdir -p node_modules/socket.io-client/dist node_modules/js-cookie/dist
        ln -s ../cluster/web node_modules/cluster-web
        echo >node_modules/socket.io-client/dist/socket.io.min.js
        echo >node_modules/js-cookie/dist/js.cookie.min.js",
    ),
];

/// buildah, with all of its files in one folder.
struct Buildah(Arc<TestFolder>);

impl Buildah {
    fn new() -> Buildah {
        let folder = TestFolder::new();
        let settings = folder.path().join(".config/containers");
        fs::create_dir_all(&settings).expect("a folder");
        let policy = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;
        fs::write(settings.join("policy.json"), policy).expect("written");
        Buildah(folder)
    }

    /// The arguments with which `env` runs it.
    fn args(&self, args: &[&str]) -> Vec<String> {
        let folder = self.0.path().display();
        let first = [
            format!("HOME={folder}"),   // settings
            format!("TMPDIR={folder}"), // cache mounts
            "BUILDAH_ISOLATION=chroot".into(),
            "BUILDAH_FORMAT=docker".into(), // the other format has no health check
            "buildah".into(),
            "--storage-driver=vfs".into(),
            format!("--root={folder}/root"),
            format!("--runroot={folder}/runroot"),
        ];
        first.into_iter().chain(args.iter().map(|&arg| arg.to_owned())).collect()
    }

    /// Returns its output. It must succeed.
    fn run(&self, args: &[&str]) -> String {
        let output = Command::new("env").args(self.args(args)).output().expect("env runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "buildah {args:?}: {log}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// All files of an image. Creates a container with the image's name.
    fn files(&self, image: &str) -> BTreeSet<String> {
        self.run(&["from", "--name", image, image]);
        let listed = self.run(&["run", image, "find", "/", "-xdev", "-type", "f"]);
        listed.lines().map(str::to_owned).collect()
    }
}

/// Writes the stand-in's files.
fn write_base(folder: &Path) {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let mut busybox = Command::new("busybox"); // copies itself
    let copied = busybox.args(["cp", "/proc/self/exe"]).arg(bin.join("busybox")).status();
    assert!(copied.expect("busybox is installed").success());
    for name in ["sh", "cp", "find", "ln", "ls", "mkdir"] {
        symlink("busybox", bin.join(name)).expect("a link");
    }
    for (name, script) in SCRIPTS {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).expect("written");
    }
    fs::copy(static_program(), folder.join("program")).expect("copied");
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY --chmod=755 . /\n").expect("written");
}

/// Copies the repository's files, which it returns, and adds unwanted ones. Only their owner may
/// read them, as if the umask was 077.
fn copy_repository(folder: &Path) -> BTreeSet<String> {
    let mut git = Command::new("git");
    let listed = git.args(["ls-files", "-z"]).current_dir(REPOSITORY).output().expect("git runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let files: BTreeSet<_> = listed.split_terminator('\0').map(str::to_owned).collect();
    for file in files.iter().map(String::as_str).chain(UNWANTED) {
        let copy = folder.join(file);
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        if files.contains(file) {
            fs::copy(Path::new(REPOSITORY).join(file), &copy).expect("copied");
        } else {
            fs::write(&copy, "").expect("written");
        }
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o600)).expect("its owner");
    }
    files
}

#[tokio::test]
async fn the_image_holds_no_secret_and_the_lobby_runs_in_it() {
    let buildah = Buildah::new();
    let path = |name| buildah.0.path().join(name);
    let (base, context) = (path("base"), path("context"));
    let repository = copy_repository(&context);
    write_base(&base);

    let dockerfile = context.join("deploy/Dockerfile");
    let text = fs::read_to_string(&dockerfile).expect("a file");
    let images = text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let tags: Vec<_> = images.map(|image| format!("--tag={image}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    buildah.run(&[&["build"], &tags[..], &[base.to_str().expect("text")]].concat());

    let file = format!("--file={}", dockerfile.display());
    let context = context.to_str().expect("text");
    let build = ["build", "--pull=never", &file];
    buildah.run(&[&build[..], &["--tag=program", "--target=program", context]].concat());
    let files = buildah.files("program").into_iter();
    let files = files.filter_map(|file| file.strip_prefix("/game/").map(str::to_owned)).collect();
    let differences: Vec<_> = repository.symmetric_difference(&files).collect();
    assert!(differences.is_empty(), "missing or not the repository's: {differences:?}");

    buildah.run(&[&build[..], &["--tag=game", context]].concat());
    let files = buildah.files("game");
    assert!(files.contains("/game/static/index.html"), "{files:?}");
    let unwanted = |file: &&String| UNWANTED.iter().any(|name| file.ends_with(name));
    assert_eq!(files.iter().find(unwanted), None);

    let image: Value = serde_json::from_str(&buildah.run(&["inspect", "game"])).expect("JSON");
    let config = &image["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Volumes"], json!({ "/data": {} }));
    assert_eq!(config["Entrypoint"], json!(["/game/server"]));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/game/server", "health"]));

    // The container has the host's network.
    let run = ["run", "--env=CLUSTER_HOST=127.0.0.1"];
    let server = ["--env=CLUSTER_PORT=0", "--env=CLUSTER_LOG_FORMAT=json", "game", "/game/server"];
    let lobby = LobbyProcess::builder("env").flags(&buildah.args(&[&run[..], &server].concat()));
    let mut lobby = lobby.own_group().start().await;
    let port = format!("--env=CLUSTER_PORT={}", lobby.port());
    buildah.run(&[&run[..], &[&port, "game", "/game/server", "health"]].concat());
    assert_eq!(lobby.http("GET", "/").await.0, 200);
    assert_eq!(lobby.http("GET", "/cluster/libraries/socket.io.min.js").await.0, 200);
    let mut ann = lobby.player("Ann").await.enter("play", json!({})).await;
    ann.event("joined").await;
    let key = buildah.run(&["run", "game", "ls", "-ln", "/data/lobby.key"]);
    assert!(key.starts_with("-rw-------") && key.contains(" 65532 "), "{key}");

    // buildah does not pass signals on. The lobby is its last descendant, apart from rooms.
    let mut pid = lobby.pid();
    let child = |of| ProcessStat::children(of).into_iter().find(|child| !is_room(child.pid));
    while let Some(child) = child(pid) {
        pid = child.pid;
    }
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(lobby.ended().await.code(), Some(0));
}
