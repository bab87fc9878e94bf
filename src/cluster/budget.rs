//! How much of something a room may do in a second, in the mean, and how much at once.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Budget {
    per_second: f64,
    at_once: f64,
    /// Below nothing: so much was taken that waiting must make up for it.
    left: f64,
    counted: Instant,
}

impl Budget {
    pub fn new(per_second: u32, at_once: u32, now: Instant) -> Self {
        let (per_second, at_once) = (f64::from(per_second), f64::from(at_once));
        Budget { per_second, at_once, left: at_once, counted: now }
    }

    /// Whether there is so much.
    pub fn has(&mut self, amount: usize, now: Instant) -> bool {
        self.left += now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = self.left.min(self.at_once);
        self.counted = now;
        self.left >= amount as f64
    }

    /// Takes so much in any case; how long to wait before taking more.
    pub fn spend(&mut self, amount: usize, now: Instant) -> Duration {
        self.has(amount, now);
        self.left -= amount as f64;
        Duration::from_secs_f64((-self.left).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_with_time_and_never_more_than_may_be_taken_at_once() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut budget = Budget::new(10, 20, start);
        assert!(budget.has(20, start) && !budget.has(21, start));
        assert_eq!(budget.spend(20, start), Duration::ZERO);
        assert!(!budget.has(1, after(99)) && budget.has(1, after(100)));
        assert!(!budget.has(21, after(60_000)) && budget.has(20, after(60_000)));
    }

    #[test]
    fn who_spends_more_than_there_is_waits_until_it_is_made_up_for() {
        let start = Instant::now();
        let mut budget = Budget::new(10, 20, start);
        assert_eq!(budget.spend(20, start), Duration::ZERO);
        assert_eq!(budget.spend(5, start), Duration::from_millis(500));
        assert_eq!(budget.spend(5, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        assert_eq!(budget.spend(10, later), Duration::ZERO);
    }
}
