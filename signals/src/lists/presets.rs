//! Lists whose codes are published, ready to be named in a configuration. None is asked unless it is named:
//! most want to be registered with, or paid, from some number of questions on.

use super::options::{Code, Kind, ListOptions, Meaning};
use Meaning::{Allowed, Error, Listed, Policy};

/// Spamhaus ZEN, under a name of its own for those who have a key: SBL, CSS, XBL, DROP and PBL in one.
pub fn spamhaus_zen(zone: &str) -> ListOptions {
    let code = |last, meaning, label| Code::new([127, 0, 0, last], 32, meaning, label);
    let list = ListOptions { ipv6: true, ..ListOptions::new(zone, Kind::Address) };
    list.with_codes([
        code(2, Listed(1.0), "SBL"),
        code(3, Listed(0.8), "CSS"),
        Code::new([127, 0, 0, 4], 30, Listed(1.0), "XBL"),
        code(9, Listed(1.0), "DROP"),
        code(10, Policy, "PBL"),
        code(11, Policy, "PBL"),
    ])
}

/// Spamhaus DBL. Domains of honest owners that others abuse weigh less.
pub fn spamhaus_dbl(zone: &str) -> ListOptions {
    let code = |last, meaning, label| Code::new([127, 0, 1, last], 32, meaning, label);
    let list = ListOptions::new(zone, Kind::Domain).with_codes([
        code(2, Listed(1.0), "spam"),
        code(4, Listed(1.0), "phishing"),
        code(5, Listed(1.0), "malware"),
        code(6, Listed(1.0), "botnet"),
        code(102, Listed(0.4), "abused, spam"),
        code(103, Listed(0.4), "abused redirector"),
        code(104, Listed(0.5), "abused, phishing"),
        code(105, Listed(0.5), "abused, malware"),
        code(106, Listed(0.5), "abused, botnet"),
        code(255, Error, "an address was asked for"),
    ]);
    ListOptions { test_domains: ("dbltest.com".into(), "invalid".into()), ..list }
}

/// An allow list in the manner of dnswl.org: 127.0.category.trust, from 0 (none) to 3 (high).
pub fn dnswl(zone: &str) -> ListOptions {
    // Whatever the category, which is the third octet: nets cannot say that.
    let trust = |category: u8| {
        [(0, 0.1, "none"), (1, 0.4, "low"), (2, 0.7, "medium"), (3, 1.0, "high")]
            .map(|(trust, weight, label)| Code::new([127, 0, category, trust], 32, Allowed(weight), label))
    };
    let blocked = Code::new([127, 0, 0, 255], 32, Error, "asked too often");
    let list = ListOptions { ipv6: true, ..ListOptions::new(zone, Kind::Allow) };
    list.with_codes((2..=30).flat_map(trust).chain([blocked]))
}

/// A list of addresses that says no more than that one is listed. 127.0.0.1 is what some answer to those whom
/// they do not serve.
pub fn generic(zone: &str) -> ListOptions {
    ListOptions::new(zone, Kind::Address).with_codes(plain())
}

/// The same of domains.
pub fn generic_domains(zone: &str) -> ListOptions {
    ListOptions::new(zone, Kind::Domain).with_codes(plain())
}

fn plain() -> [Code; 2] {
    [Code::new([127, 0, 0, 0], 24, Listed(1.0), ""), Code::new([127, 0, 0, 0], 31, Error, "not served")]
}
