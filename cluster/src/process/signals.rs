//! Signals. One may reach all processes of a service at once, as from systemd, so rooms leave them
//! to the lobby, which stops them in order.
//!
//! Signals are ignored by handlers that do nothing. A child process would inherit `SIG_IGN`.

use std::io::IsTerminal as _;
use std::{fs, io, process};

use futures_util::stream::{self, SelectAll};
use futures_util::{Stream, StreamExt as _};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;

use crate::logging;

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
pub(crate) fn stop_signals() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let names = STOP.into_iter().filter(|name| *name != Signal::HUP || is_default(*name));
    let received = names.map(|name| {
        let mut signal = signal(SignalKind::from_raw(name.as_raw()))?;
        Ok(stream::poll_fn(move |cx| signal.poll_recv(cx)).map(move |()| name))
    });
    received.collect::<io::Result<SelectAll<_>>>()
}

/// What signals ask of the lobby.
#[derive(PartialEq, Eq)]
pub(crate) enum Order {
    Stop,
    Reload,
}

/// Receives what the lobby is asked for: to reload, by SIGHUP, or to stop. First it is to drain its
/// rooms, which releases the lock of the key, and then to stop at once. Asked a third time, this
/// process ends, even while a hook blocks; rooms end with it.
pub(crate) fn orders(key_lock: impl Send + 'static) -> io::Result<mpsc::UnboundedReceiver<Order>> {
    ignore(&MEANINGLESS)?;
    let mut signals = stop_signals()?;
    let (order, orders) = mpsc::unbounded_channel();
    // A terminal that is closed sends it, too.
    let reloads = !io::stdin().is_terminal();
    tokio::spawn(async move {
        while signals.next().await == Some(Signal::HUP) && reloads {
            let _ = order.send(Order::Reload);
        }
        info!("asked to stop; draining");
        drop(key_lock); // the next lobby may start meanwhile
        let _ = order.send(Order::Stop);
        // When a terminal is closed, both the shell and the kernel send SIGHUP.
        while signals.next().await == Some(Signal::HUP) {}
        info!("asked again to stop; stopping now");
        let _ = order.send(Order::Stop);
        while signals.next().await == Some(Signal::HUP) {}
        info!("asked a third time to stop; ending at once");
        logging::flush();
        process::exit(1);
    });
    Ok(orders)
}

/// Whether a signal was not ignored when this process started. False where that is not known.
fn is_default(name: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (name.as_raw() - 1) & 1 == 0)
}
