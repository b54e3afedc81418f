//! Lists served by a real rbldnsd on loopback.
#![allow(clippy::unwrap_used)] // assertions, in helpers too

use policy_core::name::DomainName;
use signals::dns::{Dns, Failure, Name};
use signals::lists::{
    Fault, Findings, ListOptions, Lists, Meaning, Standing, Target, WatchOptions, Why, presets,
};
use signals::resolver::{Resolver, ResolverOptions};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;
use test_support::{Need, Rbldnsd, Suite, TestResult, server_tests};

const PATIENCE: Duration = Duration::from_secs(10);

const ADDRESSES: &str = "
$TTL 600
:127.0.0.2:listed, see http://list.example/?$
127.0.0.2
192.0.2.1
192.0.2.4 :127.0.0.4:
203.0.113.0/24 :127.0.0.10:
198.51.100.7 :127.0.0.77:
198.51.100.8 :127.255.255.254:
!203.0.113.25
";
const ADDRESSES_V6: &str = "
:127.0.0.3:listed
::ffff:7f00:2
2001:db8:bad::/48
";
const DOMAINS: &str = "
:127.0.1.2:spam
dbltest.com
.bad.example
abused.example :127.0.1.102:
";
const ALLOWED: &str = "
127.0.0.2 :127.0.10.0:
192.0.2.200 :127.0.5.3:
";
const EVERYTHING: &str = ":127.0.0.2:\n127.0.0.0/8\n192.0.0.0/8\n";
const NOTHING: &str = ":127.0.0.2:\n192.0.2.1\n";

fn main() -> ExitCode {
    server_tests!(
        Suite::new(),
        [Need::Rbldnsd],
        addresses_domains_and_allowances_are_found,
        what_is_no_listing_is_unknown,
        lists_that_are_broken_are_told_from_those_that_work,
        a_zone_that_is_not_served_is_a_failure,
    )
    .run()
}

async fn server() -> Result<Rbldnsd, test_support::Error> {
    Rbldnsd::start(&[
        ("zen.example", "ip4set", ADDRESSES),
        ("zen.example", "ip6trie", ADDRESSES_V6),
        ("dbl.example", "dnset", DOMAINS),
        ("allow.example", "ip4set", ALLOWED),
        ("everything.example", "ip4set", EVERYTHING),
        ("nothing.example", "ip4set", NOTHING),
    ])
    .await
}

fn resolver(server: &Rbldnsd) -> Resolver {
    let options = ResolverOptions { timeout: PATIENCE / 4, ..ResolverOptions::named([server.address()]) };
    Resolver::new(options).unwrap()
}

async fn lists(server: &Rbldnsd, lists: Vec<ListOptions>) -> Lists<Resolver> {
    let lists = Lists::start(resolver(server), lists, WatchOptions::default()).unwrap();
    lists.tested().await;
    lists
}

fn client(text: &str) -> Target {
    Target::Client(text.parse().unwrap())
}

fn helo(text: &str) -> Target {
    Target::Helo(DomainName::new(text).unwrap())
}

fn said(found: &Findings) -> Vec<(&str, Meaning, Vec<&str>)> {
    let said = |listing: &signals::lists::Listing| listing.labels.clone();
    assert!(found.listings.iter().all(|listing| said(listing).len() <= 1));
    found
        .listings
        .iter()
        .map(|listing| {
            let labels = listing.labels.iter().map(|label| label.as_str()).collect();
            (listing.list.as_str(), listing.meaning, labels)
        })
        .collect()
}

