//! The time during which this process ran: the clock of timers and timeouts.
//!
//! A timeout by another clock also counts time in which the process was stopped (Ctrl-Z, a frozen
//! container). A lobby that goes on after ten seconds would find every heartbeat timeout expired,
//! while the heartbeats wait unread in its sockets. This clock stands still instead.
//!
//! A process is not told of a pause, so a thread reads the clock every [`READ_INTERVAL`]. A gap of
//! more than [`PAUSE`] between two reads was a pause and counts as one interval: the clock of a
//! starved process runs slowly, but does not stand still. Rate limits use the real time: what a
//! client sends during a pause has been sent.

#[cfg(any(test, feature = "testing"))]
use std::cell::Cell;
use std::pin::pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

/// How often a thread reads the clock in a process that runs.
pub(crate) const READ_INTERVAL: Duration = Duration::from_millis(250);
/// A longer gap between two reads was a pause.
const PAUSE: Duration = Duration::from_millis(500);
/// After a pause the runtime fires timers before it reads sockets. A timeout that has expired waits
/// this much longer for what the sockets hold.
const GRACE: Duration = Duration::from_millis(10);

/// Empty until [`start`], as in tests: [`now`] is then the real time.
static CLOCK: OnceLock<Mutex<Clock>> = OnceLock::new();

// The time on this thread while a `TestLobby` runs. Meanwhile a panic in a hook fails the test.
#[cfg(any(test, feature = "testing"))]
thread_local!(pub(crate) static TEST_TIME: Cell<Option<Instant>> = const { Cell::new(None) });

struct Clock {
    last_read: Instant,
    /// How far this clock is behind: the sum of all pauses, less one [`READ_INTERVAL`] for each.
    lost: Duration,
    pauses: u64,
}

impl Clock {
    fn new(now: Instant) -> Self {
        Clock { last_read: now, lost: Duration::ZERO, pauses: 0 }
    }

    fn read(&mut self, real: Instant) -> Instant {
        let passed = real.saturating_duration_since(self.last_read);
        if passed > PAUSE {
            self.lost += passed - READ_INTERVAL;
            self.pauses += 1;
        }
        self.last_read += passed;
        self.last_read - self.lost
    }
}

/// From now on pauses do not count. Starts a thread of this name that reads the clock after each
/// call of `wait`, which must take [`READ_INTERVAL`].
pub(crate) fn start(name: &str, wait: impl Fn() + Send + 'static) -> io::Result<()> {
    CLOCK.get_or_init(|| Mutex::new(Clock::new(Instant::now())));
    let read = move || {
        loop {
            wait();
            now();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(read).map(drop)
}

pub(crate) fn now() -> Instant {
    read().0
}

/// A clock of the machine, in milliseconds: the same in all its processes. It also counts pauses,
/// and on Linux the time in which the machine was suspended.
pub(crate) fn machine_ms() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    (now.tv_sec as u64).saturating_mul(1000) + now.tv_nsec as u64 / 1_000_000
}

/// How many pauses there were.
pub(crate) fn pauses() -> u64 {
    read().1
}

fn read() -> (Instant, u64) {
    #[cfg(any(test, feature = "testing"))]
    if let Some(now) = TEST_TIME.get() {
        return (now, 0);
    }
    let Some(clock) = CLOCK.get() else { return (Instant::now(), 0) };
    let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
    (clock.read(Instant::now()), clock.pauses)
}

/// Sleeps until then by this clock, or for ever without a time.
pub(crate) async fn sleep_until(at: impl Into<Option<Instant>>) {
    let Some(at) = at.into() else { return std::future::pending().await };
    let before = pauses();
    while let Some(left) = at.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left).await;
    }
    if pauses() != before {
        tokio::time::sleep(GRACE).await;
    }
}

/// Limits a future to so much time by this clock. After a pause it gets the limit once more: the
/// process it waits for may have been paused as well.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    for _ in 0..2 {
        let before = pauses();
        tokio::select! {
            biased;
            output = &mut future => return Ok(output),
            () = sleep_until(later(now(), limit)) => {}
        }
        if pauses() == before {
            break;
        }
    }
    tokio::time::timeout(GRACE, future).await
}

/// Adds a time that may be as large as `Duration::MAX`: at most ten years, so nothing overflows.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    now + time.min(TEN_YEARS)
}

/// Serializes a time as what is left until then: another process may have another clock.
pub(crate) mod time_left {
    use super::*;

    pub fn serialize<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        at.saturating_duration_since(now()).serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Instant, D::Error> {
        Ok(later(now(), Duration::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_as_one_interval_whichever_thread_reads_it_first() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.read(after(250)), after(250));
        assert_eq!(clock.read(after(740)), after(740), "late, but no pause");
        assert_eq!((clock.read(after(60_740)), clock.pauses), (after(990), 1));
        assert_eq!(clock.read(after(60_740)), after(990), "the next read gives the same");
        assert_eq!(clock.read(after(60_730)), after(990), "it never goes back");
        assert_eq!((clock.read(after(60_940)), clock.pauses), (after(1190), 1));
    }

    #[test]
    fn time_passes_also_in_a_process_that_seldom_runs() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let last = (1..=12).map(|second| clock.read(start + Duration::from_secs(second))).last();
        assert_eq!(last, Some(start + 12 * READ_INTERVAL));
    }
}
