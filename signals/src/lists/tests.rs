use super::*;
use crate::scripted::Scripted;

const PATIENCE: Duration = Duration::from_secs(2);

fn domain(text: &str) -> DomainName {
    DomainName::new(text).unwrap()
}

fn client(text: &str) -> Target {
    Target::Client(text.parse().unwrap())
}

/// A DNS with the test points of these zones in order.
fn dns(zones: &[&str]) -> Scripted {
    let dns = Scripted::default();
    for zone in zones {
        dns.has(&format!("2.0.0.127.{zone}"), &["127.0.0.2"]);
        dns.has(&format!("test.{zone}"), &["127.0.0.2"]);
        dns.has(&format!("2.0.0.0.0.0.f.7.f.f.f.f{}.{zone}", ".0".repeat(20)), &["127.0.0.2"]);
    }
    dns
}

async fn started(dns: &Scripted, lists: Vec<ListOptions>) -> Lists<Scripted> {
    let lists = Lists::start(dns.clone(), lists, WatchOptions::default()).unwrap();
    lists.tested().await;
    lists
}

fn questions(dns: &Scripted) -> Vec<String> {
    dns.asked().into_iter().filter(|name| !name.contains("127.") && !name.contains(".f.7.")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_looked_up_in_every_list() {
    let dns = dns(&["zen.example", "plain.example", "allow.example"]);
    dns.has("1.2.0.192.zen.example", &["127.0.0.10", "127.0.0.4"]);
    dns.has("1.2.0.192.allow.example", &["127.0.5.2"]);
    let lists = started(
        &dns,
        vec![
            ListOptions { weight: 2.0, ..presets::spamhaus_zen("zen.example") },
            presets::generic("plain.example"),
            presets::dnswl("allow.example"),
        ],
    )
    .await;
    let target = client("192.0.2.1");
    let found = lists.look_up(std::slice::from_ref(&target), PATIENCE).await;
    let listing = |list: &str, meaning, code: [u8; 4], label: &str| Listing {
        list: list.into(),
        target: target.clone(),
        meaning,
        codes: vec![code.into()],
        labels: vec![label.into()],
        age: Duration::ZERO,
    };
    assert_eq!(
        found.listings,
        [
            listing("zen.example", Meaning::Policy, [127, 0, 0, 10], "PBL"),
            listing("zen.example", Meaning::Listed(2.0), [127, 0, 0, 4], "XBL"),
            listing("allow.example", Meaning::Allowed(0.7), [127, 0, 5, 2], "medium"),
        ]
    );
    assert_eq!((found.unknown.len(), found.clear), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn ipv6_is_asked_where_it_is_listed() {
    let dns = dns(&["six.example", "four.example"]);
    let reversed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    dns.has(&format!("{reversed}.six.example"), &["127.0.0.2"]);
    let six = ListOptions { ipv6: true, ..presets::generic("six.example") };
    let lists = started(&dns, vec![six, presets::generic("four.example")]).await;
    let found = lists.look_up(&[client("2001:db8::1")], PATIENCE).await;
    assert_eq!(found.listings.len(), 1);
    assert_eq!(questions(&dns), [format!("{reversed}.six.example.")]);
    let health: Vec<_> =
        lists.health().into_iter().map(|list| (list.list, list.standing, list.asked)).collect();
    assert_eq!(
        health,
        [
            ("six.example".into(), Standing::InOrder, 0),
            ("six.example, IPv6".into(), Standing::InOrder, 1),
            ("four.example".into(), Standing::InOrder, 0),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_stands_for_a_zone_with_a_key_wherever_it_is_shown() {
    let dns = dns(&["key.list.example", "key.dead.example"]);
    dns.has("1.2.0.192.key.list.example", &["127.0.0.2"]);
    dns.has("2.0.0.127.key.dead.example", &["127.0.0.3", "127.255.255.254"]);
    let named =
        |zone: &str, name: &str| ListOptions { name: name.into(), ipv6: true, ..presets::generic(zone) };
    let lists =
        started(&dns, vec![named("key.list.example", "live"), named("key.dead.example", "dead")]).await;
    let found = lists.look_up(&[client("192.0.2.1")], PATIENCE).await;
    let health = lists.health();
    let shown = format!("{:?} {health:?}", (&found.listings, &found.unknown));
    assert!(!shown.contains("key.") && shown.contains("live, IPv6"), "{shown}");
    assert_eq!((found.listings[0].list.as_str(), found.unknown[0].list.as_str()), ("live", "dead"));
    let twice = validate(&[named("a.example", "one"), named("key.b.example", "one")]).unwrap_err();
    assert_eq!(twice, ListError::Twice("one".into()));
}

#[tokio::test(start_paused = true)]
async fn a_list_without_ipv6_after_all_is_still_asked_for_ipv4() {
    let dns = dns(&["list.example"]);
    dns.has(&format!("2.0.0.0.0.0.f.7.f.f.f.f{}.list.example", ".0".repeat(20)), &[]);
    let lists = started(&dns, vec![ListOptions { ipv6: true, ..presets::generic("list.example") }]).await;
    let found = lists.look_up(&[client("192.0.2.1"), client("2001:db8::1")], PATIENCE).await;
    assert_eq!((found.clear, found.unknown.len()), (1, 1));
    assert_eq!(found.unknown[0].why, Why::NotAsked(Standing::Faulty(Fault::ListsNothing)));
}

#[tokio::test(start_paused = true)]
async fn domains_are_looked_up_where_they_apply() {
    let dns = dns(&["domains.example", "senders.example"]);
    dns.has("bad.example.domains.example", &["127.0.0.2"]);
    let senders =
        ListOptions { applies_to: vec![Role::Sender], ..presets::generic_domains("senders.example") };
    let lists = started(&dns, vec![presets::generic_domains("domains.example"), senders]).await;
    let targets = [Target::Helo(domain("mail.bad.example")), Target::Sender(domain("good.example"))];
    let found = lists.look_up(&targets, PATIENCE).await;
    assert_eq!(found.listings.len(), 1);
    assert_eq!((&found.listings[0].target, found.clear), (&targets[0], 2));
}

#[tokio::test(start_paused = true)]
async fn nothing_private_leaks() {
    let dns = dns(&["list.example", "domains.example"]);
    let list = ListOptions { ipv6: true, ..presets::generic("list.example") };
    let lists = started(&dns, vec![list, presets::generic_domains("domains.example")]).await;
    let before = dns.asked().len();
    let addresses = [
        "10.0.0.1",
        "127.0.0.2",
        "192.168.1.1",
        "169.254.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ];
    for address in addresses {
        assert_eq!(lists.look_up(&[client(address)], PATIENCE).await, Findings::default(), "{address}");
    }
    for name in ["localhost", "nas.local", "db.corp.internal", "[192.0.2.1]", "192.0.2.1", "friend", "co.uk"]
    {
        let targets =
            [Target::Helo(domain(name)), Target::ReverseName(domain(name)), Target::Sender(domain(name))];
        assert_eq!(lists.look_up(&targets, PATIENCE).await, Findings::default(), "{name}");
    }
    assert_eq!(dns.asked().len(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_in_time_is_unknown_and_the_rest_is_not() {
    let dns = dns(&["slow.example", "quick.example", "broken.example"]);
    dns.hangs("1.2.0.192.slow.example").has("1.2.0.192.quick.example", &["127.0.0.2"]);
    dns.fails("1.2.0.192.broken.example", Failure::ServerFailed);
    let lists = ["slow.example", "quick.example", "broken.example"].map(presets::generic);
    let lists = started(&dns, lists.into()).await;
    let began = Instant::now();
    let found = lists.look_up(&[client("192.0.2.1")], PATIENCE).await;
    assert_eq!(began.elapsed(), PATIENCE);
    assert_eq!(found.listings.len(), 1);
    let why: Vec<Why> = found.unknown.iter().map(|unknown| unknown.why).collect();
    assert_eq!(why, [Why::Dns(Failure::TimedOut), Why::Dns(Failure::ServerFailed)]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_list_costs_nothing_and_comes_back() {
    let dns = dns(&["dead.example"]);
    let lists = started(&dns, vec![presets::generic("dead.example")]).await;
    for n in 1..=8 {
        dns.hangs(&format!("{n}.2.0.192.dead.example"));
        let found = lists.look_up(&[client(&format!("192.0.2.{n}"))], Duration::from_millis(100)).await;
        assert_eq!(found.unknown[0].why, Why::Dns(Failure::TimedOut));
    }
    let silent = Why::NotAsked(Standing::Silent);
    let began = Instant::now();
    let asked = dns.asked().len();
    assert_eq!(lists.look_up(&[client("192.0.2.9")], PATIENCE).await.unknown[0].why, silent);
    assert_eq!((began.elapsed(), dns.asked().len()), (Duration::ZERO, asked));
    tokio::time::advance(Duration::from_secs(2)).await;
    let again = Instant::now();
    assert_eq!(lists.look_up(&[client("192.0.2.10")], PATIENCE).await.unknown[0].why, silent, "it is tried");
    while lists.health()[0].standing == Standing::Silent {
        tokio::task::yield_now().await;
    }
    assert_eq!(again.elapsed(), Duration::ZERO, "and nobody waits");
    assert_eq!(lists.look_up(&[client("192.0.2.9")], PATIENCE).await.clear, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_list_is_left_out_whatever_is_kept_of_it() {
    let dns = dns(&["dead.example"]);
    dns.keeps("99.2.0.192.dead.example");
    let lists = started(&dns, vec![presets::generic("dead.example")]).await;
    let standing = || lists.health()[0].standing;
    for n in 1..=8 {
        assert_eq!(standing(), Standing::InOrder);
        dns.hangs(&format!("{n}.2.0.192.dead.example"));
        let kept = lists.look_up(&[client("192.0.2.99")], PATIENCE).await;
        assert_eq!(kept.clear, 1, "what is kept is told");
        lists.look_up(&[client(&format!("192.0.2.{n}"))], Duration::from_millis(100)).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(standing(), Standing::Silent);
    lists.look_up(&[client("192.0.2.99")], PATIENCE).await;
    assert_eq!(standing(), Standing::Silent, "nothing kept tells that it answers");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_kept_counts_once() {
    let dns = dns(&["list.example"]);
    let lists = started(&dns, vec![presets::generic("list.example")]).await;
    dns.hangs("1.2.0.192.list.example");
    for n in 0..20 {
        lists.look_up(&[client("192.0.2.1")], Duration::from_millis(100)).await;
        if n == 0 {
            dns.keeps("1.2.0.192.list.example");
        }
    }
    assert_eq!(lists.health()[0].standing, Standing::InOrder);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_listing_is_unknown() {
    let dns = dns(&["zen.example"]);
    dns.has("1.2.0.192.zen.example", &["127.0.0.77"]).has("2.2.0.192.zen.example", &["127.255.255.254"]);
    let lists =
        started(&dns, vec![ListOptions { ipv6: false, ..presets::spamhaus_zen("zen.example") }]).await;
    let why = async |address: &str| lists.look_up(&[client(address)], PATIENCE).await.unknown[0].why;
    assert_eq!(why("192.0.2.1").await, Why::Meaningless([127, 0, 0, 77].into()));
    let refusal = Ipv4Addr::from([127, 255, 255, 254]);
    assert_eq!(why("192.0.2.2").await, Why::Meaningless(refusal));
    assert_eq!(why("192.0.2.3").await, Why::NotAsked(Standing::Faulty(Fault::Refuses(refusal))));
}

#[tokio::test(start_paused = true)]
async fn the_watching_ends_with_the_lists() {
    let dns = dns(&["list.example"]);
    let lists = started(&dns, vec![presets::generic("list.example")]).await;
    drop(lists.clone());
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(dns.asked().len(), 4);
    drop(lists);
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(dns.asked().len(), 4);
}

#[tokio::test]
async fn lists_that_cannot_work_are_refused_by_name() {
    let start = |lists: Vec<ListOptions>| {
        Lists::start(Scripted::default(), lists, WatchOptions::default()).map(|_| ()).unwrap_err().to_string()
    };
    let plain = || presets::generic("list.example");
    for (list, error) in [
        (presets::generic("no zone"), "list \"no zone\": not the name of a zone"),
        (presets::generic(""), "list \"\": not the name of a zone"),
        (ListOptions { weight: -1.0, ..plain() }, "list \"list.example\": a weight must be a number from 0"),
        (
            ListOptions { weight: f32::NAN, ..plain() },
            "list \"list.example\": a weight must be a number from 0",
        ),
        (plain().with_codes([]), "list \"list.example\": needs from 1 to 256 codes"),
        (
            ListOptions { applies_to: vec![Role::Helo], ..plain() },
            "list \"list.example\": does not list what it is to be asked for",
        ),
        (
            ListOptions {
                test_domains: ("a..b".into(), "x".into()),
                ..presets::generic_domains("list.example")
            },
            "list \"list.example\": a test domain is no name",
        ),
    ] {
        assert_eq!(start(vec![list]), error);
    }
    let twice = vec![plain(), presets::generic("List.Example.")];
    assert_eq!(start(twice), "list \"List.Example.\": another list has its zone or its name");
    let many = (0..=MAX_LISTS).map(|n| presets::generic(&format!("l{n}.example"))).collect();
    assert_eq!(start(many), "21 lists are too many, the most is 20");
}
