//! The ranking: every message is scored before any of its feedback, and nothing is deferred.
//!
//! Labels reach the scorer a while after the message, for a share of the messages, and some of them wrong,
//! by a seed. Ties are counted against the scorer: spam that scores like a ham is not told from it.

use super::trace::Row;
use policy_core::time::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// The shares of ham at which the share of spam above is told.
pub const HAM_SHARES: [f64; 5] = [0.001, 0.003, 0.005, 0.01, 0.02];

/// How labels come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// How long after the message.
    pub delay: Duration,
    /// For which share of messages.
    pub share: f64,
    /// Which share of the labels is wrong.
    pub noise: f64,
    /// Decides which.
    pub seed: u64,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { delay: Duration::from_secs(3600), share: 1.0, noise: 0.0, seed: 1 }
    }
}

/// Something that scores messages and learns what became of them.
pub trait Scorer {
    /// What it keeps of a message until its label comes.
    type Note;
    /// Higher is more like spam.
    fn score(&mut self, row: &Row) -> (f32, Self::Note);
    /// The label of a message has come at `at`.
    fn learn(&mut self, note: Self::Note, spam: bool, at: Timestamp);
}

/// A message with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The score; higher is more like spam.
    pub score: f32,
    /// Its true label.
    pub spam: bool,
    /// Whether its client's address had never been seen before in the run.
    pub first_contact: bool,
}

/// Plays the messages to a scorer; `each` hears of every message as it is scored.
pub fn rank<S: Scorer>(
    rows: &[Row],
    feedback: Feedback,
    scorer: &mut S,
    mut each: impl FnMut(&Row),
) -> Vec<Scored> {
    let mut chance = SmallRng::seed_from_u64(feedback.seed);
    let mut seen: HashSet<IpAddr> = HashSet::new();
    let mut waiting: VecDeque<(Timestamp, S::Note, bool)> = VecDeque::new();
    let mut scored = Vec::with_capacity(rows.len());
    for row in rows {
        while waiting.front().is_some_and(|(due, ..)| *due <= row.time) {
            if let Some((due, note, spam)) = waiting.pop_front() {
                scorer.learn(note, spam, due);
            }
        }
        let (score, note) = scorer.score(row);
        let first_contact = seen.insert(row.client.address);
        scored.push(Scored { score, spam: row.spam, first_contact });
        let (labelled, wrong) = (chance.random_bool(feedback.share), chance.random_bool(feedback.noise));
        if labelled {
            waiting.push_back((row.time.after(feedback.delay), note, row.spam != wrong));
        }
        each(row);
    }
    scored
}

/// The share of spam that scores above all but a share of ham.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Share of ham, of 1.
    pub ham: f64,
    /// Share of spam, of 1.
    pub spam: f64,
}

/// How well scores tell spam from ham.
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// Messages.
    pub messages: usize,
    /// The chance that a spam does not score above a ham.
    pub one_minus_auc: f64,
    /// The curve at [`HAM_SHARES`].
    pub at: [Point; 5],
}

impl Quality {
    /// The quality of these scores; without ham or spam its shares are zero.
    pub fn of<'a>(scored: impl IntoIterator<Item = &'a Scored>) -> Self {
        let (mut ham, mut spam) = (Vec::new(), Vec::new());
        for message in scored {
            if message.spam { spam.push(message.score) } else { ham.push(message.score) }
        }
        ham.sort_unstable_by(f32::total_cmp);
        spam.sort_unstable_by(f32::total_cmp);
        let below = |score: f32| ham.partition_point(|&h| h < score);
        let pairs = (ham.len() * spam.len()) as f64;
        let won: usize = spam.iter().map(|&score| below(score)).sum();
        Self {
            messages: ham.len() + spam.len(),
            one_minus_auc: if pairs > 0.0 { 1.0 - won as f64 / pairs } else { 0.0 },
            at: HAM_SHARES.map(|share| Point { ham: share, spam: above(&ham, &spam, share) }),
        }
    }
}

/// The share of `spam` above all but `share` of `ham`; both sorted.
fn above(ham: &[f32], spam: &[f32], share: f64) -> f64 {
    let over = (ham.len() as f64 * share).floor() as usize;
    let Some(&threshold) = ham.len().checked_sub(over + 1).and_then(|place| ham.get(place)) else {
        return 0.0;
    };
    let caught = spam.len() - spam.partition_point(|&score| score <= threshold);
    if spam.is_empty() { 0.0 } else { caught as f64 / spam.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[(f32, bool)]) -> Vec<Scored> {
        scores.iter().map(|&(score, spam)| Scored { score, spam, first_contact: false }).collect()
    }

    #[test]
    fn ties_are_counted_against_the_scorer() {
        let all_alike = Quality::of(&scored(&[(0.5, true), (0.5, false)]));
        assert_eq!((all_alike.one_minus_auc, all_alike.at[4].spam), (1.0, 0.0));
        let told = Quality::of(&scored(&[(0.6, true), (0.5, false)]));
        assert_eq!((told.one_minus_auc, told.at[0].spam), (0.0, 1.0));
    }

    #[test]
    fn a_share_of_ham_may_score_higher() {
        let mut messages: Vec<(f32, bool)> = (0..100).map(|n| (n as f32, false)).collect();
        messages.extend([(98.5, true), (97.5, true), (200.0, true), (0.0, true)]);
        let quality = Quality::of(&scored(&messages));
        assert_eq!(quality.at.map(|point| point.spam), [0.25, 0.25, 0.25, 0.5, 0.75]);
    }
}
