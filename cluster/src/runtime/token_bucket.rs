//! A token bucket: a sustained rate and a burst. The caller passes the time.

use std::time::Duration;

use tokio::time::Instant;

/// A sustained rate and a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    pub per_second: f64,
    pub burst: f64,
}

impl Quota {
    /// This rate, with a burst of so many seconds' worth.
    pub const fn new(per_second: u32, seconds: u32) -> Quota {
        Quota { per_second: per_second as f64, burst: per_second as f64 * seconds as f64 }
    }

    pub fn times(self, factor: f64) -> Quota {
        Quota { per_second: self.per_second * factor, burst: self.burst * factor }
    }
}

#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: Quota,
    /// Negative after a [`TokenBucket::take`] of more than there was.
    tokens: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    pub fn new(rate: Quota, now: Instant) -> Self {
        TokenBucket { rate, tokens: rate.burst, refilled_at: now }
    }

    /// The tokens at this time; negative while a debt is left.
    pub fn tokens(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        (self.tokens + passed * self.rate.per_second).min(self.rate.burst)
    }

    /// Whether there are so many tokens.
    pub fn has(&self, amount: usize, now: Instant) -> bool {
        self.tokens(now) >= amount as f64
    }

    /// Takes tokens even if that leaves a debt; returns how long to wait until it is paid off.
    pub fn take(&mut self, amount: usize, now: Instant) -> Duration {
        self.tokens = self.tokens(now) - amount as f64;
        self.refilled_at = now;
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.rate.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refilled_at_the_rate_and_up_to_the_burst() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut bucket = TokenBucket::new(Quota { per_second: 10.0, burst: 20.0 }, start);
        assert!(bucket.has(20, start) && !bucket.has(21, start));
        assert_eq!(bucket.take(20, start), Duration::ZERO);
        assert!(!bucket.has(1, after(99)) && bucket.has(1, after(100)));
        assert!(!bucket.has(21, after(60_000)) && bucket.has(20, after(60_000)));
    }

    #[test]
    fn taking_more_than_there_is_leaves_a_debt_to_wait_for() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Quota { per_second: 10.0, burst: 20.0 }, start);
        assert_eq!(bucket.take(20, start), Duration::ZERO);
        assert_eq!(bucket.take(5, start), Duration::from_millis(500));
        assert_eq!(bucket.take(5, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        assert_eq!(bucket.take(10, later), Duration::ZERO);
    }
}
