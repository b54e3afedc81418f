//! What a replay of a trace found, as a table for people.

use super::baselines::{Deferred, FIXED_LIMIT};
use super::delays::Delayed;
use super::hints::hint;
use super::ranking::{HAM_SHARES, Quality};
use super::report::Report;
use std::fmt;

/// Columns that the bars of a curve are wide.
const BAR: f64 = 50.0;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} messages: {} ham, {} spam", self.messages, self.ham, self.spam)?;
        if self.torn_lines > 0 {
            writeln!(f, "{} left out as a last line that was torn", self.torn_lines)?;
        }
        if self.cut_files > 0 {
            writeln!(f, "{} compressed files were cut off: what came after that is missing", self.cut_files)?;
        }
        self.qualities(f)?;
        self.curve(f)?;
        self.scoreless(f)?;
        self.calibrated(f)?;
        self.enforced(f)?;
        let (seconds, speed) = (self.seconds, self.decisions_per_second);
        writeln!(f, "\n{} decisions in {seconds:.1} s, {speed:.0} a second", self.messages)
    }
}

impl Report {
    fn qualities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nRanking: the share of spam (%) with a higher score than all but a share of ham")?;
        write!(f, "{:<24}", "all but this much ham")?;
        HAM_SHARES.iter().try_for_each(|share| write!(f, " {:>6}", format!("{:.1}%", 100.0 * share)))?;
        writeln!(f, " {:>8}", "1-AUC")?;
        let own = [
            ("this engine", &self.ranking.all),
            ("  second half", &self.ranking.second_half),
            ("  first contacts", &self.ranking.first_contact),
        ];
        let others = self.baselines.rankings().map(|(name, ranking)| (name, &ranking.all));
        own.into_iter().chain(others).try_for_each(|(name, quality)| quality_line(f, name, quality))
    }

    fn curve(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSpam deferred, by how much ham is deferred with it")?;
        for point in self.ranking.all.at {
            let Some(share) = point.spam_deferred else { continue };
            let bar = "#".repeat((share * BAR).round() as usize);
            let (ham, spam) = (100.0 * point.ham_deferred, 100.0 * share);
            writeln!(f, "{ham:>5.1}% |{bar:<50}| {spam:.1}%")?;
        }
        Ok(())
    }

    fn scoreless(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<28} {:>8} {:>8}", "Without a score, deferred", "ham %", "spam %")?;
        let mut line = |name: &str, deferred: Deferred| {
            let (ham, spam) = (100.0 * deferred.ham_deferred, 100.0 * deferred.spam_deferred);
            writeln!(f, "{name:<28} {ham:>8.2} {spam:>8.1}")
        };
        line("greylisting", self.baselines.greylisting)?;
        line(&format!("{FIXED_LIMIT} an hour by address"), self.baselines.fixed_limit)
    }

    fn calibrated(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<12} {:>8} {:>8} {:>9}", "Calibration", "given %", "spam %", "messages")?;
        for tenth in &self.calibration {
            let range = format!("{:.1} to {:.1}", tenth.from, tenth.to);
            let percent = |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.1}", 100.0 * s));
            let (given, spam) = (percent(tenth.probability), percent(tenth.spam));
            writeln!(f, "{range:<12} {given:>8} {spam:>8} {:>9}", tenth.count)?;
        }
        Ok(())
    }

    fn enforced(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.closed_loop;
        writeln!(f, "\nEnforced, with senders that come back")?;
        writeln!(f, "ham deferred {:.2} %, lost {} messages", 100.0 * run.ham_deferred, run.ham_lost)?;
        let minutes = [run.ham_delay_p50_s, run.ham_delay_p95_s, run.ham_delay_p99_s].map(|s| s / 60.0);
        let [p50, p95, p99] = minutes;
        writeln!(f, "delay of deferred ham: median {p50:.0} min, 95 % {p95:.0} min, 99 % {p99:.0} min")?;
        let (deferred, never) = (100.0 * run.spam_deferred, 100.0 * run.spam_never_in);
        writeln!(f, "spam deferred {deferred:.1} %, never in {never:.1} %")?;
        writeln!(f, "\n{:<28} {:>8} {:>8}", "First deferrals by reason", "ham", "spam")?;
        for (reason, sides) in &run.reasons {
            writeln!(f, "{reason:<28} {:>8} {:>8}", sides.ham, sides.spam)?;
        }
        if !run.delayed_most.is_empty() {
            writeln!(f, "\nWhose ham was delayed most")?;
        }
        run.delayed_most.iter().try_for_each(|client| delayed(f, client))
    }
}

fn quality_line(f: &mut fmt::Formatter<'_>, name: &str, quality: &Quality) -> fmt::Result {
    write!(f, "{name:<24}")?;
    for point in quality.at {
        match point.spam_deferred {
            Some(share) => write!(f, " {:>6.1}", 100.0 * share)?,
            None => write!(f, " {:>6}", "-")?,
        }
    }
    match quality.one_minus_auc {
        Some(area) => writeln!(f, " {area:>8.4}"),
        None => writeln!(f, " {:>8}", "-"),
    }
}

/// One client: who, how much, why, and what an operator can do about it.
fn delayed(f: &mut fmt::Formatter<'_>, client: &Delayed) -> fmt::Result {
    let name = client.name.as_deref().unwrap_or("no name");
    write!(f, "{} ({name})", client.client)?;
    if let Some(domain) = &client.sender_domain {
        write!(f, ", mail of {domain}")?;
    }
    let (deferred, messages, minutes) = (client.deferred, client.messages, client.delay_s / 60.0);
    write!(f, ": {deferred} of {messages} deferred, {minutes:.0} minutes together")?;
    if client.lost > 0 {
        write!(f, ", {} lost", client.lost)?;
    }
    writeln!(f)?;
    let most = client.reasons.iter().max_by_key(|(_, count)| **count);
    most.map_or(Ok(()), |(reason, _)| writeln!(f, "    {reason}: {}", hint(reason)))
}
