//! The audit trail: who has changed what about whom, and until when.
//!
//! Every change by an operator or by the ladder is noted. Of whom all was forgotten, only a digest is left: two
//! entries about the same one can still be told to be so, and nobody is named.
//!
//! Bounds: the [`MOST`] newest, and none older than what is kept of anything.

use crate::overrides::{Effect, note};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most changes that are held.
pub const MOST: usize = 1000;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Its mail is let in.
    Allow,
    /// Its mail is deferred.
    Block,
    /// Its mail is refused.
    Reject,
    /// What was said about it holds no more.
    Lift,
    /// All that was held of it is gone.
    Forget,
    /// The ladder refuses it.
    Refuse,
    /// The ladder refuses it no more.
    Release,
}

impl What {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Reject => "reject",
            Self::Lift => "lift",
            Self::Forget => "forget",
            Self::Refuse => "refuse",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl From<Effect> for What {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Allow,
            Effect::Block => Self::Block,
            Effect::Reject => Self::Reject,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Who did it: a user of the admin interface, or `ladder`.
    pub who: String,
    /// What was done.
    pub what: What,
    /// About whom; a digest, `#` and hexadecimal digits, once all was forgotten.
    pub key: String,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Why, in words.
    pub note: String,
}

/// The latest changes.
#[derive(Debug, Default)]
pub struct Audit(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// The oldest first, each with its number.
    changes: VecDeque<(u64, Change)>,
    /// The number of the next change.
    next: u64,
    /// Differs after each change of what is held.
    revision: u64,
}

impl Audit {
    /// At most `most` changes, the newest first.
    pub fn newest(&self, most: usize) -> Vec<Change> {
        self.lock().changes.iter().rev().take(most).map(|(_, change)| change.clone()).collect()
    }

    /// The changes from a number on, the oldest first, and the number to ask for next.
    pub fn since(&self, number: u64) -> (Vec<Change>, u64) {
        let noted = self.lock();
        let new = noted.changes.iter().filter(|(own, _)| *own >= number);
        (new.map(|(_, change)| change.clone()).collect(), noted.next)
    }

    /// Differs after each change of what is held.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn note(&self, mut change: Change) {
        change.note = note(&change.note);
        change.who = note(&change.who);
        self.lock().push(change);
    }

    /// Takes one back that was kept, at its place in time; one that is held already is not taken again.
    pub(crate) fn restore(&self, change: Change) {
        let mut noted = self.lock();
        if noted.changes.iter().any(|(_, held)| *held == change) {
            return;
        }
        noted.push(change);
        noted.changes.make_contiguous().sort_by_key(|(_, change)| change.at);
    }

    /// Leaves a digest of those that `gone` names, and nothing of what was said about them.
    pub(crate) fn forget(&self, digest: &str, mut gone: impl FnMut(&str) -> bool) {
        let mut noted = self.lock();
        for (_, change) in noted.changes.iter_mut().filter(|(_, change)| gone(&change.key)) {
            (change.key, change.note) = (digest.to_owned(), String::new());
        }
        noted.revision += 1;
    }

    /// Drops what is older than `kept`.
    pub(crate) fn expire(&self, kept: Duration, now: Timestamp) {
        let mut noted = self.lock();
        let before = noted.changes.len();
        noted.changes.retain(|(_, change)| now.since(change.at) < kept);
        noted.revision += u64::from(noted.changes.len() != before);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn push(&mut self, change: Change) {
        if self.changes.len() >= MOST {
            self.changes.pop_front();
        }
        self.changes.push_back((self.next, change));
        self.next += 1;
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(n: u64) -> Change {
        Change {
            at: Timestamp::from_secs(n),
            who: "uid 0".into(),
            what: What::Block,
            key: format!("192.0.2.{}", n % 256),
            until: None,
            note: "why".into(),
        }
    }

    #[test]
    fn the_newest_thousand_are_held_and_told_once() {
        let audit = Audit::default();
        (0..MOST as u64 + 5).for_each(|n| audit.note(change(n)));
        assert_eq!(audit.newest(MOST + 9).len(), MOST);
        assert_eq!(audit.newest(1), [change(MOST as u64 + 4)]);
        let (new, next) = audit.since(MOST as u64 + 3);
        assert_eq!((new.len(), next), (2, MOST as u64 + 5));
        assert!(audit.since(next).0.is_empty());
    }

    #[test]
    fn of_whom_is_forgotten_a_digest_is_left() {
        let audit = Audit::default();
        (0..3).for_each(|n| audit.note(change(n)));
        let before = audit.revision();
        audit.forget("#12", |key| key == "192.0.2.1");
        let keys: Vec<_> = audit.newest(9).into_iter().map(|change| (change.key, change.note)).collect();
        assert_eq!(keys[1], ("#12".into(), "".into()));
        assert_eq!(keys[0], ("192.0.2.2".into(), "why".into()));
        assert_ne!(audit.revision(), before);
    }

    #[test]
    fn what_is_kept_comes_back_once_and_in_order() {
        let audit = Audit::default();
        [2, 0, 1, 1].into_iter().for_each(|n| audit.restore(change(n)));
        assert_eq!(audit.newest(9), [change(2), change(1), change(0)]);
        audit.expire(Duration::from_secs(2), Timestamp::from_secs(3));
        assert_eq!(audit.newest(9), [change(2)]);
    }
}
