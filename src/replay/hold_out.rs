//! How well fitted weights do on mail that they were not fitted on.
//!
//! The networks of a recording are parted in two by chance. Weights are fitted on the mail of one half, and the mail of
//! the other is ranked with them from an empty ledger; then the other way round; and all of it with other partings.
//! Beside it stands what weights make of the same halves that were fitted on all of the mail, and so have seen it, and
//! what is made of them without any.

use super::engine::Engine;
use super::feedback::{Feedback, luck};
use super::fit::fitted;
use super::ranking::{HAM_SHARES, Quality, rank};
use super::trace::Row;
use ipnet::IpNet;
use policy_core::weights::{Part, Start};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// How often the networks are parted.
const PARTINGS: u64 = 3;
/// Memory for the state, in octets.
const MEMORY: usize = 64 << 20;

/// What weights make of mail, in the mean of all halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Mean {
    /// The share of spam that scores above all but each of [`HAM_SHARES`] of the ham.
    pub spam_deferred: [f64; HAM_SHARES.len()],
    /// The chance that a spam does not score above a ham.
    pub one_minus_auc: f64,
    /// Halves that had ham and spam, of which this is the mean.
    pub halves: usize,
}

/// The same mail by weights of three origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Fits {
    /// Fitted on the other half.
    pub held_out: Mean,
    /// Fitted on both halves.
    pub seen: Mean,
    /// Not fitted.
    pub none: Mean,
}

/// How well fitted weights do on mail that they were not fitted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HeldOut {
    /// With all labels, an hour late.
    pub all_labels: Fits,
    /// With few of them, late and sometimes wrong.
    pub few_labels: Fits,
}

impl Mean {
    fn add(&mut self, quality: &Quality) {
        let Some(one_minus_auc) = quality.one_minus_auc else { return };
        self.halves += 1;
        let share = 1.0 / self.halves as f64;
        let add = |mean: &mut f64, value: f64| *mean += share * (value - *mean);
        add(&mut self.one_minus_auc, one_minus_auc);
        let shares = self.spam_deferred.iter_mut().zip(quality.at);
        shares.for_each(|(mean, point)| add(mean, point.spam_deferred.unwrap_or_default()));
    }
}

impl HeldOut {
    /// `None` when no half has both ham and spam.
    pub(super) fn of(rows: &[Row]) -> Option<Self> {
        let (seen, none) = (fitted(rows).shipping(), Start::shipped().without(Part::Shipped));
        let mut result = Self::default();
        for parting in 0..PARTINGS {
            let [one, other] = part(rows, parting);
            for (held_out, rest) in [(&one, &other), (&other, &one)] {
                result.add(held_out, parting, [&fitted(rest).shipping(), &seen, &none]);
            }
        }
        (result.all_labels.held_out.halves > 0).then_some(result)
    }

    fn add(&mut self, rows: &[Row], parting: u64, starts: [&Start; 3]) {
        let kinds =
            [(&mut self.all_labels, Feedback::default()), (&mut self.few_labels, Feedback::few(parting))];
        for (Fits { held_out, seen, none }, feedback) in kinds {
            for (mean, start) in [held_out, seen, none].into_iter().zip(starts) {
                mean.add(&quality(rows, feedback, start));
            }
        }
    }
}

fn quality(rows: &[Row], feedback: Feedback, start: &Start) -> Quality {
    let begin = rows.first().map(|row| row.time).unwrap_or_default();
    let mut engine = Engine::starting_from(start.clone(), MEMORY, begin);
    Quality::of(&rank(rows, feedback, &mut engine, || ()))
}

/// Parts mail by its networks, IPv4 /16 and IPv6 /32.
fn part(rows: &[Row], parting: u64) -> [Vec<Row>; 2] {
    let mut sides: HashMap<IpNet, bool> = HashMap::new();
    let (one, other): (Vec<&Row>, _) = rows.iter().partition(|row| {
        let (next, network) = (sides.len(), network(row.client.address));
        *sides.entry(network).or_insert_with(|| rand::Rng::random(&mut luck(parting, next, 0)))
    });
    [one, other].map(|half| half.into_iter().cloned().collect())
}

fn network(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 16 } else { 32 };
    // No address is as short as that, so there is always such a network.
    IpNet::new(address, length).map_or_else(|_| address.into(), |network| network.trunc())
}

impl fmt::Display for HeldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = self.all_labels.held_out.halves;
        writeln!(f, "Networks parted in halves: the mean of {halves} halves.")?;
        writeln!(f, "The share of spam (%) with a higher score than all but a share of ham")?;
        for (labels, fits) in [
            ("all labels, an hour late", self.all_labels),
            ("40 % of labels, 2 % wrong, a day late", self.few_labels),
        ] {
            write!(f, "\n{labels:<38}")?;
            HAM_SHARES.iter().try_for_each(|share| write!(f, " {:>6}", format!("{:.1}%", 100.0 * share)))?;
            writeln!(f, " {:>8}", "1-AUC")?;
            for (name, mean) in [
                ("  fitted on the other half", fits.held_out),
                ("  fitted on both", fits.seen),
                ("  not fitted", fits.none),
            ] {
                write!(f, "{name:<38}")?;
                mean.spam_deferred.iter().try_for_each(|share| write!(f, " {:>6.1}", 100.0 * share))?;
                writeln!(f, " {:>8.4}", mean.one_minus_auc)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::scenario;
    use policy_core::time::Timestamp;

    fn rows() -> Vec<Row> {
        scenario::rows(Timestamp::from_secs(1_700_000_000)).into_iter().take(600).collect()
    }

    #[test]
    fn a_network_is_on_one_side_and_no_mail_is_lost() {
        let rows = rows();
        let [one, other] = part(&rows, 1);
        let networks = |half: &[Row]| -> std::collections::HashSet<IpNet> {
            half.iter().map(|row| network(row.client.address)).collect()
        };
        assert!(networks(&one).is_disjoint(&networks(&other)));
        assert_eq!(one.len() + other.len(), rows.len());
        assert!(one.is_sorted_by_key(|row| row.time) && one.len().min(other.len()) > rows.len() / 10);
        assert_ne!(one.len(), part(&rows, 2)[0].len(), "another parting");
    }

    #[test]
    fn a_mean_is_one_of_the_halves_that_have_both() {
        let quality = |auc: Option<f64>| Quality {
            one_minus_auc: auc,
            at: HAM_SHARES
                .map(|ham_deferred| super::super::ranking::Point { ham_deferred, spam_deferred: auc }),
            ..Quality::of(&[])
        };
        let mut mean = Mean::default();
        [Some(0.25), None, Some(0.75)].into_iter().for_each(|auc| mean.add(&quality(auc)));
        assert_eq!(mean, Mean { spam_deferred: [0.5; 5], one_minus_auc: 0.5, halves: 2 });
    }

    #[test]
    fn what_was_fitted_tells_more_than_nothing_does() {
        let HeldOut { all_labels, few_labels } = HeldOut::of(&rows()).unwrap();
        assert_eq!(all_labels.held_out.halves, 2 * PARTINGS as usize);
        for fits in [all_labels, few_labels] {
            assert!(fits.held_out.one_minus_auc < fits.none.one_minus_auc, "{fits:?}");
        }
        let good: Vec<Row> = rows().into_iter().filter(|row| !row.spam).take(50).collect();
        assert_eq!(HeldOut::of(&good), None, "nothing to tell apart");
    }
}
