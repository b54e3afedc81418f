//! Marks: which parts of a table have changed since they were last written down.
//!
//! A segment of a table is divided into pages by its keys' hashes, some twelve entries each when it is full. A
//! change sets one bit, mostly one that is set already, so that a decision pays for a load from a cache line
//! that it has just used. What has left an entry's page is known by its absence there.
//!
//! Invariant: a bit is set after the change that it stands for, and taken before the page is read. So a
//! change is either in the page as it is read, or its bit stays for the next time.

use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 8;
/// Pages of a segment.
pub(crate) const PAGES: u32 = WORDS as u32 * u64::BITS;

/// One bit for each page of a segment.
#[derive(Default)]
pub(crate) struct Marks([AtomicU64; WORDS]);

/// The marks of a segment as they were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken([u64; WORDS]);

/// The page of a hash. Segments are chosen by its low half.
pub(crate) const fn page_of(hash: u64) -> u32 {
    (hash >> 32) as u32 % PAGES
}

const fn place(page: u32) -> (usize, u64) {
    ((page / u64::BITS) as usize % WORDS, 1 << (page % u64::BITS))
}

impl Marks {
    /// Marks a page as changed.
    pub(crate) fn set(&self, page: u32) {
        let (word, bit) = place(page);
        // A bit seen here was not taken before the change: whoever takes it reads the page after that, under
        // the lock that the change was made under.
        if self.0[word].load(Ordering::Relaxed) & bit == 0 {
            self.0[word].fetch_or(bit, Ordering::Release);
        }
    }

    /// Marks every page.
    pub(crate) fn set_all(&self) {
        self.0.iter().for_each(|word| word.store(u64::MAX, Ordering::Release));
    }

    /// Takes all marks; `None` when there are none.
    pub(crate) fn take(&self) -> Option<Taken> {
        let any = self.0.iter().any(|word| word.load(Ordering::Relaxed) != 0);
        any.then(|| Taken(std::array::from_fn(|n| self.0[n].swap(0, Ordering::Acquire))))
    }
}

impl Taken {
    /// Every page, marked or not.
    pub(crate) const ALL: Self = Self([u64::MAX; WORDS]);

    /// Whether this page was marked.
    pub(crate) const fn has(&self, page: u32) -> bool {
        let (word, bit) = place(page);
        self.0[word] & bit != 0
    }

    /// The marked pages in ascending order.
    pub(crate) fn pages(self) -> impl Iterator<Item = u32> {
        (0..PAGES).filter(move |&page| self.has(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_is_taken_once() {
        let marks = Marks::default();
        assert_eq!(marks.take(), None);
        [0, 63, 64, 255, 64].into_iter().for_each(|page| marks.set(page));
        let taken = marks.take().unwrap();
        assert_eq!(taken.pages().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(marks.take(), None);
        marks.set_all();
        assert_eq!(marks.take(), Some(Taken::ALL));
    }
}
