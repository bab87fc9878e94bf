//! How often each of many may do something.

use std::{collections::HashMap, hash::Hash};

use tokio::time::Instant;

use crate::runtime::token_bucket::{Quota, TokenBucket};

/// Who has done nothing lately is forgotten; looked for when there are more than so many.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(crate) struct KeyedRateLimiter<K> {
    rate: Quota,
    buckets: HashMap<K, TokenBucket>,
    /// When to forget next.
    full: usize,
}

impl<K: Eq + Hash + Clone> KeyedRateLimiter<K> {
    pub fn new(rate: Quota) -> Self {
        KeyedRateLimiter { rate, buckets: HashMap::new(), full: REMEMBERED }
    }

    /// Whether once more would be allowed.
    pub fn would_allow(&self, who: &K, now: Instant) -> bool {
        self.buckets.get(who).is_none_or(|bucket| bucket.has(1, now))
    }

    /// Counts, if it is allowed.
    pub fn allow(&mut self, who: &K, now: Instant) -> bool {
        if !self.would_allow(who, now) {
            return false;
        }
        let bucket = self.buckets.entry(who.clone());
        bucket.or_insert_with(|| TokenBucket::new(self.rate, now)).take(1, now);
        self.forget(now);
        true
    }

    fn forget(&mut self, now: Instant) {
        if self.buckets.len() > self.full {
            self.buckets.retain(|_, bucket| bucket.tokens(now) < self.rate.burst);
            self.full = REMEMBERED.max(2 * self.buckets.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let mut rates = KeyedRateLimiter::new(Quota::new(2, 10));
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!((0..30).filter(|_| rates.allow(&"Ann", start)).count(), 20);
        assert!(rates.allow(&"Bob", start), "each for himself");
        assert!(!rates.allow(&"Ann", at(0.4)) && !rates.would_allow(&"Ann", at(0.4)));
        assert!(rates.allow(&"Ann", at(0.6)));
        let in_a_minute = (1..=600).filter(|n| rates.allow(&"Ann", at(0.6 + f64::from(*n) / 10.0)));
        assert!((118..=121).contains(&in_a_minute.count()));
    }

    #[test]
    fn those_who_have_done_nothing_lately_are_forgotten() {
        let mut rates = KeyedRateLimiter::new(Quota::new(1, 1));
        let start = Instant::now();
        for n in 0..100_000_u32 {
            rates.allow(&n, start + Duration::from_millis(n.into()));
        }
        assert!(rates.buckets.len() < 3 * REMEMBERED, "{}", rates.buckets.len());
    }
}
