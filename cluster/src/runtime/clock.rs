//! A clock that stands still while this process does not run. With the usual clock, a lobby that
//! was stopped for a few seconds (Ctrl-Z, a frozen container) would find every timeout expired when
//! it resumes, although the heartbeats of its rooms wait in their sockets.
//!
//! The kernel does not report pauses, so something reads the clock in every [`TICK`]. If nothing
//! has read it for longer than [`PAUSE`], the process did not run, and the time counts as one tick.
//!
//! All deadlines use this clock. Rate limits do not: clients send during a pause, too.

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, error::Elapsed};

/// The clock is read at least this often.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A longer gap between two readings is a pause.
const PAUSE: Duration = Duration::from_millis(500);
/// After a timeout, sockets are polled once more for so long: after a pause the runtime handles
/// timers first.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// `None` until `start`, as in tests: then it is the usual clock.
static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

struct Clock {
    /// The last reading of the usual clock.
    seen: Instant,
    /// The time of all pauses so far.
    lost: Duration,
    pauses: u64,
}

impl Clock {
    fn read(&mut self, real: Instant) -> Instant {
        let passed = real.saturating_duration_since(self.seen);
        if passed > PAUSE {
            self.lost += passed - TICK;
            self.pauses += 1;
        }
        self.seen = self.seen.max(real);
        self.seen - self.lost
    }
}

/// From now on pauses do not count. The caller makes sure that a thread of its own calls [`now`] in
/// every [`TICK`].
pub(crate) fn start() {
    let clock = Clock { seen: Instant::now(), lost: Duration::ZERO, pauses: 0 };
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(clock);
}

/// The time of this clock.
pub(crate) fn now() -> Instant {
    read().0
}

/// The number of pauses so far.
pub(crate) fn pauses() -> u64 {
    read().1
}

fn read() -> (Instant, u64) {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let real = Instant::now();
    clock.as_mut().map_or((real, 0), |clock| (clock.read(real), clock.pauses))
}

/// Sleeps until this time of this clock.
pub(crate) async fn sleep_until(at: Instant) {
    let before = pauses();
    while let Some(left) = at.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left).await;
    }
    if pauses() != before {
        tokio::time::sleep(LAST_LOOK).await;
    }
}

/// A timeout by this clock. After a pause it starts again once, since the other side may have been
/// paused as well.
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
    tokio::time::timeout(LAST_LOOK, future).await
}

/// `now + time`, limited to ten years, since adding `Duration::MAX` would panic.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    now + time.min(YEARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_as_one_tick_whoever_looks_first() {
        let start = Instant::now();
        let mut clock = Clock { seen: start, lost: Duration::ZERO, pauses: 0 };
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.read(after(250)), after(250));
        assert_eq!(clock.read(after(740)), after(740), "late, but no pause");
        assert_eq!((clock.read(after(60_740)), clock.pauses), (after(990), 1));
        assert_eq!(clock.read(after(60_740)), after(990), "the next one sees the same");
        assert_eq!(clock.read(after(60_730)), after(990), "it never goes back");
        assert_eq!((clock.read(after(60_940)), clock.pauses), (after(1190), 1));
    }

    #[test]
    fn a_process_that_seldom_runs_has_time_as_well() {
        let start = Instant::now();
        let mut clock = Clock { seen: start, lost: Duration::ZERO, pauses: 0 };
        let last = (1..=12).map(|second| clock.read(start + Duration::from_secs(second))).last();
        assert_eq!(last, Some(start + 12 * TICK));
    }
}
