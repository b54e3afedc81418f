//! Sections 2, 4.3 and 4.4: what is checked, and what is told of it.

use super::{ask, outcome, zones};
use SpfResult::{Fail, None as NoResult, Pass, PermError, TempError};
use signals::spf::{SpfCause, SpfResult, check, check_helo};

#[tokio::test]
async fn sections_2_and_4_3_identities() {
    let record = |owner| zones(&[(owner, "TXT", "v=spf1 ip4:192.0.2.1 -all")]);
    let client = "192.0.2.1";
    assert_eq!(ask(&record("mx.helo.test"), client, "").await.result, Pass, "null sender");
    assert_eq!(ask(&record("mx.helo.test"), client, "a@b.test").await.result, NoResult);
    assert_eq!(ask(&record("b.test"), client, "@b.test").await.result, Pass, "no local part");
    let label = "a".repeat(64);
    let malformed = ["a@b..test", "a@test", "a@[192.0.2.1]", "a@192.0.2.1", "a", &format!("a@{label}.test")];
    for sender in malformed {
        let zones = zones(&[]);
        assert_eq!(ask(&zones, client, sender).await.result, NoResult, "{sender}");
        assert_eq!(zones.asked(), 0, "{sender}");
    }
    let client = client.parse().unwrap();
    let by_helo = record("mx.helo.test");
    assert_eq!(check_helo(&by_helo, client, "MX.Helo.Test.").await.result, Pass);
    assert_eq!(check_helo(&by_helo, client, "localhost").await.result, NoResult);
    assert_eq!(check_helo(&by_helo, client, "a b").await.domain, None);
    let nobody = check(&by_helo, client, "mx.helo.test", None).await;
    assert_eq!(nobody.domain.unwrap().as_str(), "mx.helo.test");
    let postmaster = zones(&[
        ("mx.helo.test", "TXT", "v=spf1 exists:%{l}.%{o}.test -all"),
        ("postmaster.mx.helo.test.test", "A", "127.0.0.2"),
    ]);
    assert_eq!(check_helo(&postmaster, client, "mx.helo.test").await.result, Pass);
    assert_eq!(ask(&postmaster, "192.0.2.1", "@mx.helo.test").await.result, Pass);
    assert_eq!(ask(&postmaster, "192.0.2.1", "boss@mx.helo.test").await.result, Fail);
}

#[tokio::test]
async fn section_4_4_lookup_of_the_record() {
    for (owner, result) in [
        ("gone.test", NoResult),
        ("host.test", NoResult),
        ("plain.test", NoResult),
        ("twice.test", PermError),
        ("failing.test", TempError),
        ("slow.test", TempError),
        ("waiting.test", TempError),
    ] {
        let outcome = ask(&zones(&[]), "192.0.2.1", &format!("a@{owner}")).await;
        assert_eq!((outcome.result, outcome.mechanism), (result, None), "{owner}");
    }
    // Either case makes two of them.
    let zones =
        zones(&[("b.test", "TXT", "v=spf1 -all"), ("b.test", "TXT", "V=SPF1"), ("b.test", "TXT", "\u{96}")]);
    assert_eq!(ask(&zones, "192.0.2.1", "a@b.test").await.cause, Some(SpfCause::SeveralRecords));
}

#[tokio::test]
async fn outcomes_tell_how_they_came_about() {
    let told = async |record: &str| {
        let outcome = outcome(record, "192.0.2.1").await;
        let mechanism = outcome.mechanism.map(|m| m.to_string()).unwrap_or_default();
        let cause = outcome.cause.map(|cause| cause.to_string()).unwrap_or_default();
        format!("{} [{mechanism}] {cause}", outcome.result)
    };
    assert_eq!(told("v=spf1 ~A:host.test -all").await, "softfail [~A:host.test] ");
    assert_eq!(told("v=spf1 a:a1.test").await, "neutral [] ");
    assert_eq!(told("v=spf1 redirect=passes.test").await, "pass [ip4:192.0.2.1] ");
    assert_eq!(told("v=spf1 include:passes.test").await, "pass [include:passes.test] ");
    assert_eq!(told("v=spf1 a:slow.test").await, "temperror [a:slow.test] DNS: no answer in time");
    assert_eq!(told("v=spf1 include:broken.test").await, "permerror [mx:] not a domain name or macro string");
    assert_eq!(
        told("v=spf1 redirect=gone.test").await,
        "permerror [redirect=gone.test] the domain referred to has no SPF record"
    );
    assert_eq!(told("v=spf1 b\u{7}: -all").await, "permerror [b?:] unknown mechanism");
}
