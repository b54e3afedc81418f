//! Section 4.6.4: limits.

use super::zones::{Data, Zones, name};
use super::{SENDER, ask, outcome, zones};
use SpfResult::{Fail, Neutral, Pass, PermError};
use policy_core::name::Sender;
use signals::spf::{SpfCause, SpfResult, check, check_helo};

#[tokio::test]
async fn section_4_6_4_limits() {
    let cause = async |record: &str| outcome(record, "198.51.100.7").await.cause;
    let terms = |count, term: &str| format!("v=spf1 {} ?all", vec![term; count].join(" "));
    assert_eq!(cause(&terms(10, "a:a1.test")).await, None);
    assert_eq!(cause(&terms(11, "a:a1.test")).await, Some(SpfCause::LookupLimit));
    assert_eq!(cause(&terms(11, "mx:mail.test")).await, Some(SpfCause::LookupLimit));
    assert_eq!(cause(&terms(11, "include:soft.test")).await, Some(SpfCause::LookupLimit));
    assert_eq!(
        cause(&format!("v=spf1 {} redirect=soft.test", "a:a1.test ".repeat(10))).await,
        Some(SpfCause::LookupLimit)
    );
    assert_eq!(cause(&terms(2, "a:gone.test")).await, None);
    assert_eq!(cause(&terms(3, "a:gone.test")).await, Some(SpfCause::VoidLookupLimit));
    assert_eq!(cause(&terms(3, "ptr:gone.test")).await, Some(SpfCause::VoidLookupLimit));
    assert_eq!(
        cause("v=spf1 exists:gone.test mx:gone.test a:six.test ?all").await,
        Some(SpfCause::VoidLookupLimit)
    );
    assert_eq!(cause("v=spf1 mx:deaf.test mx:pair.test mx:pair.test mx:pair.test ?all").await, None);
    assert_eq!(cause(&terms(330, "ip4:1.1.1.1")).await, None, "networks need no DNS");
    assert_eq!(cause(&terms(400, "ip4:1.1.1.1")).await, Some(SpfCause::RecordTooLong));
    assert_eq!(cause(&terms(400, "all")).await, Some(SpfCause::TooManyTerms));
}

#[tokio::test]
async fn section_4_6_4_names_of_one_answer() {
    let owners: Vec<String> = (0..12).map(|n| format!("m{n}.many.test")).collect();
    let exchangers: Vec<String> = owners.iter().map(|owner| format!("10 {owner}")).collect();
    let addresses: Vec<String> = (0..12).map(|n| format!("198.51.100.{n}")).collect();
    let mut records =
        vec![("many.test", "TXT", "v=spf1 mx -all"), ("named.test", "TXT", "v=spf1 ptr:many.test -all")];
    for ((owner, exchanger), address) in owners.iter().zip(&exchangers).zip(&addresses) {
        records.extend([(owner.as_str(), "A", address.as_str()), ("many.test", "MX", exchanger)]);
        records.push(("11.100.51.198.in-addr.arpa", "PTR", owner));
        records.push(("3.100.51.198.in-addr.arpa", "PTR", owner));
    }
    for (client, by_mx, by_ptr) in [("198.51.100.3", Pass, Pass), ("198.51.100.11", PermError, Fail)] {
        let zones = zones(&records);
        assert_eq!(ask(&zones, client, "a@many.test").await.result, by_mx, "{client}");
        assert_eq!(ask(&zones, client, "a@named.test").await.result, by_ptr, "{client}");
    }
}

/// The macro `p` asks once a check, and that counts as a lookup.
#[tokio::test]
async fn the_reverse_name_is_looked_up_once() {
    let record = "v=spf1 exists:%{p}.a1.test exists:%{p}.a2.test ptr:nobody.test ?all";
    let zones = zones(&[("email.sender.test", "TXT", record)]);
    let outcome = ask(&zones, "192.0.2.1", SENDER).await;
    assert_eq!((outcome.result, outcome.lookups, outcome.void_lookups), (Neutral, 4, 2));
    // The record, the reverse name, the addresses of its two names, and the names made of it.
    assert_eq!(zones.asked(), 1 + 1 + 2 + 2);
    let at_limit = format!("v=spf1 {} exists:%{{p}}.a1.test ?all", "a:a1.test ".repeat(9));
    assert_eq!(super::outcome(&at_limit, "192.0.2.1").await.cause, Some(SpfCause::LookupLimit));
}

/// What cannot be a name is not asked for, and is no fault of the DNS: a broken HELO or record must not defer
/// mail for ever.
#[tokio::test]
async fn names_that_cannot_be_are_not_asked_for() {
    let label = "a".repeat(64);
    for spec in ["%{l}", &format!("{label}.test"), "a..test", ".test", "%{h}..test", "%_"] {
        for mechanism in ["a", "mx", "exists", "ptr"] {
            let zones = zones(&[("email.sender.test", "TXT", &format!("v=spf1 {mechanism}:{spec} -all"))]);
            let outcome = ask(&zones, "192.0.2.1", SENDER).await;
            assert_eq!((outcome.result, outcome.void_lookups), (Fail, 0), "{mechanism}:{spec}");
            assert_eq!(zones.asked(), 1, "{mechanism}:{spec}");
        }
    }
}

/// A front end runs checks on any thread of its runtime.
#[tokio::test]
async fn a_check_may_move_between_threads() {
    fn sendable<T: Send>(check: T) -> T {
        check
    }
    let zones = zones(&[]);
    let client = "192.0.2.1".parse().unwrap();
    let outcome = sendable(check_helo(&zones, client, "own.test")).await;
    assert_eq!(outcome.result, Fail);
}

/// HELO is as long as a client likes, and a record may name it hundreds of times: macros see its first 255
/// octets.
#[tokio::test]
async fn a_long_helo_is_cut() {
    let helo = "a.".repeat(400);
    let asked = format!("{}a.test", "a.".repeat(123));
    let records = [("own.test", "TXT", "v=spf1 exists:%{h}.test"), (asked.as_str(), "A", "127.0.0.2")];
    let sender = Sender::new("a@own.test");
    let zones =
        Zones::new(records.map(|(owner, kind, data)| (name(owner), Data::parse(kind, data).unwrap())), []);
    let outcome = check(&zones, "192.0.2.1".parse().unwrap(), &helo, sender.as_ref()).await;
    assert_eq!(outcome.result, Pass, "{outcome:?}");
}
