//! Logins that were ended before their tokens expire. In memory only: a lobby that starts again knows
//! nothing of them.

use std::{
    collections::{HashSet, VecDeque},
    rc::Rc,
};

/// So many are remembered, some ten megabytes; for one more the oldest is forgotten.
const MOST: usize = 100_000;

#[derive(Default)]
pub(crate) struct Logouts {
    logins: HashSet<Rc<str>>,
    in_order: VecDeque<Rc<str>>,
}

impl Logouts {
    /// This login has ended: no token of it is good any more.
    pub fn add(&mut self, login: &str) {
        let login: Rc<str> = login.into();
        if self.logins.insert(login.clone()) {
            self.in_order.push_back(login);
            let oldest = self.in_order.pop_front_if(|_| self.logins.len() > MOST);
            oldest.map(|oldest| self.logins.remove(&oldest));
        }
    }

    pub fn contains(&self, login: &str) -> bool {
        self.logins.contains(login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_logouts_are_remembered_and_then_the_oldest_is_forgotten() {
        let mut logouts = Logouts::default();
        for n in 0..MOST {
            logouts.add(&n.to_string());
            logouts.add("0");
        }
        assert!(logouts.contains("0") && logouts.contains(&(MOST - 1).to_string()));
        logouts.add("one more");
        assert!(!logouts.contains("0") && logouts.contains("1") && logouts.contains("one more"));
        assert_eq!((logouts.logins.len(), logouts.in_order.len()), (MOST, MOST));
    }
}
