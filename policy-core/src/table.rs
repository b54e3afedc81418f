//! A bounded concurrent table: the one container that all state of the core lives in.
//!
//! Invariant: a table never holds more memory than it was given. When a segment is full, the eighth of it
//! that is worth least leaves before anything new comes in, so a flood of fresh keys pushes out other fresh
//! keys and not the senders with history.
//!
//! Why segments: a dashmap can only be swept whole, and one large shard is locked for tens of milliseconds
//! when it grows. Many small dashmaps of two shards each keep every lock to some tens of microseconds and let a
//! sweeper pause between segments. A closure given to a table runs under a shard lock: it must not touch
//! the same table again.

mod refill;

pub(crate) use refill::Refill;

use crate::identity::{Key, MAX_CHAINS, MAX_LEVELS};
use crate::marks::{Marks, PAGES, Taken, page_of};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use dashmap::{DashMap, mapref::entry::Entry};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use std::hash::BuildHasher;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, Ordering};

/// The fewest shards a dashmap takes.
const SHARDS: usize = 2;
/// Buckets that a full shard has grown to: at most so many, to keep a sweep of one shard to some tens of
/// microseconds; at least so many, since two small shards fill too unevenly. Nor should they be fewer: every
/// search passes by the segment and the shard, and a million senders' had better fit a processor's cache.
const SHARD_BUCKETS: (usize, usize) = (256, 4096);
/// A small table takes smaller shards rather than fewer segments than this.
const FEW_SEGMENTS: usize = 16;
/// Share of the buckets that may be taken. A shard doubles at 7/8, and two shards never fill quite evenly.
const FILL_PERCENT: usize = 75;
/// Each eviction frees this part of a segment, so that its cost spreads over many insertions.
const EVICTED_PART: usize = 8;

/// How much would be lost if an entry left.
pub(crate) trait Worth {
    /// Whether changes are marked, so that entries can be written down.
    const MARKED: bool = true;

    /// Larger is worth more; only the order matters.
    fn worth(&self, now: Timestamp) -> f32;
}

// The numbers of a message's keys fit an octet, and those of all shards what is left of a word.
const _: () = assert!(MAX_CHAINS * MAX_LEVELS <= 1 << 8);

struct Segment<V> {
    map: DashMap<Key, V, SeedableRandomState>,
    /// One evictor at a time; the others insert and leave the segment a few entries over.
    evicting: AtomicBool,
    marks: Marks,
}

/// A table of `V` by [`Key`], bounded in memory.
pub(crate) struct Table<V> {
    segments: Box<[Segment<V>]>,
    /// Where entries lie. Every segment has a copy of it, so that a key is hashed once to find its segment, shard
    /// and bucket. The same after a restart when it was seeded, since pages are named by it.
    hasher: SeedableRandomState,
    /// Buckets of a segment whose shards have grown as far as they may.
    buckets: usize,
}

/// So many segments without entries.
fn empty<V>(segments: usize, hasher: &SeedableRandomState) -> Box<[Segment<V>]> {
    let new = || Segment {
        map: DashMap::with_hasher_and_shard_amount(hasher.clone(), SHARDS),
        evicting: AtomicBool::new(false),
        marks: Marks::default(),
    };
    std::iter::repeat_with(new).take(segments).collect()
}

impl<V: Worth> Table<V> {
    /// A table that takes at most about `bytes` (heap behind `V` not counted), and at least one segment.
    pub(crate) fn with_bytes(bytes: usize) -> Self {
        let entries = bytes / bucket_bytes::<V>();
        let (least, most) = SHARD_BUCKETS;
        let wanted = (entries / FEW_SEGMENTS / SHARDS).max(1);
        let buckets = SHARDS * (1 << wanted.ilog2()).clamp(least, most);
        let hasher = SeedableRandomState::random();
        Self { segments: empty((entries / buckets).max(1), &hasher), hasher, buckets }
    }

    /// Lays entries out by this secret. Only for a table that is empty.
    pub(crate) fn seed(&mut self, secret: u64) {
        self.hasher = SeedableRandomState::with_seed(secret, SharedSeed::global_fixed());
        self.segments = empty(self.segments.len(), &self.hasher);
    }

    /// Tells two layouts apart: the same key is on the same page only where this is the same.
    pub(crate) fn layout(&self) -> u64 {
        self.hasher.hash_one((self.segments.len(), PAGES))
    }

    /// Most entries that a segment holds.
    fn segment_capacity(&self) -> usize {
        self.buckets * FILL_PERCENT / 100
    }

    /// Most entries that a shard holds without doubling: hashbrown keeps an eighth of its buckets free.
    fn shard_capacity(&self) -> usize {
        self.buckets / SHARDS / 8 * 7
    }

