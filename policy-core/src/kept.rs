//! What outlives a restart: the state as plain values, given out page by page and taken back.
//!
//! ```text
//! state.changes() -> Page*          pages changed since they were last given out, each with all its entries
//! state.mark(page)                  that page could not be written down: it has changed again
//! state.entries() -> Vec<Entry>*    everything, for an export
//! state.restore(entry, now)         an entry as it was; true unless it has expired or is no such thing
//! state.restoring(now).take(entry)  the same for many
//! state.merge(entry, now)           the same, added to what is held
//! state.learned() -> Learned, state.relearn(&learned, now)
//! ```
//!
//! A page is named by its table and number; an empty page says that nothing of it is left. Numbers mean the
//! same as long as [`State::layout`] says the same, which a restart with the same secret and cap does not
//! change. Forward decay needs no clock here: a record carries its landmark along.
//!
//! Bounds: an iterator holds one segment's entries, some thousand, and no lock between two of them; a lock is
//! held for the copying of at most 1024 buckets.
//!
//! Not kept: SMTP sessions in progress, whose connections do not outlive the process either.
//!
//! Known limit: the pages of a flush are of slightly different moments, so two identities of one message may
//! come back with and without it. Nothing rests on their agreement.

pub use crate::allowance::Meter;
pub use crate::deferral::Entry as Deferral;
use crate::evidence::Record;
pub use crate::feedback::book::Message;
use crate::identity::Key;
pub use crate::ladder::Rung;
use crate::marks::Taken;
pub use crate::model::learned::{Learned, OtherModel};
pub use crate::reporters::Complaints;
use crate::state::State;
use crate::table::{Refill, Table, Worth};
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// A table that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Book {
    /// Evidence of identities.
    Identities = 1,
    /// What is outstanding on allowances.
    Allowances = 2,
    /// The deferral book.
    Deferrals = 3,
    /// Who has complained.
    Reporters = 4,
    /// What was heard of messages.
    Messages = 5,
    /// The ladder.
    Ladder = 6,
}

impl Book {
    /// Every table that is kept.
    pub const ALL: [Self; 6] =
        [Self::Identities, Self::Allowances, Self::Deferrals, Self::Reporters, Self::Messages, Self::Ladder];
}

/// The name of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// The table.
    pub book: Book,
    /// Its number in the table.
    pub number: u32,
}

/// A page: the entries of one table that are written down together.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its name.
    pub id: PageId,
    /// All its entries, in no order.
    pub entries: Vec<Entry>,
}

/// One entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Evidence of an identity.
    Identity(Key, Record),
    /// What is outstanding on an allowance.
    Allowance(Key, Meter),
    /// A deferral that awaits its retry, or the note that a sender has come back.
    Deferral(Key, Deferral),
    /// Complaints of one reporter.
    Reporter(Key, Complaints),
    /// What was heard of a message.
    Message(Key, Message),
    /// An address that stays Bad.
    Rung(Key, Rung),
}

impl Entry {
    /// Its key.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Identity(key, _)
            | Self::Allowance(key, _)
            | Self::Deferral(key, _)
            | Self::Reporter(key, _)
            | Self::Message(key, _)
            | Self::Rung(key, _) => key,
        }
    }

    /// Whether it means the same under another secret: it stands for an address or a network, not for a name.
    pub const fn is_plain(&self) -> bool {
        matches!(self, Self::Identity(key, _) if key.is_plain())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.to_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let key = Some(&text).filter(|_| digits).and_then(|text| u128::from_str_radix(text, 16).ok());
        let key = key.ok_or_else(|| serde::de::Error::custom("a key has 32 hexadecimal digits"))?;
        Ok(Self::from_bytes(key.to_be_bytes()))
    }
}

/// The pages that have changed; see [`State::changes`].
#[derive(Debug)]
pub struct Changes<'a> {
    state: &'a State,
    /// The next segment to look at.
    next: (usize, usize),
    /// Pages of the segment before that have not been given out yet.
    pages: std::vec::IntoIter<Page>,
}

impl Iterator for Changes<'_> {
    type Item = Page;

    fn next(&mut self) -> Option<Page> {
        loop {
            if let Some(page) = self.pages.next() {
                return Some(page);
            }
            let (book, segment) = self.next;
            let book = *Book::ALL.get(book)?;
            if segment >= self.state.segments_of(book) {
                self.next = (self.next.0 + 1, 0);
                continue;
            }
            self.next.1 += 1;
            self.pages = self.state.changes_of(book, segment).into_iter();
        }
    }
}

