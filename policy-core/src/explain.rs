//! What is held of a client, why, until when: for people to read.

use crate::allowance::{Dimension, PerHour, Quota};
use crate::evidence::Reading;
use crate::facts::Facts;
use crate::feedback::Heard;
use crate::findings::Note;
use crate::identity::{Identities, Key, Kind, networks_of};
use crate::policy::Policy;
use crate::quota::Lane;
use crate::standing::{Contribution, Standing, Word};
use crate::state::State;
use crate::time::Timestamp;
use crate::verdict::in_words;
use std::fmt;

/// What is held of one identity.
#[derive(Clone, Debug)]
pub struct KeyExplanation {
    /// What kind of identity.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is remembered of it.
    pub reading: Reading,
}

/// Everything that a decision on these facts would rest on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The standing.
    pub standing: Standing,
    /// All terms that made it, strongest first: they add up to its log-odds.
    pub contributions: Vec<Contribution>,
    /// What is remembered of each identity, specific ones first.
    pub identities: Vec<KeyExplanation>,
    /// What was heard about messages of the address and of its organisation, from each source.
    pub heard: Vec<Heard>,
    /// What was looked up, in words.
    pub found: Vec<Note>,
    /// The quota of the address.
    pub quota: Quota,
    /// What of it is used up, and sessions open now.
    pub outstanding: (PerHour, u32),
    /// When pending deferrals of the address may pass.
    pub pending: Vec<Timestamp>,
    /// The moment of the explanation.
    pub now: Timestamp,
}

impl State {
    /// Explains how a client with these facts stands now. Changes nothing.
    pub fn explain(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Explanation {
        let identities = Identities::of(facts, &self.keyring, now);
        let readings = self.ledger.readings(&identities, now);
        let standing = self.ledger.standing(&identities, &readings, now);
        let address = identities.address();
        // As it pays: a suspicious stranger has less than another.
        let word = match standing.word {
            Word::New if policy.waits.is_suspicious(&standing) => Word::Low,
            word => word,
        };
        let quota = policy.limits.quota(&self.ledger.read(&address, now), word, 1.0);
        let lane = Lane::of(word).key(address);
        Explanation {
            outstanding: self.meters.outstanding(&lane, &quota.rate, now),
            identities: self.named(facts, &identities, now),
            contributions: self.ledger.all_contributions(&identities, &readings, now),
            pending: self.deferrals.pending_of(address, now),
            heard: self.messages.heard_of(&[address, identities.group.unwrap_or(address)]),
            found: facts.findings.notes.clone(),
            standing,
            quota,
            now,
        }
    }

    fn named(&self, facts: &Facts, identities: &Identities, now: Timestamp) -> Vec<KeyExplanation> {
        let [host, prefix] = networks_of(facts.client.address);
        let reading = |key: &Key| self.ledger.read(key, now);
        let mut named = vec![
            KeyExplanation {
                kind: Kind::Address,
                name: host.to_string(),
                reading: reading(&identities.address()),
            },
            KeyExplanation {
                kind: Kind::Prefix,
                name: prefix.to_string(),
                reading: reading(&identities.prefix()),
            },
        ];
        let sender = facts.envelope.sender.as_ref().and_then(|s| s.domain()).map(ToString::to_string);
        for chain in identities.chains.iter().skip(1) {
            let name = match chain.kind {
                Kind::ReverseName => facts.client.name.as_ref().map(ToString::to_string),
                Kind::Unconfirmed | Kind::Pattern => reverse_name(facts),
                Kind::Signed => facts.message.signed.as_ref().map(ToString::to_string),
                Kind::Mailbox => facts.envelope.sender.as_ref().map(ToString::to_string),
                Kind::Helo => facts.client.helo.as_ref().map(ToString::to_string),
                Kind::Verified => self.verified_name(facts, chain.specific()),
                _ => sender.clone(),
            };
            let name = name.unwrap_or_default();
            named.push(KeyExplanation { kind: chain.kind, name, reading: reading(&chain.specific()) });
        }
        named
    }

    fn verified_name(&self, facts: &Facts, key: Key) -> Option<String> {
        let name = |v: &crate::facts::VerifiedDomain| v.domain.to_string();
        let mut names = facts.message.verified.iter().map(name);
        names.find(|name| self.keyring.named(Kind::Verified, name) == key)
    }
}

fn reverse_name(facts: &Facts) -> Option<String> {
    let name = facts.client.name.as_ref().or(facts.client.reverse_name.as_ref());
    name.map(ToString::to_string)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = &self.standing;
        writeln!(
            f,
            "standing   {} - spam with a chance of {:.0} % (between {:.0} % and {:.0} %), from {:.1} messages' worth of evidence",
            standing.word,
            100.0 * standing.probability,
            100.0 * standing.lower,
            100.0 * standing.upper,
            standing.evidence
        )?;
        writeln!(f, "because")?;
        for c in self.contributions.iter().filter(|c| c.log_odds.abs() >= 0.05) {
            let side = if c.log_odds > 0.0 { "against it" } else { "for it" };
            writeln!(
                f,
                "  {:+.2} {side:<10} {} (alone: {:.0} % spam, {:.1} messages)",
                c.log_odds,
                c.source,
                100.0 * c.estimate,
                c.evidence
            )?;
        }
        self.found(f)?;
        self.remembered(f)?;
        self.heard(f)?;
        self.limits(f)
    }
}

impl Explanation {
    fn found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.found.is_empty() {
            writeln!(f, "found (signal, what it says, source, age)")?;
        }
        for Note { signal, value, source, age } in &self.found {
            let age = age.map_or_else(String::new, |age| format!(", {} ago", in_words(age)));
            writeln!(f, "  {signal:<8} {value} ({source}{age})")?;
        }
        Ok(())
    }

    fn remembered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "remembered (weights of the last weeks, good and bad; messages today, and on the busiest day)"
        )?;
        for key in &self.identities {
            let slow = key.reading.slow;
            let (kind, name) = (key.kind.word(), &key.name);
            let (good, bad, today, busiest) = (slow.good, slow.bad, key.reading.today, key.reading.busiest);
            writeln!(f, "  {kind:<32} {name:<34} {good:>8.2} {bad:>8.2} {today:>8.0} {busiest:>8.0}")?;
        }
        Ok(())
    }

    fn heard(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.heard.is_empty() {
            writeln!(f, "heard of its messages (from, spam, ham, the latest)")?;
        }
        for Heard { source, spam, ham, last } in &self.heard {
            let ago = in_words(self.now.since(*last));
            writeln!(f, "  {:<32} {spam:>8} {ham:>8} {ago} ago", source.name())?;
        }
        Ok(())
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "limits of the address (at once, by the hour, left now)")?;
        let (used, sessions) = self.outstanding;
        for (i, dimension) in Dimension::HOURLY.into_iter().enumerate() {
            let (burst, rate) = (self.quota.burst.0[i], self.quota.rate.0[i]);
            let unit = dimension.unit();
            writeln!(f, "  {unit:<32} {burst:>12.0} {rate:>12.0} {:>12.0}", (burst - used.0[i]).max(0.0))?;
        }
        writeln!(
            f,
            "  {:<32} {:>12} {:>12} {:>12}",
            Dimension::Sessions.unit(),
            self.quota.sessions,
            "-",
            { self.quota.sessions.saturating_sub(sessions) }
        )?;
        for at in &self.pending {
            match at.since(self.now) {
                left if left.is_zero() => writeln!(f, "deferred   a retry passes now")?,
                left => writeln!(f, "deferred   a retry passes in {}", in_words(left))?,
            }
        }
        Ok(())
    }
}
