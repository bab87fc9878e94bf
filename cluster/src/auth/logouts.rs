//! Logins that were logged out before their tokens expire. In memory only: a restarted lobby
//! accepts their tokens again.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

/// Logouts that are remembered, some ten megabytes. One more replaces the oldest.
const MAX_LOGOUTS: usize = 100_000;

#[derive(Default)]
pub(crate) struct Logouts {
    logins: HashSet<Rc<str>>,
    in_order: VecDeque<Rc<str>>,
}

impl Logouts {
    /// Revokes all tokens of this login.
    pub fn add(&mut self, sid: &str) {
        let sid: Rc<str> = sid.into();
        if self.logins.insert(sid.clone()) {
            self.in_order.push_back(sid);
            let oldest = self.in_order.pop_front_if(|_| self.logins.len() > MAX_LOGOUTS);
            oldest.map(|oldest| self.logins.remove(&oldest));
        }
    }

    pub fn contains(&self, sid: &str) -> bool {
        self.logins.contains(sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_logouts_are_remembered_and_then_the_oldest_is_forgotten() {
        let mut logouts = Logouts::default();
        for n in 0..MAX_LOGOUTS {
            logouts.add(&n.to_string());
            logouts.add("0");
        }
        assert!(logouts.contains("0") && logouts.contains(&(MAX_LOGOUTS - 1).to_string()));
        logouts.add("one more");
        assert!(!logouts.contains("0") && logouts.contains("1") && logouts.contains("one more"));
        assert_eq!((logouts.logins.len(), logouts.in_order.len()), (MAX_LOGOUTS, MAX_LOGOUTS));
    }
}
