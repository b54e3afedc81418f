//! What a replay of a mail log found, as one JSON object for programs; [`super::table`] tells it to people.

use super::assemble::{Letter, Seen};
use super::observe::Deferral;
use policy_core::identity::networks_of;
use policy_core::name::Sender;
use policy_core::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long after a deferral more mail of the sender counts as its coming back, which is how long a deferral
/// is remembered.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Hosts and domains that are named.
const NAMED: usize = 20;

/// Messages that would have been deferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deferrals {
    /// Messages.
    pub messages: u64,
    /// Those that would have been deferred.
    pub deferred: u64,
    /// Those of them after which more came from the same sender and network in time.
    pub came_back: u64,
}

impl Deferrals {
    fn add(&mut self, judged: &Judged<'_>) {
        self.messages += 1;
        self.deferred += u64::from(judged.deferral.is_some());
        self.came_back += u64::from(judged.came_back);
    }
}

/// A host, or a domain of senders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The address, or the domain.
    pub who: String,
    /// A host's name: its reverse name, or else its HELO name.
    pub name: Option<String>,
    /// How much.
    #[serde(flatten)]
    pub deferrals: Deferrals,
    /// Why, by messages.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The standing at the last of them, in a word.
    pub standing: Option<&'static str>,
}

/// What a replay of a mail log found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogReport {
    /// Messages that were accepted from outside.
    pub messages: u64,
    /// Not known: a log has no labels.
    pub ham: Option<u64>,
    /// Not known.
    pub spam: Option<u64>,
    /// The first message, in seconds since 1970.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// What else was in the log.
    pub log: Seen,
    /// All that would have been deferred.
    pub would_defer: Deferrals,
    /// The same by reason.
    pub reasons: BTreeMap<&'static str, Deferrals>,
    /// The hosts with the most, most first.
    pub hosts: Vec<Who>,
    /// The senders' domains with the most, most first.
    pub domains: Vec<Who>,
    /// What the decisions took.
    pub seconds: f64,
    /// Messages judged in a second.
    pub decisions_per_second: f64,
}

/// A message with what was thought of it.
struct Judged<'a> {
    letter: &'a Letter,
    deferral: Option<Deferral>,
    came_back: bool,
}

impl LogReport {
    /// The report on letters and what was thought of each.
    pub(super) fn of(letters: &[Letter], deferrals: &[Option<Deferral>], log: Seen, seconds: f64) -> Self {
        let judged = judged(letters, deferrals);
        let mut would_defer = Deferrals::default();
        let mut reasons: BTreeMap<&'static str, Deferrals> = BTreeMap::new();
        for one in &judged {
            would_defer.add(one);
            if let Some(deferral) = one.deferral {
                reasons.entry(deferral.reason).or_default().add(one);
            }
        }
        let second = |letter: Option<&Letter>| letter.map_or(0, |letter| letter.time.as_millis() / 1000);
        Self {
            messages: would_defer.messages,
            ham: None,
            spam: None,
            from: second(letters.first()),
            to: second(letters.last()),
            log,
            would_defer,
            reasons,
            hosts: most(&judged, |letter| Some((letter.client.address.to_string(), host_name(letter)))),
            domains: most(&judged, |letter| sender_domain(letter).map(|domain| (domain, None))),
            seconds,
            decisions_per_second: letters.len() as f64 / seconds.max(f64::MIN_POSITIVE),
        }
    }
}

/// The messages, without recipients that were refused.
fn judged<'a>(letters: &'a [Letter], deferrals: &[Option<Deferral>]) -> Vec<Judged<'a>> {
    let returns = Returns::of(letters);
    let accepted = letters.iter().zip(deferrals).filter(|(letter, _)| letter.accepted > 0);
    let judge = |(letter, deferral): (&'a Letter, &Option<Deferral>)| {
        let came_back = deferral.is_some_and(|deferral| returns.came_back(letter, deferral.retry_after));
        Judged { letter, deferral: *deferral, came_back }
    };
    accepted.map(judge).collect()
}

/// When each sender sent from each network.
struct Returns(HashMap<(String, Option<String>), Vec<Timestamp>>);

impl Returns {
    fn of(letters: &[Letter]) -> Self {
        let mut returns: HashMap<_, Vec<Timestamp>> = HashMap::new();
        for letter in letters {
            returns.entry(source(letter)).or_default().push(letter.time);
        }
        Self(returns)
    }

    /// Whether something came between the end of the wait and the end of the window.
    fn came_back(&self, letter: &Letter, wait: Duration) -> bool {
        let Some(times) = self.0.get(&source(letter)) else { return false };
        let later = times.partition_point(|at| *at < letter.time.after(wait.max(Duration::from_secs(1))));
        times.get(later).is_some_and(|at| *at <= letter.time.after(WINDOW))
    }
}

