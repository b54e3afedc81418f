//! A table as it is filled again, from what was written down.

use super::{Place, SHARDS, Table, Worth};
use crate::identity::Key;
use crate::time::Timestamp;
use dashmap::SharedValue;
use std::hash::BuildHasher;

/// Puts entries where they have been before: nothing is marked as changed, unless others had to leave.
///
/// Those of one segment wait for each other when they come in a row, as they do while a state is read, so that its
/// locks are taken once, and its shards grow once and not eleven times.
pub(crate) struct Refill<'a, V: Worth + Copy> {
    table: &'a Table<V>,
    now: Timestamp,
    /// The segment that all who wait belong to.
    segment: usize,
    /// By shard.
    waiting: [Vec<(u64, Key, V)>; SHARDS],
}

impl<'a, V: Worth + Copy> Refill<'a, V> {
    pub(super) fn new(table: &'a Table<V>, now: Timestamp) -> Self {
        Self { table, now, segment: 0, waiting: Default::default() }
    }

    /// Takes the next one; what is held under its key is replaced.
    pub(crate) fn put(&mut self, key: Key, value: V) {
        let Place { segment, shard, hash } = self.table.place(&key);
        if self.segment != segment || self.waiting[shard].len() >= self.table.buckets {
            self.put_waiting();
            self.segment = segment;
        }
        self.waiting[shard].push((hash, key, value));
    }

    fn put_waiting(&mut self) {
        for shard in 0..SHARDS {
            let put = self.put_with_room(shard);
            for (hash, key, value) in self.waiting[shard].drain(put..) {
                let place = Place { segment: self.segment, shard, hash };
                self.table.update_at(&place, key, self.now, || value, |held| *held = value);
            }
            self.waiting[shard].clear();
        }
        self.table.give_back(&self.table.segments[self.segment]);
    }

    /// Puts those of one shard while that has room to spare; returns how many.
    fn put_with_room(&self, shard: usize) -> usize {
        let entries = &self.waiting[shard];
        if entries.is_empty() {
            return 0;
        }
        let mut shard = self.table.segments[self.segment].map.shards()[shard].write();
        let hash_of = |(key, _): &(Key, _)| self.table.hasher.hash_one(key);
        let room = self.table.segment_capacity() / SHARDS;
        let left = room.saturating_sub(shard.len());
        shard.reserve(entries.len().min(left), hash_of);
        for (n, (hash, key, value)) in entries.iter().enumerate() {
            if let Some((_, held)) = shard.get_mut(*hash, |(held, _)| held == key) {
                *held.get_mut() = *value;
            } else if shard.len() < room {
                shard.insert(*hash, (*key, SharedValue::new(*value)), hash_of);
            } else {
                return n;
            }
        }
        entries.len()
    }
}

impl<V: Worth + Copy> Drop for Refill<'_, V> {
    fn drop(&mut self) {
        self.put_waiting();
    }
}
