//! The worked numbers of docs/model.md: a server with two weeks of mail, and four senders on it. Of an hour's
//! mail three are ham from well kept servers and one is from a bot, mostly; now and then a well kept server
//! sends spam, and a machine in an access network sends ham.

use policy_core::facts::{
    Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId, VerifiedBy, VerifiedDomain,
};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::outcome::Outcome;
use policy_core::policy::Policy;
use policy_core::time::Timestamp;
use policy_core::{State, learn};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const ACCEPTED: Outcome = Outcome::Accepted { recipients: 1, unknown: 0 };

/// A server for businesses, whose name leads to its address and back.
fn server(n: u8, sender: &str) -> Facts {
    let name = format!("mail.company{n}.example");
    let mut facts = client(Ipv4Addr::new(198, 51, n, 25), &name, sender);
    facts.client.name = DomainName::new(&name);
    facts.client.reverse_name = facts.client.name.clone();
    facts.client.tls = Some(true);
    let domain = DomainName::new(&format!("company{n}.example"));
    facts.message.verified =
        domain.map(|domain| VerifiedDomain { domain, by: VerifiedBy::Spf }).into_iter().collect();
    facts
}

/// A customer's machine in an access network, with a name made of its address.
fn bot(n: u8, sender: &str) -> Facts {
    let mut facts = client(Ipv4Addr::new(203, 0, n, 77), "localhost", sender);
    facts.client.name = DomainName::new(&format!("dsl-203-0-{n}-77.dyn.access.example"));
    facts.client.reverse_name = facts.client.name.clone();
    facts.client.tls = Some(false);
    facts
}

fn client(address: Ipv4Addr, helo: &str, sender: &str) -> Facts {
    let address = IpAddr::V4(address);
    Facts {
        session: SessionId::Connection(FrontEnd::Milter, 1),
        front_end: FrontEnd::Milter,
        stage: Stage::Rcpt,
        transaction: Some(TransactionId(1)),
        client: Client { helo: Some(helo.into()), ..Client::new(address) },
        envelope: Envelope {
            sender: Sender::new(sender),
            recipient: Mailbox::new("someone@here.example"),
            accepted_recipients: Some(0),
        },
        message: Message { size: Some(9000), ..Message::default() },
        findings: Findings::default(),
    }
}

/// The message comes in, and an hour later somebody says what it was.
fn receive(state: &State, facts: &Facts, spam: bool, at: Timestamp) {
    let appraisal = state.appraise(facts, at);
    learn(state, &appraisal, ACCEPTED, at);
    let outcome = if spam { Outcome::FilteredSpam } else { Outcome::FilteredHam };
    learn(state, &appraisal, outcome, at.after(Duration::from_secs(3600)));
}

fn two_weeks_of_mail(state: &State) {
    for hour in 0..14 * 24u64 {
        let at = Timestamp::from_secs(NOW.as_millis() / 1000 - (14 * 24 - hour) * 3600);
        let n = (hour % 90) as u8;
        (0..3).for_each(|_| receive(state, &server(n, &format!("office@company{n}.example")), false, at));
        let (home, shop) = (200 + (hour % 40) as u8, 100 + (hour / 8 % 12) as u8);
        match hour % 8 {
            0 => receive(state, &server(shop, &format!("news@company{shop}.example")), true, at),
            1 => receive(state, &bot(home, &format!("me@home{home}.example")), false, at),
            _ => receive(state, &bot((hour % 200) as u8, &format!("x{hour}@prize{hour}.example")), true, at),
        }
    }
}

fn told(state: &State, what: &str, facts: &Facts, at: Timestamp) -> String {
    let policy = Policy::default();
    let explained = state.explain(&policy, facts, at);
    let standing = &explained.standing;
    let waits = if policy.waits.is_suspicious(standing) { "waits" } else { "at once" };
    let quota = explained.allotments[0].quota;
    let ([_, messages, ..], [_, at_once, ..]) = (quota.rate.0, quota.burst.0);
    format!(
        "| {what} | {:.3} | {:.3} | {:.3} - {:.3} | {:.1} | {} | {waits} | {messages:.1} | {at_once:.0} |\n",
        standing.probability,
        standing.judged,
        standing.lower,
        standing.upper,
        standing.evidence,
        standing.word,
    )
}

fn main() -> std::io::Result<()> {
    let state = State::new(64 << 20, [1; 16], NOW);
    let mut rows = vec![
        "| sender | model | judged | range | evidence | word | | messages an hour | at once |\n".to_owned(),
        "| --- | ---: | ---: | --- | ---: | --- | --- | ---: | ---: |\n".to_owned(),
    ];
    let (stranger, unseen) = (server(250, "a@company250.example"), bot(250, "a@lottery.example"));
    rows.push(told(&state, "well kept stranger, empty server", &stranger, NOW));
    rows.push(told(&state, "bot never seen, empty server", &unseen, NOW));
    two_weeks_of_mail(&state);
    let now = NOW.after(Duration::from_secs(3600));
    rows.push(told(&state, "well kept stranger", &stranger, now));
    rows.push(told(&state, "known good server", &server(7, "office@company7.example"), now));
    rows.push(told(&state, "bot never seen", &unseen, now));
    rows.extend(labels(&state, "bot", &unseen, &[1, 3, 10], now));
    rows.extend(stolen_mailbox(&state, now));
    std::io::stdout().write_all(rows.concat().as_bytes())
}

fn stolen_mailbox(state: &State, now: Timestamp) -> Vec<String> {
    let (stolen, other) = (server(8, "stolen@company8.example"), server(8, "office@company8.example"));
    let mut rows = vec![told(state, "mailbox that is about to be stolen", &stolen, now)];
    rows.extend(labels(state, "stolen mailbox", &stolen, &[3, 10, 30], now));
    let then = now.after(Duration::from_secs(7200));
    rows.push(told(state, "another mailbox of its server", &other, then));
    let later = |days: u64| then.after(Duration::from_secs(days * 86_400));
    let days = [1, 3, 14];
    rows.extend(
        days.map(|days| told(state, &format!("stolen mailbox, {days} days later"), &stolen, later(days))),
    );
    rows
}

/// Standings after some messages that a filter called spam.
fn labels(state: &State, what: &str, facts: &Facts, after: &[usize], now: Timestamp) -> Vec<String> {
    let mut had = 0;
    let mut row = |number: usize| {
        (had..number).for_each(|_| receive(state, facts, true, now));
        had = number;
        told(state, &format!("{what}, labels: {number}"), facts, now.after(Duration::from_secs(3600)))
    };
    after.iter().map(|&number| row(number)).collect()
}