impl Drop for Changes<'_> {
    /// Who stops early has not been given what is left.
    fn drop(&mut self) {
        self.pages.by_ref().for_each(|page| self.state.mark(page.id));
    }
}

/// Entries on their way back; see [`State::restoring`].
pub struct Restoring<'a> {
    now: Timestamp,
    records: Refill<'a, Record>,
    meters: Refill<'a, Meter>,
    deferrals: Refill<'a, Deferral>,
    reporters: Refill<'a, Complaints>,
    messages: Refill<'a, Message>,
    rungs: Refill<'a, Rung>,
}

impl Restoring<'_> {
    /// Takes the next one; returns whether it was taken, as [`State::restore`].
    pub fn take(&mut self, entry: Entry) -> bool {
        match entry.taken_over(self.now) {
            Some(Entry::Identity(key, record)) => self.records.put(key, record),
            Some(Entry::Allowance(key, meter)) => self.meters.put(key, meter),
            Some(Entry::Deferral(key, deferral)) => self.deferrals.put(key, deferral),
            Some(Entry::Reporter(key, complaints)) => self.reporters.put(key, complaints),
            Some(Entry::Message(key, message)) => self.messages.put(key, message),
            Some(Entry::Rung(key, rung)) => self.rungs.put(key, rung),
            None => return false,
        }
        true
    }
}

impl fmt::Debug for Restoring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restoring").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What is done with each table that is kept.
macro_rules! for_book {
    ($state:expr, $book:expr, $table:ident, $entry:ident => $does:expr) => {
        match $book {
            Book::Identities => {
                let ($table, $entry) = (&$state.ledger.records, Entry::Identity);
                $does
            }
            Book::Allowances => {
                let ($table, $entry) = (&$state.meters.table, Entry::Allowance);
                $does
            }
            Book::Deferrals => {
                let ($table, $entry) = (&$state.deferrals.entries, Entry::Deferral);
                $does
            }
            Book::Reporters => {
                let ($table, $entry) = (&$state.reporters.table, Entry::Reporter);
                $does
            }
            Book::Messages => {
                let ($table, $entry) = (&$state.messages.table, Entry::Message);
                $does
            }
            Book::Ladder => {
                let ($table, $entry) = (&$state.rungs.table, Entry::Rung);
                $does
            }
        }
    };
}

