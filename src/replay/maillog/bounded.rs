//! A table of what is known in part, of bounded size: the oldest entry goes when a new one needs its place.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A bounded table.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Keys as they came, each with the number under which it came.
    order: VecDeque<(u64, K)>,
    capacity: usize,
    serial: u64,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), capacity, serial: 0 }
    }

    /// Puts an entry in, and gives back those that had to go for it: one that had its key, and the oldest
    /// when the table is full.
    pub(super) fn put(&mut self, key: K, value: V) -> [Option<V>; 2] {
        self.serial += 1;
        let replaced = self.entries.insert(key.clone(), (self.serial, value)).map(|(_, value)| value);
        self.order.push_back((self.serial, key));
        let oldest = if self.entries.len() > self.capacity { self.drop_oldest() } else { None };
        self.forget_order();
        [replaced, oldest]
    }

    fn drop_oldest(&mut self) -> Option<V> {
        while let Some((serial, key)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|(current, _)| *current == serial) {
                return self.entries.remove(&key).map(|(_, value)| value);
            }
        }
        None
    }

    /// Keys that were taken out leave a place in the order behind, which must not grow for ever.
    fn forget_order(&mut self) {
        if self.order.len() > 2 * self.capacity + 16 {
            let entries = &self.entries;
            self.order.retain(|(serial, key)| entries.get(key).is_some_and(|(current, _)| current == serial));
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// All entries, the oldest first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = V> {
        let mut entries: Vec<(u64, V)> = self.entries.drain().map(|(_, entry)| entry).collect();
        self.order.clear();
        entries.sort_unstable_by_key(|(serial, _)| *serial);
        entries.into_iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_the_order_is_bounded_too() {
        let mut table = Bounded::new(2);
        assert_eq!(table.put("a", 1), [None, None]);
        assert_eq!(table.put("b", 2), [None, None]);
        assert_eq!(table.put("a", 3), [Some(1), None]);
        assert_eq!(table.put("c", 4), [None, Some(2)], "a was renewed, so b is the oldest");
        assert_eq!((table.take(&"a"), table.get_mut(&"b")), (Some(3), None));
        for n in 0..1000 {
            table.put("d", n);
        }
        assert!(table.order.len() <= 20, "{}", table.order.len());
        assert_eq!(table.drain().collect::<Vec<_>>(), [4, 999]);
    }
}