/// The network, and the sender: without what many mailers write anew into each message, a number or the recipient.
fn source(letter: &Letter) -> (String, Option<String>) {
    let [_, prefix] = networks_of(letter.client.address);
    let lasting = |sender: &Sender| match sender {
        Sender::Null => String::new(),
        Sender::Mailbox(mailbox) => {
            let local_part = mailbox.local_part.as_str();
            let end = local_part.find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '='));
            let domain = mailbox.domain.as_ref().map_or("", |domain| domain.as_str());
            format!("{}@{domain}", &local_part[..end.unwrap_or(local_part.len())])
        }
    };
    (prefix.to_string(), letter.sender.as_ref().map(lasting))
}

fn host_name(letter: &Letter) -> Option<String> {
    let client = &letter.client;
    let reverse_name = client.reverse_name.as_ref().map(ToString::to_string);
    reverse_name.or_else(|| client.helo.as_ref().map(ToString::to_string))
}

fn sender_domain(letter: &Letter) -> Option<String> {
    letter.sender.as_ref().and_then(Sender::domain).map(ToString::to_string)
}

/// Who would have been deferred most, by what `by` calls a message's source.
fn most(judged: &[Judged<'_>], by: impl Fn(&Letter) -> Option<(String, Option<String>)>) -> Vec<Who> {
    let mut all: BTreeMap<String, Who> = BTreeMap::new();
    for one in judged {
        let Some((who, name)) = by(one.letter) else { continue };
        let entry = all.entry(who.clone()).or_insert_with(|| Who {
            who,
            name: None,
            deferrals: Deferrals::default(),
            reasons: BTreeMap::new(),
            standing: None,
        });
        entry.name = entry.name.take().or(name);
        entry.deferrals.add(one);
        if let Some(deferral) = one.deferral {
            *entry.reasons.entry(deferral.reason).or_default() += 1;
            entry.standing = deferral.word.map(|word| word.as_str());
        }
    }
    let mut most: Vec<Who> = all.into_values().filter(|who| who.deferrals.deferred > 0).collect();
    most.sort_by_key(|who| std::cmp::Reverse(who.deferrals.deferred));
    most.truncate(NAMED);
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::facts::Client;

    fn letter(second: u64, address: &str, sender: &str) -> Letter {
        Letter {
            time: Timestamp::from_secs(1_700_000_000 + second),
            client: Client::new(address.parse().unwrap()),
            sender: Sender::new(sender),
            recipients: Vec::new(),
            accepted: 1,
            size: None,
        }
    }

    #[test]
    fn coming_back_is_the_same_sender_from_the_same_network_in_time() {
        let deferral =
            Deferral { reason: "first-contact", word: None, retry_after: Duration::from_secs(290) };
        let came_back = |second, address, sender| {
            let letters = [letter(0, "192.0.2.1", "a@src.example"), letter(second, address, sender)];
            LogReport::of(&letters, &[Some(deferral), None], Seen::default(), 1.0).would_defer.came_back
        };
        assert_eq!(came_back(600, "192.0.2.77", "a@src.example"), 1);
        assert_eq!(came_back(60, "192.0.2.77", "a@src.example"), 0, "it would have been deferred again");
        assert_eq!(came_back(90_000, "192.0.2.77", "a@src.example"), 0, "forgotten by then");
        assert_eq!(came_back(600, "198.51.100.77", "a@src.example"), 0);
        assert_eq!(came_back(600, "192.0.2.77", "b@src.example"), 0);
        assert_eq!(came_back(600, "192.0.2.77", "a+7@src.example"), 1, "a number for each message");
        assert_eq!(came_back(600, "192.0.2.77", "a20261130@src.example"), 1);
    }

    #[test]
    fn hosts_and_domains_are_told_by_what_they_lose() {
        let deferral = Deferral { reason: "reputation", word: None, retry_after: Duration::from_secs(290) };
        let letters = [
            letter(0, "192.0.2.1", "a@src.example"),
            letter(1, "192.0.2.2", "b@src.example"),
            letter(2, "192.0.2.2", "c@other.example"),
        ];
        let report = LogReport::of(&letters, &[None, Some(deferral), Some(deferral)], Seen::default(), 1.0);
        assert_eq!((report.messages, report.would_defer.deferred, report.ham), (3, 2, None));
        assert_eq!(report.hosts.len(), 1);
        assert_eq!((report.hosts[0].who.as_str(), report.hosts[0].deferrals.deferred), ("192.0.2.2", 2));
        assert_eq!(report.domains.len(), 2);
        assert_eq!(report.reasons["reputation"].deferred, 2);
    }
}