impl State {
    /// The pages that have changed since they were last given out. Each is given out once; [`State::mark`]
    /// takes one back.
    pub fn changes(&self) -> Changes<'_> {
        Changes { state: self, next: (0, 0), pages: Vec::new().into_iter() }
    }

    /// Everything that is kept, the entries of one segment at a time.
    pub fn entries(&self) -> impl Iterator<Item = Vec<Entry>> {
        let segments = |book| (0..self.segments_of(book)).map(move |segment| (book, segment));
        Book::ALL.into_iter().flat_map(segments).map(|(book, segment)| {
            for_book!(self, book, table, entry => {
                table.copy(segment, Taken::ALL).into_iter().map(|(_, key, value)| entry(key, value)).collect()
            })
        })
    }

    /// Marks a page as changed.
    pub fn mark(&self, page: PageId) {
        for_book!(self, page.book, table, _entry => table.mark(page.number));
    }

    /// Marks everything as changed.
    pub fn mark_all(&self) {
        Book::ALL.into_iter().for_each(|book| for_book!(self, book, table, _entry => table.mark_all()));
    }

    /// Pages that a table has at most.
    pub fn pages_of(&self, book: Book) -> u32 {
        u32::try_from(self.segments_of(book)).unwrap_or(u32::MAX).saturating_mul(crate::marks::PAGES)
    }

    /// Tells two layouts apart: pages have the same entries only where this is the same.
    pub fn layout(&self) -> u64 {
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        Book::ALL.into_iter().for_each(|book| {
            hasher.write_u64(for_book!(self, book, table, _entry => table.layout()));
        });
        hasher.finish()
    }

    /// Takes an entry back as it was; what is held under its key is replaced. Returns whether it was taken:
    /// what has expired is not, nor what is no number. Not marked as changed.
    pub fn restore(&self, entry: Entry, now: Timestamp) -> bool {
        self.restoring(now).take(entry)
    }

    /// The same for many entries, quickest in the order of their pages. All are held when it is dropped.
    pub fn restoring(&self, now: Timestamp) -> Restoring<'_> {
        Restoring {
            now,
            records: self.ledger.records.refill(now),
            meters: self.meters.table.refill(now),
            deferrals: self.deferrals.entries.refill(now),
            reporters: self.reporters.table.refill(now),
            messages: self.messages.table.refill(now),
            rungs: self.rungs.table.refill(now),
        }
    }

    /// Adds an entry to what is held: evidence is summed, of two allowances or deferrals the one that binds
    /// longer stays.
    pub fn merge(&self, entry: Entry, now: Timestamp) -> bool {
        match entry.taken_over(now) {
            Some(Entry::Identity(key, record)) => {
                merge(&self.ledger.records, key, record, now, Record::merge)
            }
            Some(Entry::Allowance(key, meter)) => merge(&self.meters.table, key, meter, now, Meter::merge),
            Some(Entry::Deferral(key, deferral)) => {
                merge(&self.deferrals.entries, key, deferral, now, |_, _| ());
            }
            Some(Entry::Reporter(key, complaints)) => {
                merge(&self.reporters.table, key, complaints, now, Complaints::merge);
            }
            Some(Entry::Message(key, message)) => {
                merge(&self.messages.table, key, message, now, Message::merge);
            }
            Some(Entry::Rung(key, rung)) => merge(&self.rungs.table, key, rung, now, |_, _| ()),
            None => return false,
        }
        true
    }

    /// What the model has learned.
    pub fn learned(&self) -> Learned {
        self.ledger.learned()
    }

    /// Labels of all mail, by which it is known how many are usual.
    pub fn labels(&self) -> Record {
        self.ledger.labels()
    }

    /// Adds labels that were heard before, or elsewhere, unless their numbers are none.
    pub fn add_labels(&self, heard: Record, now: Timestamp) {
        heard.taken_over(now).into_iter().for_each(|heard| self.ledger.add_labels(heard, now));
    }

    /// Takes back what the model has learned.
    ///
    /// # Errors
    ///
    /// It was learned by a model of other features; nothing is taken.
    pub fn relearn(&self, learned: &Learned, now: Timestamp) -> Result<(), OtherModel> {
        self.ledger.relearn(learned, now)
    }

    fn segments_of(&self, book: Book) -> usize {
        for_book!(self, book, table, _entry => table.segments())
    }

    fn changes_of(&self, book: Book, segment: usize) -> Vec<Page> {
        for_book!(self, book, table, entry => changed_pages(table, book, segment, entry))
    }
}

fn merge<V: Worth + Copy>(table: &Table<V>, key: Key, value: V, now: Timestamp, add: impl FnOnce(&mut V, V)) {
    let made = Cell::new(false);
    let make = || {
        made.set(true);
        value
    };
    table.update(key, now, make, |held| {
        if !made.get() {
            add(held, value);
        }
    });
}

/// The changed pages of one segment with their entries, empty ones too.
fn changed_pages<V: Worth + Copy>(
    table: &Table<V>,
    book: Book,
    segment: usize,
    entry: fn(Key, V) -> Entry,
) -> Vec<Page> {
    let Some(taken) = table.take_marks(segment) else { return Vec::new() };
    let first = segment as u32 * crate::marks::PAGES;
    let page = |page| Page { id: PageId { book, number: first + page }, entries: Vec::new() };
    let mut pages: Vec<Page> = taken.pages().map(page).collect();
    for (number, key, value) in table.copy(segment, taken) {
        if let Ok(place) = pages.binary_search_by_key(&number, |page| page.id.number) {
            pages[place].entries.push(entry(key, value));
        }
    }
    pages
}

impl Entry {
    /// The entry as it may be written for others to read: `None` when its numbers are none, as an earlier version may
    /// have kept them, since JSON has no word for infinity.
    pub fn sound(self) -> Option<Self> {
        match self {
            Self::Identity(key, record) => Some(Self::Identity(key, record.sound()?)),
            Self::Message(_, message) => message.is_sound().then_some(self),
            other => Some(other),
        }
    }

    fn taken_over(self, now: Timestamp) -> Option<Self> {
        match self {
            Self::Identity(key, record) => Some(Self::Identity(key, record.taken_over(now)?)),
            Self::Allowance(key, meter) => Some(Self::Allowance(key, meter.taken_over(now)?)),
            Self::Deferral(key, deferral) => Some(Self::Deferral(key, deferral.taken_over(now)?)),
            Self::Reporter(key, complaints) => Some(Self::Reporter(key, complaints.taken_over(now))),
            Self::Message(key, message) => Some(Self::Message(key, message.taken_over(now)?)),
            Self::Rung(key, rung) => Some(Self::Rung(key, rung.taken_over(now)?)),
        }
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
