//! The lobby under test, in a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{
    kernel::{Holds, holds, is_room},
    log::Log,
};

/// Longer than it takes to start, or to stop, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);
/// When a lobby is gone, so are its rooms, within this. It takes milliseconds.
const ORPHANS: Duration = Duration::from_secs(2);

/// Dropping it kills it, and with it its rooms.
pub struct Lobby {
    pub url: String,
    pub log: Log,
    pub program: PathBuf,
    flags: Vec<String>,
    most_rooms: usize,
    folder: PathBuf,
    process: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Lobby {
    pub async fn start(
        program: &Path,
        flags: &[String],
        most_rooms: usize,
        log_file: &Path,
    ) -> anyhow::Result<Lobby> {
        let folder = std::env::temp_dir().join(format!("chaos-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        // As the lobby itself calls it when it starts a room.
        let program = &program.canonicalize().context("no such program")?;
        let log = Log::new(log_file)?;
        let process = spawn(program, flags, most_rooms, &folder, "0")?;
        let (program, flags, readers) = (program.to_owned(), flags.to_vec(), vec![]);
        let mut lobby =
            Lobby { url: String::new(), log, program, flags, most_rooms, folder, process, readers };
        lobby.wait_until_ready().await?;
        Ok(lobby)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub fn holds(&self) -> Holds {
        holds(self.pid())
    }

    /// Ends it with this signal; its rooms must end with it. Returns how it ended, and how many rooms did
    /// not.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<(ExitStatus, usize)> {
        kill_process(self.pid(), signal).context("the lobby was gone already")?;
        let status = until(PATIENCE, || self.process.try_wait().ok().flatten()).await;
        let status = status.context("the lobby does not end")?;
        // They have read all that it has written.
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        let rooms = self.log.seen().rooms_left();
        let alive = || rooms.iter().filter(|pid| is_room(**pid, &self.program)).count();
        let none = until(ORPHANS, || (alive() == 0).then_some(())).await;
        Ok((status, none.map_or_else(alive, |()| 0)))
    }

    /// Starts it again at the same port and with the same key.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.log.seen().forget_lobby();
        let port = self.url.rsplit(':').next().unwrap_or_default();
        self.process = spawn(&self.program, &self.flags, self.most_rooms, &self.folder, port)?;
        self.wait_until_ready().await
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let (out, err) = (self.process.stdout.take(), self.process.stderr.take());
        self.readers.extend(out.map(|out| self.log.read(out)));
        self.readers.extend(err.map(|err| self.log.read(err)));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(url) = self.log.seen().url.clone() {
                self.url = url;
                return Ok(());
            }
            if let Some(status) = self.has_ended() {
                bail!("the lobby has ended at once ({status}); its log says why");
            }
            ensure!(Instant::now() < deadline, "the lobby does not become ready");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(
    program: &Path,
    flags: &[String],
    most_rooms: usize,
    folder: &Path,
    port: &str,
) -> anyhow::Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(program);
    // Nothing but what stands here decides how it runs: settings of yours go behind `--`.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CLUSTER_")) {
        command.env_remove(name);
    }
    command
        .args(flags)
        .env("CLUSTER_PORT", port)
        .env("CLUSTER_KEY_FILE", folder.join("lobby.key"))
        .env("CLUSTER_LOG_FORMAT", "json")
        // As many as the players may need; all come from this machine.
        .env("CLUSTER_MAX_ROOMS", most_rooms.to_string())
        .env("CLUSTER_MAX_ROOMS_PER_ADDRESS", most_rooms.to_string())
        // So that the end of the run shows soon whether everything is given back.
        .env("CLUSTER_EMPTY_TIMEOUT", "2s")
        // The log of every day, and which process a room is.
        .env("RUST_LOG", "info,cluster::process::supervisor=debug")
        .env("RUST_BACKTRACE", "0")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for this program, which then ends the lobby.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Looks again and again, but not for ever.
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
