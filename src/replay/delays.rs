//! What a closed loop did to each message, and the sums of it.

use super::trace::Row;
use policy_core::name::Sender;
use policy_core::time::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Clients that are named in a report.
const NAMED: usize = 10;

/// What became of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// The reason of its first deferral.
    pub(super) deferred: Option<&'static str>,
    /// When it came in.
    pub(super) came_in: Option<Timestamp>,
}

/// How a loop went.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClosedLoop {
    /// Share of ham that was deferred at its first attempt, of 1.
    pub ham_deferred: f64,
    /// Median delay of the ham that was deferred and came in, in seconds; zero when there was none.
    pub ham_delay_p50_s: f64,
    /// Its 95th percentile.
    pub ham_delay_p95_s: f64,
    /// Its 99th percentile.
    pub ham_delay_p99_s: f64,
    /// Ham that never came in.
    pub ham_lost: u64,
    /// Share of spam that was deferred at its first attempt, of 1.
    pub spam_deferred: f64,
    /// Share of spam that never came in, of 1.
    pub spam_never_in: f64,
    /// First deferrals by reason.
    pub reasons: BTreeMap<&'static str, Sides>,
    /// Whose ham was delayed most.
    pub delayed_most: Vec<Delayed>,
}

/// A count of ham and one of spam.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sides {
    /// Of ham.
    pub ham: u64,
    /// Of spam.
    pub spam: u64,
}

impl Sides {
    pub(super) fn add(&mut self, spam: bool) {
        *(if spam { &mut self.spam } else { &mut self.ham }) += 1;
    }
}

/// A client whose ham was delayed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Delayed {
    /// Its address.
    pub client: IpAddr,
    /// Its reverse name, or else its HELO name.
    pub name: Option<String>,
    /// The domain of a sender that was delayed.
    pub sender_domain: Option<String>,
    /// Ham messages of this client.
    pub messages: u64,
    /// How many of them were deferred.
    pub deferred: u64,
    /// How many of them never came in.
    pub lost: u64,
    /// What they were delayed together, in seconds.
    pub delay_s: f64,
    /// Why, by messages.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Delayed {
    fn new(row: &Row) -> Self {
        let reverse_name = row.client.reverse_name.as_ref().map(ToString::to_string);
        Self {
            client: row.client.address,
            name: reverse_name.or_else(|| row.client.helo.as_ref().map(ToString::to_string)),
            sender_domain: None,
            messages: 0,
            deferred: 0,
            lost: 0,
            delay_s: 0.0,
            reasons: BTreeMap::new(),
        }
    }

    fn add(&mut self, row: &Row, fate: &Fate) {
        self.messages += 1;
        let Some(reason) = fate.deferred else { return };
        self.deferred += 1;
        *self.reasons.entry(reason).or_default() += 1;
        let domain = row.sender.as_ref().and_then(Sender::domain);
        self.sender_domain = self.sender_domain.take().or_else(|| domain.map(ToString::to_string));
        match fate.came_in {
            Some(at) => self.delay_s += at.since(row.time).as_secs_f64(),
            None => self.lost += 1,
        }
    }
}

impl ClosedLoop {
    /// The sums of what became of these messages.
    pub(super) fn of(rows: &[Row], fates: &[Fate]) -> Self {
        let (mut all, mut never_in) = (Sides::default(), Sides::default());
        let mut reasons: BTreeMap<&'static str, Sides> = BTreeMap::new();
        for (row, fate) in rows.iter().zip(fates) {
            all.add(row.spam);
            if fate.came_in.is_none() {
                never_in.add(row.spam);
            }
            if let Some(reason) = fate.deferred {
                reasons.entry(reason).or_default().add(row.spam);
            }
        }
        let deferred = |side: fn(&Sides) -> u64| reasons.values().map(side).sum::<u64>();
        let share = |count: u64, all: u64| count as f64 / all.max(1) as f64;
        let delays = ham_delays(rows, fates);
        Self {
            ham_deferred: share(deferred(|sides| sides.ham), all.ham),
            ham_delay_p50_s: quantile(&delays, 0.5),
            ham_delay_p95_s: quantile(&delays, 0.95),
            ham_delay_p99_s: quantile(&delays, 0.99),
            ham_lost: never_in.ham,
            spam_deferred: share(deferred(|sides| sides.spam), all.spam),
            spam_never_in: share(never_in.spam, all.spam),
            delayed_most: delayed_most(rows, fates),
            reasons,
        }
    }
}

/// Delays of the ham that was deferred and came in, shortest first.
fn ham_delays(rows: &[Row], fates: &[Fate]) -> Vec<f64> {
    let deferred_ham = rows.iter().zip(fates).filter(|(row, fate)| !row.spam && fate.deferred.is_some());
    let mut delays: Vec<f64> =
        deferred_ham.filter_map(|(row, fate)| Some(fate.came_in?.since(row.time).as_secs_f64())).collect();
    delays.sort_unstable_by(f64::total_cmp);
    delays
}

/// The clients whose ham was lost or delayed most, worst first.
fn delayed_most(rows: &[Row], fates: &[Fate]) -> Vec<Delayed> {
    let mut clients: BTreeMap<IpAddr, Delayed> = BTreeMap::new();
    for (row, fate) in rows.iter().zip(fates).filter(|(row, _)| !row.spam) {
        clients.entry(row.client.address).or_insert_with(|| Delayed::new(row)).add(row, fate);
    }
    let mut delayed: Vec<Delayed> = clients.into_values().filter(|client| client.deferred > 0).collect();
    delayed.sort_by(|a, b| b.lost.cmp(&a.lost).then(b.delay_s.total_cmp(&a.delay_s)));
    delayed.truncate(NAMED);
    delayed
}

/// The smallest of sorted values that a share of them does not exceed; zero of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_there_is() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }
}
