//! The book of messages: what was heard of each, and what is booked for it now.
//!
//! Evidence is additive under forward decay, so what is booked can be taken back to the last digit: the same
//! weight with the other sign, at the time that it was booked for.
//!
//! Bounds: a fixed share of memory; the oldest word leaves first, and a message of which only a filter has
//! spoken before one that a person was asked about. Swept after [`OLDEST`](super::OLDEST).

use super::{Effect, MessageId, News, OLDEST, Source, SourceRule, Subject};
use crate::evidence::{MOST, Weight};
use crate::identity::{Key, Keyring};
use crate::outcome::ACCEPTED;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const KINDS: usize = Source::ALL.len();
/// What can be booked for a message: a word of each kind, and the credit of its acceptance taken back.
const MAX_BOOKED: usize = KINDS + 1;
/// What a word of a person, or of another server, is worth against a filter's, in seconds of age.
const BETTER: f32 = 30.0 * 86_400.0;

/// What one kind of source has said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Word {
    spam: bool,
    forgeable: bool,
    /// When, in seconds since the epoch.
    at: u32,
    /// Messages' worth of evidence.
    weight: f32,
}

/// What was heard of a message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// When it was let in, in seconds since the epoch.
    let_in: u32,
    /// When something was last heard of it.
    last: u32,
    /// Its sender's address and organisation: by them it is told of, and forgotten.
    pub(crate) about: [Key; 2],
    /// The label that the model was last taught.
    taught: Option<bool>,
    words: [Option<Word>; KINDS],
}

/// Weights, each with the moment that it counts from.
type Booked = ArrayVec<(Weight, u32), MAX_BOOKED>;

impl Message {
    fn of(subject: &Subject, now: Timestamp) -> Self {
        let about = [subject.identities.address(), subject.sender()];
        let let_in = subject.let_in.min(now).as_secs_u32();
        Self { let_in, last: now.as_secs_u32(), about, taught: None, words: [None; KINDS] }
    }

    fn words(&self) -> impl Iterator<Item = (Source, Word)> {
        Source::ALL.into_iter().filter_map(|source| Some((source, self.words[source as usize]?)))
    }

    /// What is booked for it on an identity that a verification stands behind, or on another.
    fn booked(&self, verified: bool) -> Booked {
        let heard = || self.words().map(|(_, word)| word).filter(|word| !(verified && word.forgeable));
        let weight = |word: Word| match word.spam {
            true => Weight { bad: word.weight, ..Weight::default() },
            false => Weight { good: word.weight.min(1.0), ..Weight::default() },
        };
        // First what was presumed is taken back, as long as the words do not make a record that knows enough.
        let taken_back = (Weight { presumed: -ACCEPTED, ..Weight::default() }, self.let_in);
        let taken_back = heard().any(|word| word.spam).then_some(taken_back);
        taken_back.into_iter().chain(heard().map(|word| (weight(word), word.at))).collect()
    }

    /// Enters a word that is admitted. What it corrects is gone.
    fn enter(&mut self, source: Source, word: Word) -> Change {
        let before = [false, true].map(|verified| self.booked(verified));
        let wrong = |of: Source, said: &Word| said.spam != word.spam && source.corrects(of);
        let mut corrects = false;
        for of in Source::ALL {
            let said = &mut self.words[of as usize];
            corrects |= said.take_if(|said| wrong(of, said)).is_some();
        }
        self.words[source as usize] = Some(word);
        self.last = self.last.max(word.at);
        let teaches = !word.forgeable && self.taught != Some(word.spam);
        if teaches {
            self.taught = Some(word.spam);
        }
        let after = [false, true].map(|verified| self.booked(verified));
        Change { before, after, corrects, teaches }
    }

    /// Whether its words weigh what words may.
    pub(crate) fn is_sound(&self) -> bool {
        self.words().all(|(_, word)| (0.0..=MOST).contains(&word.weight))
    }

    /// As it may be taken over from a file: `None` when its numbers are none or too large, or it is of a time to come.
    pub(crate) fn taken_over(self, now: Timestamp) -> Option<Self> {
        let ahead = Timestamp::from_secs(self.last.into()).is_from_a_wrong_clock(now);
        (self.is_sound() && !ahead && !self.is_old(now)).then_some(self)
    }

    /// Both together: of each kind the later word. What was booked for either is in the ledgers that are merged.
    pub(crate) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.words.iter_mut().zip(other.words) {
            let later = theirs.filter(|theirs| mine.is_none_or(|mine| mine.at < theirs.at));
            *mine = later.or(*mine);
        }
        self.last = self.last.max(other.last);
        self.taught = self.taught.or(other.taught);
    }

    fn is_old(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_secs(self.let_in.into())) > OLDEST
    }
}

