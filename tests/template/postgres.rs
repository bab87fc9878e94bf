//! A real PostgreSQL with a data folder of its own, at a Unix socket.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::helpers::{Folder, REPOSITORY, must, run};

/// PostgreSQL refuses to run as root: then it runs as `nobody`.
const NOBODY: u32 = 65534;
const PASSWORD: &str = "of-the-superuser";

/// Stopped when dropped.
pub struct Postgres {
    folder: Folder,
    process: Option<Child>,
}

impl Postgres {
    pub fn start() -> Postgres {
        let folder = Folder::new();
        if getuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut postgres = Postgres { folder, process: None };
        fs::write(postgres.path("password"), PASSWORD).unwrap();
        let mut initdb = postgres.command("initdb");
        initdb.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--no-sync",
            "--encoding=UTF8",
        ]);
        initdb.arg("--pwfile").arg(postgres.path("password"));
        must(initdb.arg("--pgdata").arg(postgres.path("data")));
        postgres.resume();
        postgres
    }

    /// Stops it as an operator does: connections are closed, the data is kept.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill_process(Pid::from_child(&process), Signal::INT).expect("it runs");
            process.wait().unwrap();
        }
    }

    /// Starts it again with the same data, and waits until it answers.
    pub fn resume(&mut self) {
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.path("data")).arg("-k").arg(self.folder.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        server.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(server.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !run(self.command("pg_isready").arg("--quiet")).0 {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "{ended:?}\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Runs this line of a shell as the superuser.
    pub fn run(&self, line: &str) -> String {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
        must(self.command("sh").env("PATH", path).env("PGPASSWORD", PASSWORD).args(["-c", line]))
    }

    /// A URL for this server, instead of one with `localhost`.
    pub fn url(&self, url: &str) -> String {
        let host = self.folder.path().to_str().unwrap().replace('/', "%2F");
        assert!(url.contains("@localhost/"), "{url}");
        url.replace("@localhost/", &format!("@{host}/"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let found = programs().join(program);
        let mut command = Command::new(if found.is_file() { found } else { program.into() });
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("LD_LIBRARY_PATH", libraries()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("PGHOST", self.folder.path()).env("PGUSER", "postgres");
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- PostgreSQL ---\n{}", self.log());
        }
    }
}

/// The programs of Debian's newest PostgreSQL, unpacked by tests/all.sh or installed.
fn programs() -> PathBuf {
    let roots = [tools().join("usr/lib/postgresql"), "/usr/lib/postgresql".into()];
    let newest = |root: &PathBuf| {
        let folders = entries(root).into_iter().map(|version| version.join("bin"));
        folders.filter(|folder| folder.join("postgres").is_file()).max()
    };
    let found = roots.iter().find_map(newest);
    found.expect("PostgreSQL is missing: install it (on Debian, `apt-get install postgresql`)")
}

/// The folders with libraries of unpacked packages.
fn libraries() -> String {
    let lib = tools().join("usr/lib");
    let folders = entries(&lib).into_iter().chain([lib]).map(|folder| folder.display().to_string());
    folders.collect::<Vec<_>>().join(":")
}

/// Where tests/all.sh unpacks what is not installed.
fn tools() -> PathBuf {
    Path::new(REPOSITORY).join("target/tools")
}

/// What a folder holds; nothing if there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}
