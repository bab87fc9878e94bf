//! How much of something may be done in a second, in the mean, and how much at once (a token bucket). The clock is
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub per_second: f64,
    pub at_once: f64,
}

impl Rate {
    /// So much a second, and what that makes in so many seconds at once.
    pub const fn new(per_second: u32, seconds: u32) -> Rate {
        Rate { per_second: per_second as f64, at_once: per_second as f64 * seconds as f64 }
    }

    /// So much at once, and again in each minute.
    pub fn per_minute(amount: u32) -> Rate {
        Rate { per_second: f64::from(amount) / 60.0, at_once: amount.into() }
    }

    pub fn times(self, factor: f64) -> Rate {
        Rate { per_second: self.per_second * factor, at_once: self.at_once * factor }
    }
}

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget {
    rate: Rate,
    /// Below nothing: so much was taken that waiting must make up for it.
    left: f64,
    counted: Instant,
}

impl Budget {
    pub fn new(rate: Rate, now: Instant) -> Self {
        Budget { rate, left: rate.at_once, counted: now }
    }

    /// How much there is; below nothing, how much too much was taken.
    pub fn left(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        (self.left + passed * self.rate.per_second).min(self.rate.at_once)
    }

    /// Whether there is so much.
    pub fn has(&self, amount: usize, now: Instant) -> bool {
        self.left(now) >= amount as f64
    }

    /// Takes so much in any case; how long to wait before taking more.
    pub fn spend(&mut self, amount: usize, now: Instant) -> Duration {
        self.left = self.left(now) - amount as f64;
        self.counted = now;
        Duration::from_secs_f64((-self.left).max(0.0) / self.rate.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_with_time_and_never_more_than_may_be_taken_at_once() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut budget = Budget::new(Rate { per_second: 10.0, at_once: 20.0 }, start);
        assert!(budget.has(20, start) && !budget.has(21, start));
        assert_eq!(budget.spend(20, start), Duration::ZERO);
        assert!(!budget.has(1, after(99)) && budget.has(1, after(100)));
        assert!(!budget.has(21, after(60_000)) && budget.has(20, after(60_000)));
    }

    #[test]
    fn who_spends_more_than_there_is_waits_until_it_is_made_up_for() {
        let start = Instant::now();
        let mut budget = Budget::new(Rate { per_second: 10.0, at_once: 20.0 }, start);
        assert_eq!(budget.spend(20, start), Duration::ZERO);
        assert_eq!(budget.spend(5, start), Duration::from_millis(500));
        assert_eq!(budget.spend(5, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        assert_eq!(budget.spend(10, later), Duration::ZERO);
    }
}
