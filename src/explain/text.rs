//! The text of an explanation.

use super::{DecisionTold, Explained, Limit, Remembered, StandingTold, Suspected};
use policy_core::verdict::in_words;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Terms that add less than this to the log-odds are not worth a line.
const NOTICEABLE: f32 = 0.05;

/// Text from a client, as it can be shown on a terminal.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let printable = |c: char| matches!(c, ' '..='~');
        if self.0.chars().all(printable) {
            return f.pad(self.0);
        }
        let escaped: String = self.0.chars().flat_map(escaped).collect();
        f.pad(&escaped)
    }
}

fn escaped(c: char) -> Vec<char> {
    if matches!(c, ' '..='~') { vec![c] } else { c.escape_unicode().collect() }
}

impl Display for Explained {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {}, mode {}", Plain(&self.about), self.at, self.mode)?;
        if !self.known {
            writeln!(f, "nothing is held of it")?;
        }
        if let Some(decision) = &self.decision {
            decision.whole(f)?;
        }
        if let Some(standing) = &self.standing {
            self.stands(standing, f)?;
        }
        self.found(f)?;
        self.remembered(f)?;
        self.heard(f)?;
        self.limits(f)?;
        for at in &self.pending {
            writeln!(f, "deferred   a retry passes from {at} on")?;
        }
        if let Some(until) = &self.refused_until {
            writeln!(
                f,
                "refused    until {until}: it stayed Bad and kept coming; \"tempfail forget\" ends it"
            )?;
        }
        for said in &self.overrides {
            let until =
                said.until.as_ref().map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
            let (effect, key, since) = (said.effect.word(), &said.key, &said.since);
            writeln!(f, "override   {effect} {key} since {since} {until} {}", Plain(&said.note))?;
            if said.unproven {
                writeln!(
                    f,
                    "           which does not hold here: nothing that is known shows it to be from there"
                )?;
            }
        }
        if !self.changes.is_empty() {
            writeln!(f, "what would change it")?;
        }
        self.changes.iter().try_for_each(|change| writeln!(f, "  {}", Plain(change)))?;
        if !self.last.is_empty() {
            writeln!(f, "latest decisions")?;
        }
        self.last.iter().try_for_each(|decision| decision.line(f))
    }
}

impl Explained {
    fn stands(&self, standing: &StandingTold, f: &mut Formatter<'_>) -> fmt::Result {
        let percent = |chance: f32| 100.0 * chance;
        writeln!(
            f,
            "standing   {} - spam with a chance of {:.0} % (between {:.0} % and {:.0} %), from {:.1} messages' worth of evidence",
            standing.word,
            percent(standing.probability),
            percent(standing.lower),
            percent(standing.upper),
            standing.evidence
        )?;
        writeln!(
            f,
            "looks      spam with a chance of {:.0} %, before its own record is heard",
            percent(standing.looks)
        )?;
        self.waits(f)?;
        if self.decision.is_none() && self.last.is_empty() {
            writeln!(
                f,
                "of         an address alone: no session of it is remembered, so a sender, HELO and names are missing"
            )?;
        }
        writeln!(f, "because (log-odds that each adds beside the others, and what it says alone)")?;
        for term in self.contributions.iter().filter(|term| term.log_odds.abs() >= NOTICEABLE) {
            let side = if term.log_odds > 0.0 { "against it" } else { "for it" };
            writeln!(
                f,
                "  {:+.2} {side:<10} {} (alone: {:.0} % spam, {:.1} messages)",
                term.log_odds,
                Plain(&term.source),
                percent(term.alone),
                term.evidence
            )?;
        }
        Ok(())
    }