impl Worth for Message {
    fn worth(&self, _: Timestamp) -> f32 {
        let better = self.words().any(|(source, _)| source != Source::Filter);
        self.last as f32 + if better { BETTER } else { 0.0 }
    }
}

/// What a word changes.
pub(crate) struct Change {
    /// What was booked on unverified identities, and on verified ones.
    before: [Booked; 2],
    after: [Booked; 2],
    /// Whether it takes the place of another.
    pub(crate) corrects: bool,
    /// Whether the model has not been taught this.
    pub(crate) teaches: bool,
}

impl Change {
    /// What is to be booked on an identity: what is no longer right with the other sign, the last first, and what is
    /// new.
    pub(crate) fn steps(&self, verified: bool) -> impl Iterator<Item = (Weight, Timestamp)> {
        let side = usize::from(verified);
        let mut new = self.after[side].clone();
        let mut gone = Booked::new();
        for &(weight, at) in &self.before[side] {
            // Two of a kind may weigh the same, so each is looked for by itself.
            match new.iter().position(|booked| *booked == (weight, at)) {
                Some(place) => drop(new.remove(place)),
                None => gone.push((-weight, at)),
            }
        }
        gone.into_iter().rev().chain(new).map(|(weight, at)| (weight, Timestamp::from_secs(at.into())))
    }
}

/// What was heard about a sender from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// From where.
    pub source: Source,
    /// Messages called spam.
    pub spam: u32,
    /// Messages called good.
    pub ham: u32,
    /// The latest word.
    pub last: Timestamp,
}

/// What was heard of messages.
pub(crate) struct Messages {
    pub(crate) table: Table<Message>,
}

impl Messages {
    /// None yet, in at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { table: Table::with_bytes(bytes) }
    }

    fn key(keyring: &Keyring, MessageId(number): MessageId) -> Key {
        keyring.internal(&[b"message", &number.to_be_bytes()])
    }

    /// Enters what is heard, unless it says nothing new or `admit` refuses it, which hears whether a source
    /// corrects its own word.
    pub(crate) fn hear(
        &self,
        keyring: &Keyring,
        rule: &SourceRule,
        subject: &Subject,
        news: &News<'_>,
        now: Timestamp,
        admit: impl FnOnce(bool) -> Result<(), Effect>,
    ) -> Result<Change, Effect> {
        let key = Self::key(keyring, subject.message);
        let &News { source, spam, forgeable, .. } = news;
        let word = Word { spam, forgeable, at: now.as_secs_u32(), weight: rule.weight };
        self.table.update(
            key,
            now,
            || Message::of(subject, now),
            |message| {
                let own = message.words[source as usize];
                if own.is_some_and(|own| own.spam == spam) {
                    return Err(Effect::Known);
                }
                // A trap contradicts nobody: it is no judgement of the message.
                let judges = |of| source != Source::Trap && of != Source::Trap;
                let knows_better = |of, said: Word| said.spam != spam && judges(of) && !source.corrects(of);
                if message.words().any(|(of, said)| knows_better(of, said)) {
                    return Err(Effect::Overruled);
                }
                admit(own.is_some())?;
                Ok(message.enter(source, word))
            },
        )
    }

    /// What was heard about messages of a sender, by its address or its organisation.
    pub(crate) fn heard_of(&self, keys: &[Key]) -> Vec<Heard> {
        let mut all = Source::ALL.map(|source| Heard { source, spam: 0, ham: 0, last: Timestamp::default() });
        self.table.for_each(|_, message| {
            if !message.about.iter().any(|about| keys.contains(about)) {
                return;
            }
            for (source, word) in message.words() {
                let heard = &mut all[source as usize];
                heard.spam += u32::from(word.spam);
                heard.ham += u32::from(!word.spam);
                heard.last = heard.last.max(Timestamp::from_secs(word.at.into()));
            }
        });
        all.into_iter().filter(|heard| heard.spam + heard.ham > 0).collect()
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Drops messages that came in long ago from one segment, and those of which nothing was heard for as long as
    /// anything is kept.
    pub(crate) fn sweep(&self, segment: usize, retention: Duration, now: Timestamp) {
        let quiet = |message: &Message| now.since(Timestamp::from_secs(message.last.into())) > retention;
        self.table.sweep(segment, |_, message| !message.is_old(now) && !quiet(message));
    }

    /// Entries held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.bytes())
    }
}
