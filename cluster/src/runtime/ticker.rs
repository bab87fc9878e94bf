//! What an event loop does at a rate: ticks, and what is done at most once a period.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::later;

/// After a delay of up to this many periods the missed ticks are made up for. After a longer stall
/// they are skipped.
const MAX_LATE_TICKS: u32 = 2;

/// How late a tick of this process was at most, in milliseconds, since it was taken last.
static LONGEST_DELAY: AtomicU32 = AtomicU32::new(0);

pub(crate) fn take_tick_delay() -> u32 {
    LONGEST_DELAY.swap(0, Relaxed)
}

/// The tick of a room: a fixed rate that may change, without a burst of ticks after a stall.
pub(crate) struct Ticker {
    last: Instant,
    /// When the next tick is due, and the period from which that was computed.
    next: Option<(Instant, Duration)>,
}

impl Ticker {
    pub fn new(now: Instant) -> Self {
        Ticker { last: now, next: None }
    }

    /// When the next tick is due. A new period counts from the last tick.
    pub fn due(&self, period: Duration) -> Instant {
        let next = self.next.filter(|(_, computed_from)| *computed_from == period);
        next.map_or(self.last + period, |(due, _)| due)
    }

    /// If a tick is due: the time since the last one, and how late this one is.
    pub fn tick(&mut self, now: Instant, period: Duration) -> Option<(Duration, Duration)> {
        let due = self.due(period);
        let delay = now.checked_duration_since(due)?;
        LONGEST_DELAY.fetch_max(delay.as_millis().try_into().unwrap_or(u32::MAX), Relaxed);
        let base = if delay > MAX_LATE_TICKS * period { now } else { due };
        self.next = Some((base + period, period));
        Some((now - std::mem::replace(&mut self.last, now), delay))
    }
}

/// Something that hooks ask for often, and that is done at most once a period: at once, or when the
/// period is over.
pub(crate) struct Throttle {
    pub period: Cell<Duration>,
    /// Asked for, and not yet done.
    pub marked: Cell<bool>,
    done_at: Cell<Option<Instant>>,
}

impl Throttle {
    pub fn new(period: Duration) -> Self {
        Throttle { period: Cell::new(period), marked: Cell::new(false), done_at: Cell::new(None) }
    }

    /// When it is to be done; `None` if it was not asked for.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let due = self.done_at.get().map_or(now, |done| later(done, self.period.get()));
        self.marked.get().then_some(due)
    }

    /// Whether to do it now.
    pub fn take(&self, now: Instant) -> bool {
        let is_due = self.due(now).is_some_and(|due| due <= now);
        if is_due {
            self.marked.set(false);
            self.done_at.set(Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    #[test]
    fn a_late_moment_is_made_up_for_by_two_ticks_at_most() {
        let start = Instant::now();
        let mut ticker = Ticker::new(start);
        assert!(ticker.tick(start, PERIOD).is_none());
        let now = start + 3 * PERIOD;
        let ticks: Vec<_> = std::iter::from_fn(|| ticker.tick(now, PERIOD)).collect();
        let delays: Vec<_> = ticks.iter().map(|(_, delay)| *delay).collect();
        assert_eq!(delays, [2 * PERIOD, PERIOD, Duration::ZERO]);
        let now = now + 100 * PERIOD;
        assert_eq!(ticker.tick(now, PERIOD), Some((100 * PERIOD, 99 * PERIOD)), "it is late");
        assert!(ticker.tick(now, PERIOD).is_none(), "the others are skipped");
    }

    #[test]
    fn a_new_rate_counts_from_the_last_tick() {
        let start = Instant::now();
        let mut ticker = Ticker::new(start);
        ticker.tick(start + PERIOD, PERIOD).expect("a tick");
        assert_eq!(ticker.due(4 * PERIOD), start + 5 * PERIOD);
        assert_eq!(ticker.due(PERIOD), start + 2 * PERIOD);
    }

    #[test]
    fn it_is_done_at_once_and_then_once_a_period() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let throttle = Throttle::new(Duration::from_millis(50));
        assert!(!throttle.take(start) && throttle.due(start).is_none());
        throttle.marked.set(true);
        assert!(throttle.take(start) && !throttle.take(start));
        throttle.marked.set(true);
        throttle.marked.set(true);
        assert_eq!(throttle.due(after(10)), Some(after(50)));
        assert!(
            !throttle.take(after(49)) && throttle.take(after(50)) && !throttle.take(after(200))
        );
        throttle.marked.set(true);
        assert!(throttle.take(after(200)), "a period has passed");
    }
}
