//! A map of bounded size: one more entry replaces the oldest.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct BoundedMap<V, const MAX: usize> {
    entries: HashMap<String, V>,
    in_order: VecDeque<String>,
}

impl<V, const MAX: usize> BoundedMap<V, MAX> {
    /// Sets the value of a key. One that has a value already keeps its place in the order.
    pub fn insert(&mut self, key: String, value: V) {
        if self.entries.insert(key.clone(), value).is_none() {
            self.in_order.push_back(key);
            let oldest = self.in_order.pop_front_if(|_| self.entries.len() > MAX);
            oldest.map(|oldest| self.entries.remove(&oldest));
        }
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_too_many_replaces_the_oldest() {
        let mut map = BoundedMap::<_, 100>::default();
        for n in 0..100 {
            map.insert(n.to_string(), n);
            map.insert("0".to_owned(), 7);
        }
        assert_eq!((map.get("0"), map.get("99")), (Some(&7), Some(&99)));
        map.insert("100".to_owned(), 100);
        assert_eq!((map.get("0"), map.get("1"), map.get("100")), (None, Some(&1), Some(&100)));
        assert_eq!((map.entries.len(), map.in_order.len()), (100, 100));
    }
}
