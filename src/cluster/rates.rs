//! How often somebody may do something: so many times a second in the mean, and some more at once (a token
//! bucket). The clock is passed in.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Forgotten as soon as it makes no difference; looked for when there are more than so many.
const REMEMBERED: usize = 1024;

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// In the mean.
    pub per_second: f64,
    /// At once.
    pub burst: f64,
}

impl Rate {
    /// So many a second, and what that makes in so many seconds at once.
    pub fn new(per_second: u32, seconds: u32) -> Rate {
        Rate { per_second: per_second.into(), burst: f64::from(per_second) * f64::from(seconds) }
    }

    /// So many at once, and again in each minute.
    pub fn per_minute(count: u32) -> Rate {
        Rate { per_second: f64::from(count) / 60.0, burst: count.into() }
    }

    pub fn times(self, factor: f64) -> Rate {
        Rate { per_second: self.per_second * factor, burst: self.burst * factor }
    }
}

/// How much somebody has done lately: rises by one each time, and falls by so many a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    level: f64,
    at: Instant,
}

impl Level {
    pub fn new(now: Instant) -> Level {
        Level { level: 0.0, at: now }
    }

    /// Counts once more; how much that is now.
    pub fn rise(&mut self, rate: Rate, now: Instant) -> f64 {
        self.level = self.now(rate, now) + 1.0;
        self.at = now;
        self.level
    }

    fn now(&self, rate: Rate, now: Instant) -> f64 {
        let passed: Duration = now.saturating_duration_since(self.at);
        (self.level - passed.as_secs_f64() * rate.per_second).max(0.0)
    }
}

/// The levels of many.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    rate: Rate,
    levels: HashMap<K, Level>,
    /// When to forget next.
    full: usize,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    pub fn new(rate: Rate) -> Self {
        Rates { rate, levels: HashMap::new(), full: REMEMBERED }
    }

    /// Whether once more would be allowed.
    pub fn would_allow(&self, who: &K, now: Instant) -> bool {
        let level = self.levels.get(who).map_or(0.0, |level| level.now(self.rate, now));
        level + 1.0 <= self.rate.burst
    }

    /// Counts, if it is allowed.
    pub fn allow(&mut self, who: &K, now: Instant) -> bool {
        let allowed = self.would_allow(who, now);
        if allowed {
            let level = self.levels.entry(who.clone()).or_insert(Level::new(now));
            level.rise(self.rate, now);
            self.forget(now);
        }
        allowed
    }

    fn forget(&mut self, now: Instant) {
        if self.levels.len() > self.full {
            let rate = self.rate;
            self.levels.retain(|_, level| level.now(rate, now) > 0.0);
            self.full = REMEMBERED.max(2 * self.levels.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let mut rates = Rates::new(Rate::new(2, 10));
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
        let mut rates = Rates::new(Rate::new(1, 1));
        let start = Instant::now();
        for n in 0..100_000_u32 {
            rates.allow(&n, start + Duration::from_millis(n.into()));
        }
        assert!(rates.levels.len() < 3 * REMEMBERED, "{}", rates.levels.len());
    }
}
