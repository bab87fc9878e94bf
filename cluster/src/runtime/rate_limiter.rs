//! A rate limit for each key, such as a player or an address.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::time::Instant;

use crate::runtime::token_bucket::{Quota, TokenBucket};

/// Full buckets are dropped when there are more buckets than this.
const MIN_SWEEP: usize = 1024;

#[derive(Debug)]
pub(crate) struct KeyedRateLimiter<K> {
    rate: Quota,
    buckets: HashMap<K, TokenBucket>,
    /// The number of buckets at which full ones are dropped next.
    sweep_at: usize,
}

impl<K: Eq + Hash + Clone> KeyedRateLimiter<K> {
    pub fn new(rate: Quota) -> Self {
        KeyedRateLimiter { rate, buckets: HashMap::new(), sweep_at: MIN_SWEEP }
    }

    /// Whether [`KeyedRateLimiter::allow`] would say yes.
    pub fn would_allow(&self, key: &K, now: Instant) -> bool {
        self.buckets.get(key).is_none_or(|bucket| bucket.has(1, now))
    }

    /// Takes a token of this key. False: there is none, and the rate is exceeded.
    pub fn allow(&mut self, key: &K, now: Instant) -> bool {
        if !self.would_allow(key, now) {
            return false;
        }
        let bucket = self.buckets.entry(key.clone());
        bucket.or_insert_with(|| TokenBucket::new(self.rate, now)).take(1, now);
        if self.buckets.len() > self.sweep_at {
            self.buckets.retain(|_, bucket| bucket.tokens(now) < self.rate.burst);
            self.sweep_at = MIN_SWEEP.max(2 * self.buckets.len());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rates = KeyedRateLimiter::new(Quota::new(2, 10));
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!((0..30).filter(|_| rates.allow(&"Ann", start)).count(), 20);
        assert!(rates.allow(&"Bob", start), "each key has its own");
        assert!(!rates.allow(&"Ann", at(0.4)) && !rates.would_allow(&"Ann", at(0.4)));
        assert!(rates.allow(&"Ann", at(0.6)));
        let in_a_minute = (1..=600).filter(|n| rates.allow(&"Ann", at(0.6 + f64::from(*n) / 10.0)));
        assert!((118..=121).contains(&in_a_minute.count()));
    }

    #[test]
    fn idle_keys_are_forgotten() {
        let mut rates = KeyedRateLimiter::new(Quota::new(1, 1));
        let start = Instant::now();
        for n in 0..100_000_u32 {
            rates.allow(&n, start + Duration::from_millis(n.into()));
        }
        assert!(rates.buckets.len() < 3 * MIN_SWEEP, "{}", rates.buckets.len());
    }
}