async fn addresses_domains_and_allowances_are_found() -> TestResult {
    let server = server().await?;
    let lists = lists(
        &server,
        vec![
            presets::spamhaus_zen("zen.example"),
            presets::spamhaus_dbl("dbl.example"),
            ListOptions { ipv6: false, ..presets::dnswl("allow.example") },
        ],
    )
    .await;
    assert!(lists.health().iter().all(|list| list.standing == Standing::InOrder), "{:?}", lists.health());
    let sbl = ("zen.example", Meaning::Listed(1.0), vec!["SBL"]);
    let xbl = ("zen.example", Meaning::Listed(1.0), vec!["XBL"]);
    let css = ("zen.example", Meaning::Listed(0.8), vec!["CSS"]);
    let pbl = ("zen.example", Meaning::Policy, vec!["PBL"]);
    let spam = ("dbl.example", Meaning::Listed(1.0), vec!["spam"]);
    let abused = ("dbl.example", Meaning::Listed(0.4), vec!["abused, spam"]);
    let allowed = ("allow.example", Meaning::Allowed(1.0), vec!["high"]);
    for (target, expected) in [
        (client("192.0.2.1"), vec![sbl]),
        (client("192.0.2.4"), vec![xbl]),
        (client("203.0.113.200"), vec![pbl]),
        (client("203.0.113.25"), vec![]),
        (client("192.0.2.200"), vec![allowed]),
        (client("2001:db8:bad::25"), vec![css]),
        (client("2001:db8:900d::25"), vec![]),
        (helo("mail.bad.example"), vec![spam]),
        (helo("abused.example"), vec![abused]),
        (helo("good.example"), vec![]),
    ] {
        let found = lists.look_up(std::slice::from_ref(&target), PATIENCE).await;
        assert_eq!(said(&found), expected, "{target:?}");
        assert_eq!(found.unknown, [], "{target:?}");
    }
    Ok(())
}

async fn what_is_no_listing_is_unknown() -> TestResult {
    let server = server().await?;
    let zen = ListOptions { ipv6: false, ..presets::spamhaus_zen("zen.example") };
    let lists = lists(&server, vec![zen]).await;
    let why = async |address: &str| lists.look_up(&[client(address)], PATIENCE).await.unknown[0].why;
    assert_eq!(why("198.51.100.7").await, Why::Meaningless(Ipv4Addr::new(127, 0, 0, 77)));
    assert_eq!(lists.look_up(&[client("192.0.2.1")], PATIENCE).await.listings.len(), 1);
    let refusal = Ipv4Addr::new(127, 255, 255, 254);
    assert_eq!(why("198.51.100.8").await, Why::Meaningless(refusal));
    let off = Why::NotAsked(Standing::Faulty(Fault::Refuses(refusal)));
    assert_eq!(why("192.0.2.1").await, off);
    Ok(())
}

async fn lists_that_are_broken_are_told_from_those_that_work() -> TestResult {
    let server = server().await?;
    let zones = ["everything.example", "nothing.example", "zen.example", "away.example"];
    let lists = lists(&server, zones.map(presets::generic).into()).await;
    let standings: Vec<Standing> = lists.health().into_iter().map(|list| list.standing).collect();
    assert_eq!(
        standings,
        [
            Standing::Faulty(Fault::ListsEverything),
            Standing::Faulty(Fault::ListsNothing),
            Standing::InOrder,
            Standing::Untested,
        ]
    );
    let found = lists.look_up(&[client("192.0.2.1")], PATIENCE).await;
    assert_eq!(said(&found), [("zen.example", Meaning::Listed(1.0), vec![])]);
    assert_eq!(found.unknown.len(), 3);
    Ok(())
}

async fn a_zone_that_is_not_served_is_a_failure() -> TestResult {
    let server = server().await?;
    let dns = resolver(&server);
    let ask = async |name: &str| dns.a(&Name::from_ascii(name).unwrap()).await.map(|found| found.records[0]);
    assert_eq!(ask("1.2.0.192.away.example").await, Err(Failure::ServerFailed));
    assert_eq!(ask("9.2.0.192.zen.example").await, Err(Failure::NoName));
    assert_eq!(ask("1.2.0.192.ZEN.example").await, Ok(Ipv4Addr::new(127, 0, 0, 2)));
    let text = dns.txt(&Name::from_ascii("1.2.0.192.zen.example").unwrap()).await.unwrap();
    assert_eq!(&*text.records[0], b"listed, see http://list.example/?192.0.2.1");
    Ok(())
}