    /// Where the entry of a key would be.
    ///
    /// The segment follows from the middle bits of the hash, scaled without a division; a dashmap picks its shard
    /// by the uppermost ones and the bucket by the lowest ten, so that what is in one segment spreads over both.
    fn place(&self, key: &Key) -> Place {
        let hash = self.hasher.hash_one(key);
        let segment = (((hash & 0xffff_ffff) * self.segments.len() as u64) >> 32) as usize;
        let shard = self.segments[segment].map.determine_shard(hash as usize);
        Place { segment, shard, hash }
    }

    /// Marks the page of a key that has changed, and passes on what came of it.
    fn marked<R>(&self, place: &Place, result: R) -> R {
        if V::MARKED {
            self.segments[place.segment].marks.set(page_of(place.hash));
        }
        result
    }

    /// Reads the entry of `key`.
    pub(crate) fn read<R>(&self, key: &Key, read: impl FnOnce(&V) -> R) -> Option<R> {
        let Place { segment, shard, hash } = self.place(key);
        let shard = self.segments[segment].map.shards()[shard].read();
        shard.get(hash, |(held, _)| held == key).map(|(_, value)| read(value.get()))
    }

    /// Reads the entries of several keys: `read` hears of each in their order.
    ///
    /// Every shard is locked before the first is searched. Between two locks a processor searches one shard
    /// at a time and waits for memory each time; in a row of searches without locks it waits for all at once.
    pub(crate) fn read_all<const N: usize>(&self, keys: &ArrayVec<Key, N>, mut read: impl FnMut(Option<&V>)) {
        let places: ArrayVec<Place, N> = keys.iter().map(|key| self.place(key)).collect();
        // In ascending order and each once, so that threads cannot wait for each other. The key's number is the
        // lowest octet of what is sorted, and its shard the rest: numbers are quicker to sort than tuples.
        let number = |(n, place): (usize, &Place)| (place.segment * SHARDS + place.shard) << 8 | n;
        let mut order: ArrayVec<usize, N> = places.iter().enumerate().map(number).collect();
        order.sort_unstable();
        let mut guards = ArrayVec::<_, N>::new();
        let mut guard_of = [0; N];
        let mut last = None;
        for number in order {
            let (shard, n) = (number >> 8, number & 0xff);
            if last.replace(shard) != Some(shard) {
                guards.push(self.segments[shard / SHARDS].map.shards()[shard % SHARDS].read());
            }
            guard_of[n] = guards.len() - 1;
        }
        for ((key, place), guard) in keys.iter().zip(&places).zip(guard_of) {
            let found = guards[guard].get(place.hash, |(held, _)| held == key);
            read(found.map(|(_, value)| value.get()));
        }
    }

    /// Changes the entry of `key` when there is one.
    pub(crate) fn change<R>(&self, key: &Key, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let place = self.place(key);
        let mut shard = self.segments[place.segment].map.shards()[place.shard].write();
        let found = shard.get_mut(place.hash, |(held, _)| held == key);
        let result = found.map(|(_, value)| change(value.get_mut()));
        drop(shard);
        result.map(|result| self.marked(&place, result))
    }

    /// Changes the entry of `key`, making it first when there is none.
    pub(crate) fn update<R>(
        &self,
        key: Key,
        now: Timestamp,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let place = self.place(&key);
        let result = self.update_at(&place, key, now, make, change);
        self.marked(&place, result)
    }

    /// Puts entries where they have been before.
    pub(crate) fn refill(&self, now: Timestamp) -> Refill<'_, V>
    where
        V: Copy,
    {
        Refill::new(self, now)
    }

    fn update_at<R>(
        &self,
        place: &Place,
        key: Key,
        now: Timestamp,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let segment = &self.segments[place.segment];
        let mut shard = segment.map.shards()[place.shard].write();
        if let Some((_, value)) = shard.get_mut(place.hash, |(held, _)| *held == key) {
            return change(value.get_mut());
        }
        // A shard that is fuller than its sister would double before the segment is full.
        let is_full = shard.len() >= self.shard_capacity();
        drop(shard);
        let held = segment.map.len();
        if is_full || held >= self.segment_capacity() {
            self.evict(segment, now);
        }
        let result = match segment.map.entry(key) {
            // Another thread may have made it in the meantime.
            Entry::Occupied(mut entry) => change(entry.get_mut()),
            Entry::Vacant(entry) => change(&mut entry.insert(make())),
        };
        // An eighth of a segment is well below where a shard may have doubled.
        if held > self.buckets / 8 {
            self.give_back(segment);
        }
        result
    }

