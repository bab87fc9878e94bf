//! Hosts on which the rooms run, each a process on this machine.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cluster::testing::{TestFolder, command, free_port};
use rustix::process::{Pid, Signal, kill_process};

use crate::lobby::until;
use crate::log::Log;

/// Longer than it takes to start and to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Dropping them kills them and their rooms.
pub struct Hosts {
    program: PathBuf,
    /// Of their keys, and the lobby's.
    pub folder: Arc<TestFolder>,
    log: Log,
    flags: Vec<(&'static str, String)>,
    hosts: Vec<Host>,
}

struct Host {
    /// For the lobby, and for players.
    ports: [u16; 2],
    process: Child,
}

impl Hosts {
    pub async fn start(
        program: &Path,
        count: usize,
        max_rooms: usize,
        log: &Log,
    ) -> anyhow::Result<Hosts> {
        let folder = TestFolder::new();
        let key = folder.path().join("lobby.key");
        let printed = command(program).args(["link-key", "--key-file"]).arg(key).output()?;
        ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let mut file = fs::OpenOptions::new();
        file.write(true).create_new(true).mode(0o600);
        let mut file = file.open(folder.path().join("link.key"))?;
        std::io::Write::write_all(&mut file, &printed.stdout)?;
        let flags = vec![("CLUSTER_MAX_ROOMS", max_rooms.to_string())];
        let (program, log) = (program.to_owned(), log.clone());
        let mut hosts = Hosts { program, folder, log, flags, hosts: Vec::new() };
        for nth in 0..count {
            let ports = [free_port(), free_port()];
            let process = hosts.spawn(nth, ports)?;
            hosts.hosts.push(Host { ports, process });
        }
        Ok(hosts)
    }

    /// For `--hosts`.
    pub fn links(&self) -> String {
        let links = self.hosts.iter().map(|host| format!("127.0.0.1:{}", host.ports[0]));
        links.collect::<Vec<_>>().join(",")
    }

    /// The name of a host: those of its rooms begin with it, and a hyphen.
    pub fn name(nth: usize) -> String {
        format!("h{nth}")
    }

    fn spawn(&self, nth: usize, [link, port]: [u16; 2]) -> anyhow::Result<Child> {
        let mut process = command(&self.program)
            .args(["host", "--name", &Hosts::name(nth), "--link", &format!("127.0.0.1:{link}")])
            .args(["--port", &port.to_string()])
            .args(["--public-url", &format!("http://127.0.0.1:{port}")])
            .arg("--link-key-file")
            .arg(self.folder.path().join("link.key"))
            .envs(self.flags.iter().cloned())
            .env("CLUSTER_LOG_FORMAT", "json")
            .env("RUST_LOG", "info,cluster::process::supervisor=debug")
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let (stdout, log) = (process.stdout.take().context("no stdout")?, self.log.clone());
        thread::spawn(move || {
            // The lobby logs the rest, too.
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.filter(|line| line.contains("\"spawned\"")).for_each(|it| log.seen().line(&it));
        });
        Ok(process)
    }

    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    pub fn signal(&self, nth: usize, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.hosts[nth].process), signal);
    }

    /// Starts a host again that was killed, with the same ports.
    pub async fn start_again(&mut self, nth: usize) -> anyhow::Result<()> {
        let ended = until(PATIENCE, || self.hosts[nth].process.try_wait().ok().flatten()).await;
        ended.context("a host does not end")?;
        self.hosts[nth].process = self.spawn(nth, self.hosts[nth].ports)?;
        Ok(())
    }

    /// Asks them to stop. Returns how many did not end by themselves with status 0.
    pub async fn stop(&mut self) -> usize {
        (0..self.hosts.len()).for_each(|nth| self.signal(nth, Signal::TERM));
        let mut failed = 0;
        for host in &mut self.hosts {
            let ended = until(PATIENCE, || host.process.try_wait().ok().flatten()).await;
            failed += usize::from(!ended.is_some_and(|status| status.success()));
        }
        failed
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            let _ = host.process.kill();
            let _ = host.process.wait();
        }
    }
}
