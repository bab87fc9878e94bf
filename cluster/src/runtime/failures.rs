//! Counts invalid tokens and tickets: one is a mistake, a thousand are an attack.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) struct Wrong {
    /// The log line.
    what: &'static str,
    count: AtomicU64,
}

impl Wrong {
    pub const fn new(what: &'static str) -> Self {
        Wrong { what, count: AtomicU64::new(0) }
    }

    /// Counts one. Logs the 1st, 10th, 100th …, without the token or ticket itself.
    pub fn add(&self) {
        let count = self.count.fetch_add(1, Relaxed).saturating_add(1);
        if 10_u64.checked_pow(count.ilog10()) == Some(count) {
            tracing::warn!(count, "{}", self.what);
        }
    }

    #[cfg(test)]
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}
