//! A map of bounded size: one more entry replaces the oldest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

pub(crate) struct BoundedMap<K, V> {
    max: usize,
    entries: HashMap<Rc<K>, V>,
    in_order: VecDeque<Rc<K>>,
}

impl<K: Hash + Eq, V> BoundedMap<K, V> {
    pub fn new(max: usize) -> Self {
        BoundedMap { max, entries: HashMap::new(), in_order: VecDeque::new() }
    }

    /// Sets the value of a key. One that has a value already keeps its place in the order.
    pub fn insert(&mut self, key: K, value: V) {
        let key = Rc::new(key);
        if self.entries.insert(key.clone(), value).is_none() {
            self.in_order.push_back(key);
            let oldest = self.in_order.pop_front_if(|_| self.entries.len() > self.max);
            oldest.map(|oldest| self.entries.remove(&oldest));
        }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.in_order.iter().filter_map(|key| Some((&**key, self.entries.get(key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_too_many_replaces_the_oldest() {
        let mut map = BoundedMap::new(100);
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
