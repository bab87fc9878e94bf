//! Signals. One may reach all processes of a service at once, as from systemd, so rooms leave them
//! to the lobby, which stops them in order.
//!
//! Signals are ignored by handlers that do nothing. A child process would inherit `SIG_IGN`.

use std::{fs, io, process};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use crate::logging::FlushGuard;

/// They ask the lobby to stop.
pub(crate) const STOP: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP];
/// By default they end a process. `XFSZ`: a file has the largest size that `ulimit -f` allows.
pub(crate) const MEANINGLESS: [Signal; 3] = [Signal::USR1, Signal::USR2, Signal::XFSZ];

/// Ignores these signals from now on.
pub(crate) fn ignore(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(|name| signal(SignalKind::from_raw(name.as_raw())).map(drop))
}

/// Receives the signals that ask the lobby to stop. SIGHUP is not among them if it was ignored at
/// the start, as `nohup` does.
pub(crate) fn stop_signals() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for name in STOP.into_iter().filter(|name| *name != Signal::HUP || is_default(*name)) {
        let mut signal = signal(SignalKind::from_raw(name.as_raw()))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.send(name);
            }
        });
    }
    Ok(receiver)
}

/// Returns a future that is ready when the lobby is asked to stop. If it is asked again, this
/// process ends at once, even while a hook blocks; rooms end with it.
pub(crate) fn stop(log: FlushGuard) -> io::Result<impl Future<Output = ()>> {
    ignore(&MEANINGLESS)?;
    let mut signals = stop_signals()?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        signals.recv().await;
        let _ = stop.send(());
        // When a terminal is closed, both the shell and the kernel send SIGHUP.
        while signals.recv().await == Some(Signal::HUP) {}
        info!("asked again to stop; ending at once");
        drop(log);
        process::exit(0);
    });
    Ok(async {
        let _ = stopped.await;
        info!("asked to stop; stopping");
    })
}

/// Whether a signal was not ignored when this process started. False where that is not known.
fn is_default(name: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (name.as_raw() - 1) & 1 == 0)
}
