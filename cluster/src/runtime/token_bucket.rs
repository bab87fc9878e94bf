//! How much of something may be done in a second, in the mean, and how much at once (a token bucket). The clock is
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    pub per_second: f64,
    pub burst: f64,
}

impl Quota {
    /// So much a second, and what that makes in so many seconds at once.
    pub const fn new(per_second: u32, seconds: u32) -> Quota {
        Quota { per_second: per_second as f64, burst: per_second as f64 * seconds as f64 }
    }

    /// So much at once, and again in each minute.
    pub fn per_minute(amount: u32) -> Quota {
        Quota { per_second: f64::from(amount) / 60.0, burst: amount.into() }
    }

    pub fn times(self, factor: f64) -> Quota {
        Quota { per_second: self.per_second * factor, burst: self.burst * factor }
    }
}

/// What is tokens of it.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: Quota,
    /// Below nothing: so much was taken that waiting must make up for it.
    tokens: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    pub fn new(rate: Quota, now: Instant) -> Self {
        TokenBucket { rate, tokens: rate.burst, refilled_at: now }
    }

    /// How much there is; below nothing, how much too much was taken.
    pub fn tokens(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        (self.tokens + passed * self.rate.per_second).min(self.rate.burst)
    }

    /// Whether there is so much.
    pub fn has(&self, amount: usize, now: Instant) -> bool {
        self.tokens(now) >= amount as f64
    }

    /// Takes so much in any case; how long to wait before taking more.
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
    fn what_was_taken_comes_back_with_time_and_never_more_than_may_be_taken_at_once() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut bucket = TokenBucket::new(Quota { per_second: 10.0, burst: 20.0 }, start);
        assert!(bucket.has(20, start) && !bucket.has(21, start));
        assert_eq!(bucket.take(20, start), Duration::ZERO);
        assert!(!bucket.has(1, after(99)) && bucket.has(1, after(100)));
        assert!(!bucket.has(21, after(60_000)) && bucket.has(20, after(60_000)));
    }

    #[test]
    fn who_spends_more_than_there_is_waits_until_it_is_made_up_for() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Quota { per_second: 10.0, burst: 20.0 }, start);
        assert_eq!(bucket.take(20, start), Duration::ZERO);
        assert_eq!(bucket.take(5, start), Duration::from_millis(500));
        assert_eq!(bucket.take(5, start), Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        assert_eq!(bucket.take(10, later), Duration::ZERO);
    }
}
