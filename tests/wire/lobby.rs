//! The program under test: a real process on a free port, with a key of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Far longer than anything takes, also on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Lobby {
    /// Such as `http://127.0.0.1:40123`.
    pub url: String,
    process: Child,
    said: Option<JoinHandle<String>>,
    program: PathBuf,
    project: PathBuf,
    flags: Vec<String>,
    folder: Folder,
}

impl Lobby {
    /// Starts `program` as it is started by hand: in its project's folder. The port is a free one
    /// unless the flags have another.
    pub fn start(program: &Path, project: &Path, flags: &[&str]) -> Result<Lobby> {
        let folder = Folder::new()?;
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let (process, said, url) = spawn(program, project, &flags, &folder, "0")?;
        let (program, project) = (program.to_owned(), project.to_owned());
        Ok(Lobby { url, process, said: Some(said), program, project, flags, folder })
    }

    /// Asks the process to stop, and waits until it has; returns all that it said.
    #[allow(dead_code, reason = "not every crate that shares this file stops a lobby")]
    pub fn stop(&mut self) -> Result<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the lobby does not stop");
            thread::sleep(Duration::from_millis(10));
        }
        let said = self.said.take().context("it has been stopped before")?;
        Ok(said.join().expect("reading does not panic"))
    }

    /// Starts a stopped one again: same port, same key.
    #[allow(dead_code, reason = "as above")]
    pub fn start_again(&mut self) -> Result<()> {
        let port = self.url.rsplit(':').next().unwrap();
        let started = spawn(&self.program, &self.project, &self.flags, &self.folder, port)?;
        let said;
        (self.process, said, self.url) = started;
        self.said = Some(said);
        Ok(())
    }

    /// Stands still, as on a machine that hangs: connections stay, and nobody answers.
    #[allow(dead_code, reason = "as above")]
    pub fn pause(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), Signal::STOP)?)
    }

    /// Goes on after [`Lobby::pause`].
    #[allow(dead_code, reason = "as above")]
    pub fn go_on(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), Signal::CONT)?)
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        // Its rooms end when it does.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(
    program: &Path,
    project: &Path,
    flags: &[String],
    folder: &Folder,
    port: &str,
) -> Result<(Child, JoinHandle<String>, String)> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("CLUSTER_") {
            command.env_remove(name);
        }
    }
    if !flags.iter().any(|flag| flag == "--port") {
        command.args(["--port", port]);
    }
    let mut process = command
        .args(["--dev", "--seats", "8", "--key-file"])
        .arg(folder.path().join("lobby.key"))
        .args(flags)
        .current_dir(project)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let output = process.stdout.take().expect("it is piped");
    let (ready, url) = mpsc::channel();
    // Reads to the end, so that the program never blocks; a failed test shows the lines.
    let said = thread::spawn(move || {
        let mut said = String::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("lobby ready url=\"") {
                let _ = ready.send(rest.split('"').next().unwrap_or_default().to_owned());
            }
            println!("{line}");
            said += &(line + "\n");
        }
        said
    });
    let url = url.recv_timeout(PATIENCE);
    if url.is_err() {
        let _ = process.kill();
        let _ = process.wait();
    }
    Ok((process, said, url.context("the lobby does not become ready")?))
}

/// A folder of one test, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Folder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("cluster-test-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A process that was just killed may still have created a file.
        for _ in 0..100 {
            match fs::remove_dir_all(&self.0) {
                Err(_) if self.0.exists() => thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
    }
}
