//! Our own cases for RFC 7208, section by section: most are a record of the sender's domain, a client, and the
//! result. The names that records refer to are those of [`HOSTS`].
#![allow(clippy::unwrap_used)] // assertions, in helpers too

mod hostile;
mod identities;
mod limits;
mod macros;
mod mechanisms;
mod zones;

use SpfResult::{PermError, TempError};
use policy_core::name::Sender;
use signals::dns::Failure;
use signals::spf::{SpfOutcome, SpfResult, check};
use zones::{Data, MAX_QUESTIONS, Zones, name};

/// What the DNS has besides the record under test: owner, type, data. The types SERVFAIL, TIMEOUT and SUSPENDED
/// are failures.
const HOSTS: &str = "
host.test A 192.0.2.1
host.test A 192.0.2.2
dual.test A 192.0.2.9
dual.test AAAA 2001:db8::9
six.test AAAA 2001:db8::6
alias.test CNAME host.test
mail.test MX 10 host.test
mail.test MX 20 six.test
nullmx.test MX 0 .
deaf.test MX 10 gone.test
pair.test MX 10 gone.test
pair.test MX 20 host.test
failing.test SERVFAIL
slow.test TIMEOUT
waiting.test SUSPENDED
passes.test TXT v=spf1 ip4:192.0.2.1 -all
soft.test TXT v=spf1 ~all
neutral.test TXT v=spf1 ?all
silent.test TXT v=spf1
broken.test TXT v=spf1 mx:
plain.test TXT not about SPF
twice.test TXT v=spf1 -all
twice.test TXT v=spf1 -all
elsewhere.test TXT v=spf1 redirect=passes.test
own.test TXT v=spf1 a -all
own.test A 192.0.2.77
loop.test TXT v=spf1 include:loop.test -all
circle.test TXT v=spf1 redirect=circle.test
slash/24.test A 192.0.2.1
1.2.0.192.in-addr.arpa PTR liar.other.test
1.2.0.192.in-addr.arpa PTR MX1.Host-Names.test
liar.other.test A 203.0.113.99
mx1.host-names.test A 192.0.2.1
7.2.0.192.in-addr.arpa PTR failing.test
7.2.0.192.in-addr.arpa PTR good.host-names.test
good.host-names.test A 192.0.2.7
8.2.0.192.in-addr.arpa SERVFAIL
6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR six.test
a1.test A 198.51.100.1
";

/// The sender of cases that do not say otherwise, and the HELO name.
const SENDER: &str = "strong-bad@email.sender.test";
const HELO: &str = "mx.helo.test";

/// The table with more records in it.
fn zones(more: &[(&str, &str, &str)]) -> Zones {
    let mut failing = Vec::new();
    let mut found: Vec<_> =
        more.iter().map(|(o, kind, data)| (name(o), Data::parse(kind, data).unwrap())).collect();
    for line in HOSTS.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.splitn(3, ' ');
        let owner = name(fields.next().unwrap());
        match (fields.next().unwrap(), fields.next()) {
            ("SERVFAIL", None) => failing.push((owner, Failure::ServerFailed)),
            ("TIMEOUT", None) => failing.push((owner, Failure::TimedOut)),
            ("SUSPENDED", None) => failing.push((owner, Failure::Suspended)),
            (kind, data) => found.push((owner, Data::parse(kind, data.unwrap()).unwrap())),
        }
    }
    Zones::new(found, failing)
}

async fn ask(zones: &Zones, client: &str, sender: &str) -> SpfOutcome {
    let outcome = check(zones, client.parse().unwrap(), HELO, Sender::new(sender).as_ref()).await;
    assert!(zones.asked() <= MAX_QUESTIONS, "{outcome:?}");
    outcome
}

/// What a record of the sender's domain comes to.
async fn outcome(record: &str, client: &str) -> SpfOutcome {
    ask(&zones(&[("email.sender.test", "TXT", record)]), client, SENDER).await
}

async fn expect(cases: &[(&str, &str, SpfResult)]) {
    for (record, client, result) in cases {
        let outcome = outcome(record, client).await;
        assert_eq!(outcome.result, *result, "{record} for {client}: {outcome:?}");
        assert_eq!(outcome.cause.is_some(), matches!(result, TempError | PermError), "{record}");
    }
}
