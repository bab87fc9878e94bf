//! The first process of a container, PID 1. Orphaned processes become its children, and only it can
//! reap them. A lobby that reaped every child would take the exit status of those that hooks wait
//! for. So PID 1 starts the lobby as a child, forwards signals to it, and reaps all others.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use rustix::process::{Pid, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::process::signals;

/// The program of this process, even if the file at its path was replaced.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Runs the lobby as a child process. Returns its exit status, or 128 and the signal that ended it.
/// What is left in the container then ends with this process.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        // Received before the lobby starts, so that none is lost.
        let mut children = signal(SignalKind::child())?;
        let mut stop = signals::stop_signals()?;
        let mut args = std::env::args_os();
        let mut lobby = Command::new(own_program()?);
        // Ctrl-C in a terminal reaches a whole process group: the lobby would get it twice.
        lobby.arg0(args.next().unwrap_or_default()).args(args).process_group(0);
        let lobby = Pid::from_child(&lobby.spawn().context("cannot start the lobby")?);
        loop {
            while let Some((process, status)) = wait(WaitOptions::NOHANG)? {
                if process == lobby {
                    let signal = status.terminating_signal().map(|signal| 128 + signal);
                    return Ok(ExitCode::from(status.exit_status().or(signal).unwrap_or(1) as u8));
                }
            }
            tokio::select! {
                _ = children.recv() => {}
                Some(signal) = stop.next() => kill_process(lobby, signal)?,
            }
        }
    })
}
