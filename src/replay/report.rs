//! What a replay found: a table for people, one JSON object for programs. Shares are of 1.

use super::baselines::{Deferred, FIXED_LIMIT};
use super::closed_loop::ClosedLoop;
use super::ranking::{Quality, Scored};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// The ranking of all messages, of the second half, and of first contacts.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// All messages.
    pub all: Quality,
    /// Those of the second half of the recording.
    pub second_half: Quality,
    /// Those whose client's address had never been seen before.
    pub first_contact: Quality,
}

impl Ranking {
    /// The ranking by these scores, in the recording's order.
    pub fn of(scored: &[Scored]) -> Self {
        Self {
            all: Quality::of(scored),
            second_half: Quality::of(&scored[scored.len() / 2..]),
            first_contact: Quality::of(scored.iter().filter(|message| message.first_contact)),
        }
    }
}

/// A baseline's ranking.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Baseline {
    /// Its name.
    pub name: &'static str,
    /// How it ranks.
    pub ranking: Ranking,
}

/// Whether of the messages given a chance p a share p is spam: by tenths of p.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Calibration {
    /// For each tenth: messages, their mean chance, and the share of them that is spam.
    pub tenths: [(u64, f64, f64); 10],
}

impl Calibration {
    /// The calibration of scores that are log-odds.
    pub fn of(scored: &[Scored]) -> Self {
        let mut sums = [(0u64, 0.0, 0.0); 10];
        for message in scored {
            let chance = 1.0 / (1.0 + (-f64::from(message.score)).exp());
            let tenth = &mut sums[((chance * 10.0) as usize).min(9)];
            *tenth = (tenth.0 + 1, tenth.1 + chance, tenth.2 + f64::from(u8::from(message.spam)));
        }
        let mean = |sum: f64, count: u64| if count > 0 { sum / count as f64 } else { 0.0 };
        Self { tenths: sums.map(|(count, chance, spam)| (count, mean(chance, count), mean(spam, count))) }
    }
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// Messages.
    pub messages: usize,
    /// Of them ham.
    pub ham: usize,
    /// Of them spam.
    pub spam: usize,
    /// Last lines that were torn and left out.
    pub torn: u64,
    /// The ranking.
    pub ranking: Ranking,
    /// The calibration.
    pub calibration: Calibration,
    /// The closed loop.
    pub closed_loop: ClosedLoop,
    /// What others do.
    pub baselines: Vec<Baseline>,
    /// Greylisting.
    pub greylisting: Deferred,
    /// A fixed limit by address.
    pub fixed_limit: Deferred,
    /// What the ranking took.
    pub seconds: f64,
    /// Messages scored and learned from in a second.
    pub decisions_per_second: f64,
}

#[derive(serde::Serialize)]
struct At {
    ham_deferred: f64,
    spam_deferred: f64,
}

impl Serialize for Quality {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_quality(self, &mut map)?;
        map.end()
    }
}

fn serialize_quality<M: SerializeMap>(quality: &Quality, map: &mut M) -> Result<(), M::Error> {
    let at = quality.at.map(|point| At { ham_deferred: point.ham, spam_deferred: point.spam });
    map.serialize_entry("messages", &quality.messages)?;
    map.serialize_entry("one_minus_auc", &quality.one_minus_auc)?;
    map.serialize_entry("at", &at)
}

impl Serialize for Ranking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_quality(&self.all, &mut map)?;
        map.serialize_entry("second_half", &self.second_half)?;
        map.serialize_entry("first_contact", &self.first_contact)?;
        map.end()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages: {} ham, {} spam", self.messages, self.ham, self.spam)?;
        if self.torn > 0 {
            writeln!(f, "{} torn last line left out", self.torn)?;
        }
        writeln!(f, "\nspam (%) that scores above all but a share of ham; 1-AUC")?;
        writeln!(
            f,
            "{:<28} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8}",
            "ham", "0.1%", "0.3%", "0.5%", "1%", "2%", "1-AUC"
        )?;
        self.qualities(f)?;
        writeln!(f, "\nwithout a score: ham and spam deferred (%)")?;
        for (name, deferred) in [
            ("greylisting".to_owned(), self.greylisting),
            (format!("{FIXED_LIMIT} an hour by address"), self.fixed_limit),
        ] {
            writeln!(
                f,
                "{name:<28} {:>6.2} {:>6.1}",
                100.0 * deferred.ham_deferred,
                100.0 * deferred.spam_deferred
            )?;
        }
        self.calibrated(f)?;
        self.enforced(f)?;
        writeln!(f, "\n{:.1} s, {:.0} decisions a second", self.seconds, self.decisions_per_second)
    }
}

impl Report {
    fn qualities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = [
            ("this engine", &self.ranking.all),
            ("  second half", &self.ranking.second_half),
            ("  first contacts", &self.ranking.first_contact),
        ];
        let others = self.baselines.iter().map(|baseline| (baseline.name, &baseline.ranking.all));
        for (name, quality) in own.into_iter().chain(others) {
            write!(f, "{name:<28}")?;
            for point in quality.at {
                write!(f, " {:>6.1}", 100.0 * point.spam)?;
            }
            writeln!(f, " {:>8.4}", quality.one_minus_auc)?;
        }
        Ok(())
    }

    fn calibrated(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\ncalibration: chance given (%), spam among them (%), messages")?;
        for (count, chance, spam) in self.calibration.tenths {
            writeln!(f, "{:>6.1} {:>6.1} {count:>9}", 100.0 * chance, 100.0 * spam)?;
        }
        Ok(())
    }

    fn enforced(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.closed_loop;
        writeln!(f, "\nenforced: ham deferred {:.2} %, lost {}", 100.0 * run.ham_deferred, run.ham_lost)?;
        let minutes = [run.ham_delay_p50_s, run.ham_delay_p95_s, run.ham_delay_p99_s].map(|s| s / 60.0);
        let [p50, p95, p99] = minutes;
        writeln!(f, "its delay in minutes: median {p50:.0}, 95 % {p95:.0}, 99 % {p99:.0}")?;
        let (deferred, never) = (100.0 * run.spam_deferred, 100.0 * run.spam_never_in);
        writeln!(f, "spam deferred {deferred:.1} %, never in {never:.1} %")?;
        writeln!(f, "{:<28} {:>8} {:>8}", "first deferral by reason", "ham", "spam")?;
        for (reason, [ham, spam]) in &run.reasons {
            writeln!(f, "{reason:<28} {ham:>8} {spam:>8}")?;
        }
        writeln!(f, "{:<28} {:>8} {:>8}", "ham delayed most", "messages", "minutes")?;
        for (who, messages, delay) in &run.delayed_most {
            writeln!(f, "{who:<28} {messages:>8} {:>8.0}", delay / 60.0)?;
        }
        Ok(())
    }
}