    /// Whether a message would wait, and how far it is from that.
    fn waits(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(suspicion) = &self.suspicion else { return Ok(()) };
        let Suspected { suspicious, certainty, at_least, good_above, good_share } = suspicion;
        let is = if *suspicious { "yes" } else { "no" };
        let is_bad = self.standing.as_ref().is_some_and(|standing| standing.word == "Bad");
        let percent = |share: f32| 100.0 * share;
        write!(
            f,
            "suspicious {is} - {:.1} % certain, and from {:.1} % on a message waits",
            percent(*certainty),
            percent(*at_least)
        )?;
        if let Some(share) = good_above {
            let (share, most) = (percent(*share), percent(*good_share));
            write!(
                f,
                "; {share:.1} % of the good mail here looks as bad, and where it is {most:.1} % or less too"
            )?;
        }
        if is_bad {
            write!(f, "; a sender of standing Bad waits with each message, whatever it looks like")?;
        }
        writeln!(f)
    }

    fn found(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.found.is_empty() {
            writeln!(f, "found (signal, what it says, source, age)")?;
        }
        for found in &self.found {
            let age = found.age.map(Duration::from_secs);
            let age = age.map_or_else(String::new, |age| format!(", {} ago", in_words(age)));
            writeln!(f, "  {:<8} {} ({}{age})", found.signal, Plain(&found.value), Plain(&found.source))?;
        }
        Ok(())
    }

    fn remembered(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.remembered.is_empty() {
            writeln!(
                f,
                "remembered (weights of the last weeks, good and bad; messages today, and on the busiest day; known for days)"
            )?;
        }
        self.remembered.iter().try_for_each(|key| key.line(f))
    }

    fn heard(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.heard.is_empty() {
            writeln!(f, "heard of its messages (from, spam, ham, the latest)")?;
        }
        for heard in &self.heard {
            writeln!(f, "  {:<32} {:>8} {:>8} {}", heard.source, heard.spam, heard.ham, heard.last)?;
        }
        Ok(())
    }

    fn limits(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.limits.is_empty() {
            writeln!(f, "limits (whose, of what; at once, by the hour, left now)")?;
        }
        self.limits.iter().try_for_each(|limit| limit.line(f))
    }
}

impl Remembered {
    fn line(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, name, good, bad, today, busiest, age_days, .. } = self;
        let name = Plain(name);
        writeln!(
            f,
            "  {kind:<32} {name:<34} {good:>8.2} {bad:>8.2} {today:>8.0} {busiest:>8.0} {age_days:>5}"
        )
    }
}

impl Limit {
    fn line(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rate = self.by_the_hour.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        let Self { whose, unit, at_once, left, .. } = self;
        writeln!(f, "  {whose:<8} {unit:<32} {at_once:>12.0} {rate:>12} {left:>12.0}")
    }
}

impl DecisionTold {
    /// What was answered, and the verdict when that was another.
    fn answer(&self) -> String {
        let would = self.would.as_ref().map_or_else(String::new, |would| format!(" (would {would})"));
        format!("{}{would}", self.action)
    }

    fn whole(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "decision   {} at {}: {}, {}", self.id, self.at, self.answer(), self.reason)?;
        writeln!(f, "           {}", Plain(&self.because))?;
        if let Some(reply) = &self.reply {
            writeln!(f, "           {}", Plain(reply))?;
        }
        let name = self.client_name.as_deref().unwrap_or("unknown");
        write!(f, "           from {} [{}]", Plain(name), self.client_address)?;
        if let Some(sender) = &self.sender {
            write!(f, ", sender {}", Plain(sender))?;
        }
        if let Some(id) = &self.queue_id {
            write!(f, ", queue id {}", Plain(id))?;
        }
        if let (Some(word), Some(chance)) = (&self.standing, self.probability) {
            write!(f, "; it stood {word}, {:.0} % spam", 100.0 * chance)?;
        }
        writeln!(f)
    }

    fn line(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sender = self.sender.as_deref().unwrap_or("-");
        let word = self.standing.as_deref().unwrap_or("-");
        writeln!(
            f,
            "  {} {} {:<20} {:<20} {word:<6} {:<15} {}",
            self.at,
            self.id,
            self.answer(),
            self.reason,
            self.client_address,
            Plain(sender)
        )
    }
}
