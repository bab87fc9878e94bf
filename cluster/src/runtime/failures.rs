//! Failures that any client may cause, such as an invalid token. To log each would flood the log;
//! to log none would hide an attack.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counts failures of one kind; the log gets the 1st, the 10th, the 100th …
pub(crate) struct FailureCounter {
    what: &'static str,
    pub count: AtomicU64,
}

impl FailureCounter {
    /// `what`: the failures' name in the log.
    pub const fn new(what: &'static str) -> Self {
        FailureCounter { what, count: AtomicU64::new(0) }
    }

    pub fn add(&self) {
        let count = self.count.fetch_add(1, Relaxed) + 1;
        if 10_u64.checked_pow(count.ilog10()) == Some(count) {
            tracing::warn!(count, "{}", self.what);
        }
    }
}
