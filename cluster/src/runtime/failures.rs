//! Wrong tokens and wrong tickets, counted: one is a mistake, a thousand are somebody who code_attempts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) struct Wrong {
    /// What the log calls them.
    what: &'static str,
    count: AtomicU64,
}

impl Wrong {
    pub const fn new(what: &'static str) -> Self {
        Wrong { what, count: AtomicU64::new(0) }
    }

    /// One more. The log is told of the 1st, the 10th, the 100th …, and never what was shown.
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
