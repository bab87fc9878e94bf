//! Failures that any client may cause, such as an invalid token. To log each would flood the log;
//! to log none would hide an attack.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

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

/// How many names are counted. A hook may make up any number of codes; further ones count as
/// `other`.
const MAX_NAMES: usize = 100;

/// Counts by name.
pub(crate) struct NamedCounts(Mutex<BTreeMap<String, u64>>);

impl NamedCounts {
    pub const fn new() -> Self {
        NamedCounts(Mutex::new(BTreeMap::new()))
    }

    pub fn add(&self, name: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_counted = counts.len() < MAX_NAMES || counts.contains_key(name);
        let name = if is_counted { name } else { "other" };
        *counts.entry(name.to_owned()).or_default() += 1;
    }

    pub fn get(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
