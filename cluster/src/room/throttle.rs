//! Something that hooks ask for often, and that is done at most once a period: at once, or when the
//! period is over.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::later;

pub(crate) struct Throttle {
    pub period: Cell<Duration>,
    /// Asked for, and not yet done.
    marked: Cell<bool>,
    done_at: Cell<Option<Instant>>,
}

impl Throttle {
    pub fn new(period: Duration) -> Self {
        Throttle { period: Cell::new(period), marked: Cell::new(false), done_at: Cell::new(None) }
    }

    pub fn mark(&self) {
        self.marked.set(true);
    }

    pub fn clear(&self) {
        self.marked.set(false);
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

    #[test]
    fn it_is_done_at_once_and_then_once_a_period() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let throttle = Throttle::new(Duration::from_millis(50));
        assert!(!throttle.take(start) && throttle.due(start).is_none());
        throttle.mark();
        assert!(throttle.take(start) && !throttle.take(start));
        throttle.mark();
        throttle.mark();
        assert_eq!(throttle.due(after(10)), Some(after(50)));
        assert!(
            !throttle.take(after(49)) && throttle.take(after(50)) && !throttle.take(after(200))
        );
        throttle.mark();
        assert!(throttle.take(after(200)), "a period has passed");
    }
}
