use super::*;
use crate::scripted::Scripted;
use proptest::prelude::*;
use std::future::Future;

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn client() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn domain(text: &str) -> DomainName {
    DomainName::new(text).unwrap()
}

#[test]
fn a_reverse_name_is_confirmed_by_its_addresses() {
    let dns = Scripted::default();
    dns.points("192.0.2.1", Ok(&["Mail.Example"])).has("mail.example", &["192.0.2.9", "192.0.2.1"]);
    assert_eq!(now(confirm(&dns, client())), Reverse::Confirmed(domain("mail.example")));
    dns.points("2001:db8::1", Ok(&["six.example"])).has("six.example", &["2001:db8::1"]);
    let six = "2001:db8::1".parse().unwrap();
    assert_eq!(now(confirm(&dns, six)), Reverse::Confirmed(domain("six.example")));
}

#[test]
fn a_name_that_leads_elsewhere_or_nowhere_is_not_confirmed() {
    let dns = Scripted::default();
    dns.points("192.0.2.1", Ok(&["mail.bank.example"]));
    assert_eq!(now(confirm(&dns, client())), Reverse::Unconfirmed(domain("mail.bank.example")));
    for addresses in [&["192.0.2.9"][..], &["2001:db8::1"]] {
        dns.has("mail.bank.example", addresses);
        assert_eq!(now(confirm(&dns, client())), Reverse::Unconfirmed(domain("mail.bank.example")));
    }
}

#[test]
fn any_of_the_first_five_names_may_confirm() {
    let dns = Scripted::default();
    let names = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];
    dns.points("192.0.2.1", Ok(&names)).has("e.example", &["192.0.2.1"]);
    dns.fails("a.example", Failure::TimedOut);
    assert_eq!(now(confirm(&dns, client())), Reverse::Confirmed(domain("e.example")));
    dns.has("e.example", &["192.0.2.9"]).has("f.example", &["192.0.2.1"]).has("a.example", &["192.0.2.9"]);
    assert_eq!(now(confirm(&dns, client())), Reverse::Unconfirmed(domain("a.example")));
}

#[test]
fn what_the_dns_does_not_say_is_unknown() {
    let dns = Scripted::default();
    assert_eq!(now(confirm(&dns, client())), Reverse::Absent);
    dns.points("192.0.2.1", Ok(&[]));
    assert_eq!(now(confirm(&dns, client())), Reverse::Absent);
    dns.points("192.0.2.1", Ok(&["."]));
    assert_eq!(now(confirm(&dns, client())), Reverse::Absent, "the root is no name of a host");
    for failure in [Failure::TimedOut, Failure::ServerFailed, Failure::Suspended] {
        dns.points("192.0.2.1", Err(failure));
        assert_eq!(now(confirm(&dns, client())), Reverse::Unknown(failure));
        dns.points("192.0.2.1", Ok(&["a.example", "b.example"])).fails("b.example", failure);
        assert_eq!(now(confirm(&dns, client())), Reverse::Unknown(failure));
    }
}

#[test]
fn a_greeting_resolves_or_not() {
    let dns = Scripted::default();
    dns.has("here.example", &["192.0.2.1"]).has("there.example", &["192.0.2.2"]);
    dns.has("six.example", &["2001:db8::1"]).has("mail_only.example", &[]);
    dns.fails("slow.example", Failure::TimedOut);
    let check = |helo: &str| now(helo_resolves(&dns, helo, client()));
    assert_eq!(check("Here.example."), HeloCheck::ResolvesToClient);
    assert_eq!(check("there.example"), HeloCheck::ResolvesElsewhere);
    assert_eq!(check("six.example"), HeloCheck::ResolvesElsewhere);
    assert_eq!(check("mail_only.example"), HeloCheck::DoesNotResolve);
    assert_eq!(check("nowhere.example"), HeloCheck::DoesNotResolve);
    assert_eq!(check("slow.example"), HeloCheck::Unknown(Failure::TimedOut));
}

#[test]
fn greetings_that_are_no_names_are_not_asked_for() {
    let dns = Scripted::default();
    let check = |helo: &str| now(helo_resolves(&dns, helo, client()));
    for literal in ["[192.0.2.1]", "[IPv6:::ffff:192.0.2.1]"] {
        assert_eq!(check(literal), HeloCheck::Literal { matches: true }, "{literal}");
    }
    for literal in ["[192.0.2.2]", "[ipv6:2001:db8::1]", "[2001:db8::1]"] {
        assert_eq!(check(literal), HeloCheck::Literal { matches: false }, "{literal}");
    }
    let long = format!("{}.example", "a".repeat(64));
    for other in
        ["", ".", "friend", "192.0.2.1", "[mail.example]", "[", "[]", "a..example", "a b.example", &long]
    {
        assert_eq!(check(other), HeloCheck::NotAName, "{other:?}");
    }
    assert_eq!(dns.asked(), [""; 0]);
}

proptest! {
    #[test]
    fn any_greeting_is_judged(helo in "\\PC{0,300}|[a-z0-9.\\[\\]:_-]{0,80}") {
        now(helo_resolves(&Scripted::default(), &helo, client()));
    }

    #[test]
    fn any_reverse_name_is_read(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..5)) {
        if let Ok(name) = Name::from_labels(labels.iter().map(Vec::as_slice)) {
            let dns = Scripted::default();
            dns.point("192.0.2.1", name);
            now(confirm(&dns, client()));
        }
    }
}
