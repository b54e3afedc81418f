//! The ranking: every message is scored before any of its feedback, and nothing is deferred.
//!
//! Ties are counted against the scorer: spam that scores like a ham is not told from it.

use super::feedback::{Feedback, Labels};
use super::trace::Row;
use policy_core::time::Timestamp;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

/// The shares of ham at which the share of spam above is told.
pub const HAM_SHARES: [f64; 5] = [0.001, 0.003, 0.005, 0.01, 0.02];

/// What a scorer says of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Higher is more like spam.
    pub rank: f64,
    /// The chance of spam, where the scorer claims to know it.
    pub probability: Option<f32>,
}

impl Score {
    /// A score that claims no chance.
    pub const fn rank(rank: f64) -> Self {
        Self { rank, probability: None }
    }
}

/// Something that scores messages and learns what became of them.
pub trait Scorer {
    /// What it keeps of a message until its label comes.
    type Note;
    /// Scores a message.
    fn score(&mut self, row: &Row) -> (Score, Self::Note);
    /// The label of a message has come at `at`.
    fn learn(&mut self, note: Self::Note, spam: bool, at: Timestamp);
}

/// A message with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: Score,
    /// Its true label.
    pub spam: bool,
    /// Whether its client's address had never been seen before in the run.
    pub first_contact: bool,
}

/// Plays the messages to a scorer; `each` is called after every message.
pub fn rank<S: Scorer>(
    rows: &[Row],
    feedback: Feedback,
    scorer: &mut S,
    mut each: impl FnMut(),
) -> Vec<Scored> {
    let labels = Labels::new(feedback);
    let mut seen: HashSet<IpAddr> = HashSet::new();
    let mut waiting: VecDeque<(Timestamp, S::Note, bool)> = VecDeque::new();
    let mut scored = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        while let Some((due, note, spam)) = waiting.pop_front_if(|(due, ..)| *due <= row.time) {
            scorer.learn(note, spam, due);
        }
        let (score, note) = scorer.score(row);
        let first_contact = seen.insert(row.client.address);
        scored.push(Scored { score, spam: row.spam, first_contact });
        if let Some(label) = labels.of(place, row.spam) {
            waiting.push_back((row.time.after(labels.delay()), note, label));
        }
        each();
    }
    scored
}

/// The share of spam that scores above all but a share of ham.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// Share of ham, of 1.
    pub ham_deferred: f64,
    /// Share of spam, of 1; `None` without ham or spam.
    pub spam_deferred: Option<f64>,
}

/// How well scores tell spam from ham.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Quality {
    /// Messages that are ham.
    pub ham: usize,
    /// Messages that are spam.
    pub spam: usize,
    /// The chance that a spam does not score above a ham; `None` without either.
    pub one_minus_auc: Option<f64>,
    /// The curve at [`HAM_SHARES`].
    pub at: [Point; HAM_SHARES.len()],
}

impl Quality {
    /// The quality of these scores.
    pub fn of<'a>(scored: impl IntoIterator<Item = &'a Scored>) -> Self {
        let curve = Curve::of(scored);
        let point = |ham_deferred| Point { ham_deferred, spam_deferred: curve.above(ham_deferred) };
        Self {
            ham: curve.ham.len(),
            spam: curve.spam.len(),
            one_minus_auc: curve.one_minus_auc(),
            at: HAM_SHARES.map(point),
        }
    }
}

/// Scores of ham and of spam, lowest first.
pub(super) struct Curve {
    ham: Vec<f64>,
    spam: Vec<f64>,
}

impl Curve {
    pub(super) fn of<'a>(scored: impl IntoIterator<Item = &'a Scored>) -> Self {
        let (mut ham, mut spam) = (Vec::new(), Vec::new());
        for message in scored {
            if message.spam { spam.push(message.score.rank) } else { ham.push(message.score.rank) }
        }
        ham.sort_unstable_by(f64::total_cmp);
        spam.sort_unstable_by(f64::total_cmp);
        Self { ham, spam }
    }

    fn one_minus_auc(&self) -> Option<f64> {
        let pairs = self.ham.len() as f64 * self.spam.len() as f64;
        let below = |score: f64| self.ham.partition_point(|&ham| ham < score) as f64;
        let won: f64 = self.spam.iter().map(|&score| below(score)).sum();
        (pairs > 0.0).then(|| 1.0 - won / pairs)
    }

    /// The share of spam above all but `share` of ham.
    pub(super) fn above(&self, share: f64) -> Option<f64> {
        // The least bit more, so that 0.3 % of a thousand is three.
        let over = (self.ham.len() as f64 * share + 1e-9).floor() as usize;
        let threshold = *self.ham.get(self.ham.len().checked_sub(over + 1)?)?;
        let caught = self.spam.len() - self.spam.partition_point(|&score| score <= threshold);
        (!self.spam.is_empty()).then(|| caught as f64 / self.spam.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[(f64, bool)]) -> Vec<Scored> {
        let of = |&(rank, spam)| Scored { score: Score::rank(rank), spam, first_contact: false };
        scores.iter().map(of).collect()
    }

    #[test]
    fn ties_are_counted_against_the_scorer() {
        let all_alike = Quality::of(&scored(&[(0.5, true), (0.5, false)]));
        assert_eq!((all_alike.one_minus_auc, all_alike.at[4].spam_deferred), (Some(1.0), Some(0.0)));
        let told = Quality::of(&scored(&[(0.6, true), (0.5, false)]));
        assert_eq!((told.one_minus_auc, told.at[0].spam_deferred), (Some(0.0), Some(1.0)));
    }

    #[test]
    fn a_share_of_ham_may_score_higher() {
        let mut messages: Vec<(f64, bool)> = (0..100).map(|n| (f64::from(n), false)).collect();
        messages.extend([(98.5, true), (97.5, true), (200.0, true), (0.0, true)]);
        let quality = Quality::of(&scored(&messages));
        let expected = [0.25, 0.25, 0.25, 0.5, 0.75].map(Some);
        assert_eq!(quality.at.map(|point| point.spam_deferred), expected);
    }

    #[test]
    fn without_ham_or_spam_there_is_no_quality() {
        for spam in [true, false] {
            let quality = Quality::of(&scored(&[(1.0, spam)]));
            assert_eq!((quality.one_minus_auc, quality.at[0].spam_deferred), (None, None));
        }
    }
}
