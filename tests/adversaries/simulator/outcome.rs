//! What became of mail, counted.

use super::mail::Party;
use super::{DAY, MINUTE};
use policy_core::time::Timestamp;
use std::time::Duration;

/// What became of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) party: Party,
    pub(crate) tag: u32,
    pub(crate) spam: bool,
    pub(crate) sent: Timestamp,
    pub(crate) let_in: Option<Timestamp>,
    /// When it was let in or given up, or the end of the run.
    pub(crate) ended: Timestamp,
    /// How often it was deferred.
    pub(crate) deferrals: u32,
    /// Why it was first deferred.
    pub(crate) reason: Option<&'static str>,
    /// Its mailer gave up.
    pub(crate) lost: bool,
}

impl Fate {
    pub(crate) fn is_of(&self, party: Party, spam: bool) -> bool {
        self.party == party && self.spam == spam
    }

    pub(crate) fn was_deferred(&self) -> bool {
        self.deferrals > 0
    }
}

/// Counts over some messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    pub(crate) let_in: usize,
    /// Deferred at the first try.
    pub(crate) deferred: usize,
    /// Given up by their mailers.
    pub(crate) lost: usize,
    /// Seconds until each was let in, ascending: without end for what was lost, and for what is still under
    /// way as long as the run saw it wait.
    delays: Vec<f64>,
}

impl Outcome {
    pub(crate) fn of<'a>(fates: impl Iterator<Item = &'a Fate>) -> Self {
        let mut outcome = Self::default();
        for fate in fates {
            outcome.sent += 1;
            outcome.let_in += usize::from(fate.let_in.is_some());
            outcome.deferred += usize::from(fate.was_deferred());
            outcome.lost += usize::from(fate.lost);
            let waited = fate.ended.since(fate.sent).as_secs_f64();
            let delay = if fate.lost { f64::INFINITY } else { waited };
            outcome.delays.push(delay);
        }
        outcome.delays.sort_by(f64::total_cmp);
        outcome
    }

    pub(crate) fn share_let_in(&self) -> f64 {
        share(self.let_in, self.sent)
    }

    pub(crate) fn share_deferred(&self) -> f64 {
        share(self.deferred, self.sent)
    }

    /// The delay in seconds that this share of all messages does not exceed.
    pub(crate) fn delay(&self, quantile: f64) -> f64 {
        let place = (quantile * self.delays.len() as f64).ceil() as usize;
        self.delays.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How long a sender that turned bad went on, and how much of its spam came in meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clamp {
    pub(crate) after: Duration,
    pub(crate) leaked: usize,
}

/// The first ten minutes after `turned` in which at most a tenth of the spam was let in at the first try;
/// `None` when there were none.
pub(crate) fn clamp(spam: &[Fate], turned: Timestamp) -> Option<Clamp> {
    let minutes = (DAY.as_secs() / 60) as u32;
    (0..minutes).map(|minute| turned.after(MINUTE * minute)).find_map(|from| {
        let until = from.after(10 * MINUTE);
        let sent = || spam.iter().filter(|fate| fate.sent >= from && fate.sent < until);
        let at_once = sent().filter(|fate| !fate.was_deferred()).count();
        let leaked = || spam.iter().filter(|fate| fate.let_in.is_some_and(|at| at < from)).count();
        let clamped = sent().count() > 0 && at_once * 10 <= sent().count();
        clamped.then(|| Clamp { after: from.since(turned), leaked: leaked() })
    })
}

/// How long after `last_bad` good mail was last deferred.
pub(crate) fn recovery(ham: &[Fate], last_bad: Timestamp) -> Duration {
    let deferred = ham.iter().filter(|fate| fate.sent >= last_bad && fate.was_deferred());
    deferred.map(|fate| fate.sent.since(last_bad)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::BEGIN;

    /// A message sent after some seconds, deferred so many times and let in after so long.
    fn fate(sent: u64, deferrals: u32, delay: Option<u64>) -> Fate {
        let sent = BEGIN.after(Duration::from_secs(sent));
        let let_in = delay.map(|delay| sent.after(Duration::from_secs(delay)));
        let lost = let_in.is_none();
        let ended = let_in.unwrap_or(sent);
        Fate { party: Party::Actor, tag: 0, spam: true, sent, let_in, ended, deferrals, reason: None, lost }
    }

    #[test]
    fn delays_and_losses_are_counted() {
        let fates = [fate(0, 0, Some(0)), fate(1, 1, Some(300)), fate(2, 9, None), fate(3, 0, Some(0))];
        let outcome = Outcome::of(fates.iter());
        assert_eq!((outcome.sent, outcome.let_in, outcome.deferred, outcome.lost), (4, 3, 2, 1));
        assert_eq!((outcome.delay(0.5), outcome.delay(0.75)), (0.0, 300.0));
        assert_eq!(outcome.delay(1.0), f64::INFINITY, "what never came in has no delay that is short");
    }

    #[test]
    fn a_clamp_is_seen_when_it_holds() {
        let one_a_second = |from: u64, until: u64, deferred: bool| {
            (from..until).map(move |s| fate(s, u32::from(deferred), (!deferred).then_some(0)))
        };
        let spam: Vec<Fate> = one_a_second(0, 300, false).chain(one_a_second(300, 3600, true)).collect();
        let clamp = clamp(&spam, BEGIN).unwrap();
        assert!((240..=300).contains(&clamp.after.as_secs()), "{clamp:?}");
        assert_eq!(clamp.leaked as u64, clamp.after.as_secs());
        assert_eq!(super::clamp(&spam[..300], BEGIN), None, "nothing was ever deferred");
    }

    #[test]
    fn recovery_ends_with_the_last_deferral() {
        let ham = [fate(0, 1, None), fate(50, 1, None), fate(70, 0, Some(0))];
        let after = |secs| BEGIN.after(Duration::from_secs(secs));
        assert_eq!(recovery(&ham, after(10)), Duration::from_secs(40));
        assert_eq!(recovery(&ham, after(60)), Duration::ZERO);
    }
}
