//! A lobby that runs in a process of its own, and its log.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::programs;

/// Longer than any line of the log lets wait for itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Dropping it kills it, and with it its rooms.
pub struct Lobby {
    pub url: String,
    process: Child,
    lines: Receiver<Value>,
}

impl Lobby {
    /// `program`: within `target/release`.
    pub fn start(program: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let key = std::env::temp_dir().join(format!("measure-{}.key", std::process::id()));
        let mut command = Command::new(programs()?.join(program));
        // Nothing but these flags decides what is measured.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CLUSTER_")) {
            command.env_remove(name);
        }
        let mut process = command
            .args(["--port", "0", "--max-rooms", "1000", "--log-format", "json", "--key-file"])
            .arg(&key)
            // A measure says more than a player may.
            .args(["--events-per-second", "1000000", "--connects-per-second", "1000000"])
            .args(flags)
            // The log of every day, and which process a room is.
            .env("RUST_LOG", "info,cluster::process::supervisor=debug")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            let json = lines.filter_map(|line| serde_json::from_str(&line).ok());
            json.for_each(|line| drop(sender.send(line)));
        });
        let mut lobby = Lobby { url: String::new(), process, lines };
        let ready = lobby.wait_for("lobby ready")?;
        lobby.url = ready["url"].as_str().context("no url")?.to_owned();
        std::fs::remove_file(key)?;
        Ok(lobby)
    }

    pub fn pid(&self) -> u64 {
        self.process.id().into()
    }

    /// The next line with this message. Those before it are forgotten.
    pub fn wait_for(&self, message: &str) -> anyhow::Result<Value> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("the lobby never said: {message}"))?;
            if line["message"] == message {
                return Ok(line);
            }
        }
    }

    /// What it has said and nobody has waited for.
    pub fn said(&self) -> impl Iterator<Item = Value> {
        self.lines.try_iter()
    }

    /// Stops it in order. How many connections it says to have handed off, and how many relayed.
    pub fn stop(mut self) -> anyhow::Result<(u64, u64)> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let last = self.wait_for("lobby stopped")?;
        ensure!(self.process.wait()?.success(), "the lobby did not stop in order");
        let count = |name: &str| last[name].as_u64().with_context(|| format!("no {name}: {last}"));
        Ok((count("handed_off")?, count("relayed")?))
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
