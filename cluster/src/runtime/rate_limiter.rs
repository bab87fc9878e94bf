//! Rate limits: a token bucket, and one for each key, such as a player or an address. The caller
//! passes the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};
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

/// A token bucket for each key.
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
        make_room(&mut buckets, |bucket| bucket.tokens(now) < self.rate.burst);
        let bucket = buckets.entry(key.clone()).or_insert_with(|| TokenBucket::new(self.rate, now));
        let allowed = bucket.has(1, now);
        if allowed {
            bucket.take(1, now);
        }
        allowed
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<K, TokenBucket>> {
        self.buckets.lock().expect("nobody panics while holding this")
    }
}

/// Called before an insertion. Where the map would have to grow, drops what is not needed, and
/// leaves room for as much as was left.
pub(crate) fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, keep: impl Fn(&V) -> bool) {
    if map.len() == map.capacity() {
        map.retain(|_, value| keep(value));
        map.reserve(map.len());
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