    /// Gives back what a segment has grown to beyond its buckets: removed entries leave marks behind, and a shard full
    /// of them doubles instead of clearing them, once half of what it can hold is taken.
    fn give_back(&self, segment: &Segment<V>) {
        if segment.map.capacity() > self.buckets / 8 * 7 {
            segment.map.shrink_to_fit();
        }
    }

    /// Takes the entry of `key` out when `condition` holds.
    pub(crate) fn remove_if(&self, key: &Key, condition: impl FnOnce(&V) -> bool) -> Option<V> {
        let place = self.place(key);
        let segment = &self.segments[place.segment];
        let (_, removed) = segment.map.remove_if(key, |_, value| condition(value))?;
        Some(self.marked(&place, removed))
    }

    /// Marks the page of an entry that a sweep takes out; passes on whether it stays.
    fn kept(&self, segment: &Segment<V>, key: &Key, stays: bool) -> bool {
        if !stays && V::MARKED {
            segment.marks.set(page_of(self.hasher.hash_one(key)));
        }
        stays
    }

    /// Frees the least worthy eighth of a full segment.
    fn evict(&self, segment: &Segment<V>, now: Timestamp) {
        if segment.evicting.swap(true, Ordering::Acquire) {
            return;
        }
        let mut worths: Vec<f32> = segment.map.iter().map(|entry| entry.value().worth(now)).collect();
        let wanted = worths.len() / EVICTED_PART;
        if wanted > 0 {
            let (less, &mut threshold, _) = worths.select_nth_unstable_by(wanted, f32::total_cmp);
            let less = less.iter().filter(|&&worth| worth < threshold).count();
            let ties = worths.iter().filter(|&&worth| worth == threshold).count();
            let mut spread = Spread { wanted: wanted - less, of: ties, seen: 0, taken: 0 };
            segment.map.retain(|key, value| {
                let worth = value.worth(now);
                self.kept(segment, key, worth > threshold || worth == threshold && !spread.take())
            });
        }
        segment.evicting.store(false, Ordering::Release);
    }

    /// How many segments a sweeper has to visit.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Keeps the entries of one segment for which `keep` holds, and gives back memory of a segment that
    /// has become nearly empty.
    pub(crate) fn sweep(&self, segment: usize, mut keep: impl FnMut(&Key, &mut V) -> bool) {
        let Some(segment) = self.segments.get(segment) else { return };
        segment.map.retain(|key, value| {
            let stays = keep(key, value);
            self.kept(segment, key, stays)
        });
        if segment.map.len() * 8 < segment.map.capacity() {
            segment.map.shrink_to_fit();
        }
    }

    /// Takes the marks of one segment's pages; `None` when nothing there has changed.
    pub(crate) fn take_marks(&self, segment: usize) -> Option<Taken> {
        self.segments.get(segment)?.marks.take()
    }

    /// Marks a page, by its number in the whole table, as changed.
    pub(crate) fn mark(&self, page: u32) {
        if let Some(segment) = self.segments.get((page / PAGES) as usize) {
            segment.marks.set(page % PAGES);
        }
    }

    /// Marks everything as changed.
    pub(crate) fn mark_all(&self) {
        self.segments.iter().for_each(|segment| segment.marks.set_all());
    }

    /// Copies the entries of one segment that lie on these pages, each with its page's number in the whole
    /// table. Holds one lock at a time, for some microseconds.
    pub(crate) fn copy(&self, segment: usize, taken: Taken) -> Vec<(u32, Key, V)>
    where
        V: Copy,
    {
        let Some(held) = self.segments.get(segment) else { return Vec::new() };
        let entries = held.map.iter().filter_map(|entry| {
            let page = page_of(self.hasher.hash_one(entry.key()));
            taken.has(page).then(|| (segment as u32 * PAGES + page, *entry.key(), *entry.value()))
        });
        entries.collect()
    }

    /// Entries held now.
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.map.len()).sum()
    }

    /// Most entries that it can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.segments.len() * self.segment_capacity()
    }

    /// Octets that the buckets take now.
    pub(crate) fn bytes(&self) -> usize {
        // hashbrown reports 7/8 of its buckets as capacity.
        self.segments.iter().map(|segment| segment.map.capacity() * 8 / 7 * bucket_bytes::<V>()).sum()
    }

    /// Visits every entry, one segment at a time.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Key, &V)) {
        for segment in &self.segments {
            segment.map.iter().for_each(|entry| visit(entry.key(), entry.value()));
        }
    }
}

/// Where the entry of a key would be.
struct Place {
    segment: usize,
    shard: usize,
    hash: u64,
}

