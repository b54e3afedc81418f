//! Section 7: macros.

use super::{SENDER, ask, outcome, zones};
use SpfResult::{Pass, PermError};
use signals::spf::SpfResult;

/// Each macro in the name that `exists` asks for; only that very name exists.
#[tokio::test]
async fn section_7_macros() {
    let cases = [
        ("%{s}", "strong-bad@email.sender.test"),
        ("%{l}.%{o}", "strong-bad.email.sender.test"),
        ("%{d4}.t", "email.sender.test.t"),
        ("%{d2}", "sender.test"),
        ("%{d1}.test", "test.test"),
        ("%{dr}.t", "test.sender.email.t"),
        ("%{d2r}.t", "sender.email.t"),
        ("%{D99999999999999999999R}.t", "test.sender.email.t"),
        ("%{l-}.test", "strong.bad.test"),
        ("%{lr-}.test", "bad.strong.test"),
        ("%{l1r-}.test", "strong.test"),
        ("%{l1-}.test", "bad.test"),
        ("%{l/+,_=}.test", "strong-bad.test"),
        ("%{i}.test", "192.0.2.1.test"),
        ("%{ir}.%{v}.arpa.test", "1.2.0.192.in-addr.arpa.test"),
        ("%{p}", "mx1.host-names.test"),
        ("%{p2}.test", "host-names.test.test"),
        ("%{h}", "mx.helo.test"),
        ("%{S}.test", "strong-bad%40email.sender.test.test"),
        ("a%%b%_c%-d.test", "a%b c%20d.test"),
        ("%{i}%{i}.test.", "192.0.2.1192.0.2.1.test"),
    ];
    for (spec, asked) in cases {
        expect_asked(spec, asked, "192.0.2.1").await;
    }
    let nibbles = "2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6";
    expect_asked("%{i}.%{v}.test", &format!("{nibbles}.ip6.test"), "2001:db8::6").await;
    expect_asked("%{p}.test", "six.test.test", "2001:db8::6").await;
    expect_asked("%{p}.test", "unknown.test", "203.0.113.1").await;
    expect_asked("%{p}.test", "unknown.test", "192.0.2.8").await;
    expect_asked("%{p}", "good.host-names.test", "192.0.2.7").await;
    // Section 7.3: too long a name loses labels on the left.
    let longest = format!("{}x.test", "label678.".repeat(27));
    expect_asked(&format!("%{{d}}.{longest}"), &longest, "192.0.2.1").await;
}

/// Section 7.3: the domain itself is preferred, then a name below it, then any.
#[tokio::test]
async fn the_validated_name_nearest_to_the_domain_is_taken() {
    let names = ["far.test", "below.email.sender.test", "email.sender.test"];
    for (count, expected) in (1..).zip(names) {
        let asked = format!("{expected}.p.test");
        let mut records =
            vec![("email.sender.test", "TXT", "v=spf1 exists:%{p}.p.test -all"), (&asked, "A", "127.0.0.2")];
        for owner in &names[..count] {
            records.extend([("99.2.0.192.in-addr.arpa", "PTR", *owner), (owner, "A", "192.0.2.99")]);
        }
        assert_eq!(ask(&zones(&records), "192.0.2.99", SENDER).await.result, Pass, "{expected}");
    }
}

async fn expect_asked(spec: &str, asked: &str, client: &str) {
    let record = format!("v=spf1 exists:{spec} -all");
    let zones = zones(&[("email.sender.test", "TXT", &record), (asked, "A", "127.0.0.2")]);
    let outcome = ask(&zones, client, SENDER).await;
    assert_eq!(outcome.result, Pass, "{spec} should ask for {asked}: {outcome:?}");
}

#[tokio::test]
async fn section_7_syntax() {
    let bad = [
        "%",
        "%{",
        "%{}",
        "%{d",
        "%{d0}",
        "%{d00r}",
        "%{x}",
        "%{c}",
        "%{r}.test",
        "%{t}.test",
        "%(d)",
        "%{dd}.test",
        "%{d-r}.test",
        "%{d2rr}.test",
        "%{d:}.test",
        "%d.test",
        "a.test%",
        "%{d}test",
        "%{d}.",
        "%{d}.-test",
        "%{é}",
    ];
    for spec in bad {
        assert_eq!(
            outcome(&format!("v=spf1 exists:{spec} -all"), "192.0.2.1").await.result,
            PermError,
            "{spec}"
        );
    }
}
