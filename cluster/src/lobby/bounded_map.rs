//! A map of bounded size: one more entry replaces the oldest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct BoundedMap<K: Hash + Eq, V, const MAX: usize> {
    entries: HashMap<K, V>,
    in_order: VecDeque<K>,
}

impl<K: Hash + Eq, V, const MAX: usize> Default for BoundedMap<K, V, MAX> {
    fn default() -> Self {
        BoundedMap { entries: HashMap::new(), in_order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone, V, const MAX: usize> BoundedMap<K, V, MAX> {
    /// Sets the value of a key. One that has a value already keeps its place in the order.
    pub fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.in_order.push_back(key);
            let oldest = self.in_order.pop_front_if(|_| self.entries.len() > MAX);
            oldest.map(|oldest| self.entries.remove(&oldest));
        }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_too_many_replaces_the_oldest() {
        let mut map = BoundedMap::<_, _, 100>::default();
        for n in 0..100 {
            map.insert(n, n);
            map.insert(0, 7);
        }
        assert_eq!((map.get(&0), map.get(&99)), (Some(&7), Some(&99)));
        map.insert(100, 100);
        assert_eq!((map.get(&0), map.get(&1), map.get(&100)), (None, Some(&1), Some(&100)));
        assert_eq!((map.entries.len(), map.in_order.len()), (100, 100));
    }
}