/// Takes some of many alike, evenly over both shards: a flood is all ties, and taking the first ones met
/// would empty one shard and let the other grow.
struct Spread {
    wanted: usize,
    of: usize,
    seen: usize,
    taken: usize,
}

impl Spread {
    fn take(&mut self) -> bool {
        self.seen += 1;
        let takes = self.taken * self.of < self.seen * self.wanted && self.taken < self.wanted;
        self.taken += usize::from(takes);
        takes
    }
}

/// Octets of one bucket; hashbrown keeps one control octet beside each.
const fn bucket_bytes<V>() -> usize {
    size_of::<(Key, V)>() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Keyring, Kind};

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Weight(f32);
    impl Worth for Weight {
        fn worth(&self, _: Timestamp) -> f32 {
            self.0
        }
    }

    fn key(n: u64) -> Key {
        Keyring::new([1; 16]).named(Kind::Helo, &n.to_string())
    }

    #[test]
    fn a_flood_stays_under_the_cap_and_spares_what_has_worth() {
        let now = Timestamp::default();
        let table = Table::with_bytes(1 << 20);
        let old = table.capacity() as u64 / 4;
        for n in 0..old {
            table.update(key(n), now, || Weight(10.0), |_| ());
        }
        for n in 1_000_000..1_200_000 {
            table.update(key(n), now, || Weight(1.0), |_| ());
            assert!(table.len() <= table.capacity() + 1);
        }
        assert!(table.bytes() <= 1 << 20, "{} octets", table.bytes());
        let kept = (0..old).filter(|&n| table.read(&key(n), |w| w.0 == 10.0) == Some(true)).count();
        assert_eq!(kept as u64, old);
    }

    #[test]
    fn a_refill_puts_all_where_it_was_and_stays_under_the_cap() {
        let now = Timestamp::default();
        let table = Table::with_bytes(1 << 20);
        let most = table.capacity() as u64;
        (0..most / 2).for_each(|n| table.update(key(n), now, || Weight(n as f32), |_| ()));
        let mut other = Table::with_bytes(1 << 20);
        other.hasher = table.hasher.clone();
        other.segments = empty(table.segments(), &table.hasher);
        let mut refill = other.refill(now);
        table.for_each(|key, weight| refill.put(*key, *weight));
        // The last word about a key holds.
        refill.put(key(7), Weight(70.0));
        drop(refill);
        assert_eq!((other.len(), other.bytes()), (table.len(), table.bytes()));
        for n in 0..most / 2 {
            let held = if n == 7 { 70.0 } else { n as f32 };
            assert_eq!(other.read(&key(n), |w| *w), Some(Weight(held)));
        }
        assert!((0..other.segments()).all(|segment| other.take_marks(segment).is_none()));
        // More than fits, in no order: what is worth most stays.
        let mut refill = other.refill(now);
        (0..2 * most).for_each(|n| refill.put(key(n), Weight(n as f32)));
        drop(refill);
        assert!(other.bytes() <= 1 << 20, "{} octets", other.bytes());
        let last = (most * 3 / 2..2 * most).filter(|&n| other.read(&key(n), |_| ()).is_some()).count();
        assert!(last as u64 > most * 45 / 100, "{last} of {}", most / 2);
        assert!(
            (0..other.segments()).any(|segment| other.take_marks(segment).is_some()),
            "others had to leave"
        );
    }

    #[test]
    fn a_shard_that_fills_before_its_sister_does_not_double() {
        let now = Timestamp::default();
        let table = Table::with_bytes(1);
        assert_eq!(table.segments(), 1);
        let of = |shard| {
            let table = &table;
            (0..).map(key).filter(move |key| table.place(key).shard == shard)
        };
        let put = |key| table.update(key, now, || Weight(1.0), |_| ());
        of(0).take(table.buckets / 4).for_each(put);
        of(1).take(table.buckets / 2).for_each(|key| {
            put(key);
            assert!(table.bytes() <= table.buckets * bucket_bytes::<Weight>(), "{} entries", table.len());
        });
    }

    #[test]
    fn sweeping_removes_and_gives_back() {
        let now = Timestamp::default();
        let table = Table::with_bytes(1 << 20);
        for n in 0..2000 {
            table.update(key(n), now, || Weight(n as f32), |_| ());
        }
        let before = table.bytes();
        (0..table.segments()).for_each(|s| table.sweep(s, |_, w| w.0 < 10.0));
        assert_eq!(table.len(), 10);
        assert!(table.bytes() < before);
        assert!(table.remove_if(&key(3), |_| true).is_some());
        assert!(table.remove_if(&key(4), |w| w.0 > 5.0).is_none());
        assert_eq!(table.change(&key(4), |w| w.0), Some(4.0));
    }
}
