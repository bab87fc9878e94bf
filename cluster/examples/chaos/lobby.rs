//! The lobby under test, in a process of its own.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use cluster::testing::{LobbyBuilder, LobbyProcess};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::hosts::Hosts;
use crate::kernel::{Holds, holds, is_room};
use crate::log::Log;

/// Longer than it takes to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// When a lobby is gone, its rooms end within this time. It takes milliseconds.
const ORPHANS: Duration = Duration::from_secs(2);

/// Dropping it kills the lobby and its rooms.
pub struct Lobby {
    pub url: String,
    pub log: Log,
    pub program: PathBuf,
    pub hosts: Option<Hosts>,
    builder: LobbyBuilder,
    lobby: LobbyProcess,
}

impl Lobby {
    pub async fn start(
        program: &Path,
        flags: &[String],
        most_rooms: usize,
        hosts: usize,
        log_file: &Path,
    ) -> anyhow::Result<Lobby> {
        // The path that the lobby itself uses to start rooms.
        let program = program.canonicalize().context("no such program")?;
        let log = Log::new(log_file)?;
        let hosts = match hosts {
            0 => None,
            count => Some(Hosts::start(&program, count, most_rooms, &log).await?),
        };
        let most_rooms = most_rooms.to_string();
        let kept = log.clone();
        let mut builder = LobbyProcess::builder(&program)
            .flags(flags)
            // As many as the players may need; all connect from this machine.
            .env("CLUSTER_MAX_ROOMS", &most_rooms)
            .env("CLUSTER_MAX_ROOMS_PER_ADDRESS", &most_rooms)
            // As in a release build. The page's types are those of the project.
            .env("CLUSTER_DEV", "false")
            // Short, so that the run soon shows whether everything is released.
            .env("CLUSTER_EMPTY_TIMEOUT", "2s")
            // The usual log, and the process of each room.
            .env("RUST_LOG", "info,cluster::process::supervisor=debug")
            .env("RUST_BACKTRACE", "0")
            .on_line(move |line| kept.seen().line(line));
        if let Some(hosts) = &hosts {
            builder = builder.folder(&hosts.folder).flags(&["--hosts", &hosts.links()]);
        }
        let lobby = builder.clone().start().await;
        Ok(Lobby { url: lobby.url.clone(), log, program, hosts, builder, lobby })
    }

    pub fn pid(&self) -> Pid {
        self.lobby.pid()
    }

    pub fn holds(&self) -> Holds {
        holds(self.pid())
    }

    /// Ends it with this signal; its rooms must end with it, unless they run on hosts. Returns its
    /// exit status and how many rooms did not end.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<(ExitStatus, usize)> {
        kill_process(self.pid(), signal).context("the lobby was gone already")?;
        let status = until(PATIENCE, || self.lobby.has_ended()).await;
        let status = status.context("the lobby does not end")?;
        let all_said = until(PATIENCE, || self.lobby.has_said_all().then_some(())).await;
        all_said.context("the lobby's output stays open")?;
        if self.hosts.is_some() {
            return Ok((status, 0));
        }
        let rooms = self.log.seen().rooms_left();
        let alive = || rooms.iter().filter(|pid| is_room(**pid, &self.program)).count();
        let none = until(ORPHANS, || (alive() == 0).then_some(())).await;
        Ok((status, none.map_or_else(alive, |()| 0)))
    }

    /// Lets it replace its program, which is the same.
    pub async fn reload(&mut self) -> anyhow::Result<()> {
        let before = self.log.seen().reloads;
        kill_process(self.pid(), Signal::HUP).context("the lobby is gone")?;
        let over = || (self.log.seen().reloads > before).then_some(());
        until(PATIENCE, over).await.context("the lobby does not reload")
    }

    /// Starts it again with the same port and key.
    pub async fn start_again(&mut self) {
        if self.hosts.is_none() {
            self.log.seen().forget_lobby();
        }
        let port = self.lobby.port().to_string();
        self.lobby = self.builder.clone().env("CLUSTER_PORT", &port).start().await;
    }

    /// Its exit status, if it has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.lobby.has_ended()
    }
}

/// Polls until `look` returns something or the time is over.
pub async fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
