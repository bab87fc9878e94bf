//! Replaces the program of this process. `exec` keeps the process with its number, its children,
//! and the files that it hands over: they are sent through a socket that becomes stdin. The first
//! of them is a file in memory with the state as JSON.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, process};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use rustix::stdio::{dup2_stdin, stdin};
use serde::Serialize;

use crate::logging;
use crate::process::channel::{MAX_FILES, receive_files, send_files};
use crate::process::signals;
use crate::runtime::memory_file;

/// The first argument of a program that is asked whether it can go on with the state on its stdin.
pub(crate) const CHECK: &str = "check-reload";
/// What it prints then.
pub(crate) const CHECKED: &str = "this program can take over";
/// How long it may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Tells the next program that it is started by `exec`: it holds the number of this process.
const VARIABLE: &str = "CLUSTER_RELOADED";

/// Replaces the program by the one at its path. Returns if that is not possible, or if this one has
/// been `asked` for something else meanwhile: the next would not know.
pub(crate) async fn replace(
    state: &impl Serialize,
    files: &[BorrowedFd<'_>],
    asked: impl Fn() -> bool,
) -> anyhow::Result<Infallible> {
    let mut memory = memory_file().context("this system cannot reload")?;
    memory.write_all(&serde_json::to_vec(state)?)?;
    memory.rewind()?;
    check(&memory).await?;
    memory.rewind()?;
    let (ours, theirs) = UnixStream::pair()?;
    let files: Vec<_> = [memory.as_fd()].iter().chain(files).copied().collect();
    for files in files.chunks(MAX_FILES) {
        send_files(&ours, b".", files)?;
    }
    logging::flush();
    ensure!(!asked(), "a signal has come meanwhile");
    let mut next = command(None);
    let error = next.env(VARIABLE, process::id().to_string()).stdin(OwnedFd::from(theirs)).exec();
    // `exec` has changed both already.
    signals::ignore(&[Signal::PIPE])?;
    dup2_stdin(File::open("/dev/null")?)?;
    Err(error.into())
}

/// The program at this one's path, with the same arguments.
fn command(first: Option<&str>) -> Command {
    let mut args = env::args_os();
    let mut command = Command::new(args.next().unwrap_or_default());
    command.args(first).args(args);
    command
}

/// Asks the next program whether it can go on with this state.
async fn check(state: &File) -> anyhow::Result<()> {
    let mut check = tokio::process::Command::from(command(Some(CHECK)));
    check.stdin(Stdio::from(state.try_clone()?)).kill_on_drop(true);
    let output = tokio::time::timeout(CHECK_TIMEOUT, check.output()).await;
    let output = output.context("it does not answer")??;
    // The project's `main` may have printed something before.
    if String::from_utf8_lossy(&output.stdout).lines().last() != Some(CHECKED) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().next().unwrap_or("it says nothing"));
    }
    Ok(())
}

/// The state and the files that the previous program has handed over. `None`: there was none.
pub(crate) fn receive() -> anyhow::Result<Option<(impl Read, Vec<OwnedFd>)>> {
    if env::var(VARIABLE) != Ok(process::id().to_string()) {
        return Ok(None);
    }
    // By default a second SIGHUP would end this process, until its runtime handles signals.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { signals::ignore(&[Signal::HUP]) })?;
    let mut files = Vec::new();
    while receive_files(stdin(), &mut Vec::new(), Some(&mut files))? > 0 {}
    dup2_stdin(File::open("/dev/null")?)?;
    // At least the listener comes with the state.
    ensure!(files.len() > 1, "no state has come");
    Ok(Some((File::from(files.remove(0)), files)))
}
