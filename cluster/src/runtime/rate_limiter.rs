//! A rate limit for each key, such as a player or an address.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use crate::runtime::token_bucket::{Quota, TokenBucket};

pub(crate) struct KeyedRateLimiter<K> {
    rate: Quota,
    buckets: Mutex<HashMap<K, TokenBucket>>,
}

impl<K: Eq + Hash + Clone> KeyedRateLimiter<K> {
    pub fn new(rate: Quota) -> Self {
        KeyedRateLimiter { rate, buckets: Mutex::default() }
    }

    /// Whether [`KeyedRateLimiter::allow`] would return true.
    pub fn would_allow(&self, key: &K, now: Instant) -> bool {
        self.buckets().get(key).is_none_or(|bucket| bucket.has(1, now))
    }

    /// Takes a token of this key. Returns `false` if there is none: the rate is exceeded.
    pub fn allow(&self, key: &K, now: Instant) -> bool {
        let mut buckets = self.buckets();
        if let Some(bucket) = buckets.get_mut(key) {
            let allowed = bucket.has(1, now);
            if allowed {
                bucket.take(1, now);
            }
            return allowed;
        }
        // Drops full buckets whenever the map would have to grow.
        if buckets.len() == buckets.capacity() {
            buckets.retain(|_, bucket| bucket.tokens(now) < self.rate.burst);
            let left = buckets.len();
            buckets.reserve(left);
        }
        let mut bucket = TokenBucket::new(self.rate, now);
        bucket.take(1, now);
        buckets.insert(key.clone(), bucket);
        true
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<K, TokenBucket>> {
        self.buckets.lock().expect("nobody panics while holding this")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rates = KeyedRateLimiter::new(Quota::new(2, 10));
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
        let rates = KeyedRateLimiter::new(Quota::new(1, 1));
        let start = Instant::now();
        for n in 0..100_000_u32 {
            rates.allow(&n, start + Duration::from_millis(n.into()));
        }
        // A bucket is full again after a second, in which a thousand others come.
        assert!(rates.buckets().len() < 8_000, "{}", rates.buckets().len());
    }
}
