//! What is looked up, seen through real mail servers: DNS lists, reverse names, SPF, DKIM and DMARC, from zones
//! of a real DNS server on loopback.

use crate::set_up::{SetUp, each_set_up, mail, proper, sendmail_lines};
use crate::tempfail::{Failure, MINUTE, Tempfail};
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_parser::decoders::base64::base64_decode;
use policy_core::facts::Facts;
use policy_core::findings::{Dkim, Dmarc, HeloAddress, Listing, Spf};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use test_support::smtp::{Mail, Visit, Xclient};
use test_support::{Need, Postfix, Rbldnsd, Sendmail, Suite, TestResult, server_tests};

/// A key made for tests (RFC 8463 appendix A.2 publishes it), seed and public part.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const LIST: &str = ":127.0.0.2:listed\n127.0.0.2\n192.0.2.66\n";
/// Nobody has a reverse name there.
const REVERSE: &str = "$SOA 60 ns.example root.example 1 60 60 60 60\n@ TXT \"nothing else\"\n";

fn zone() -> String {
    format!(
        "$SOA 60 ns.example root.example 1 60 60 60 60\n\
         pool TXT \"v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip4:127.3.4.5 -all\"\n\
         signed TXT \"v=spf1 -all\"\n\
         mail.pool A 198.51.100.7\n\
         s1._domainkey.signed TXT \"v=DKIM1; k=ed25519; p={PUBLIC}\"\n\
         _dmarc.signed TXT \"v=DMARC1; p=reject\"\n"
    )
}

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = each_set_up!(
        suite,
        [Need::Postfix, Need::Rbldnsd],
        a_listed_client_waits_and_its_neighbour_does_not,
        an_spf_pass_is_known_from_any_address_of_its_domain,
        a_forged_sender_is_a_claim,
        who_has_no_reverse_name_is_told_from_who_is_not_known,
        mail_flows_while_the_dns_is_silent,
    );
    let suite = server_tests!(
        suite,
        [Need::Postfix, Need::Rbldnsd],
        a_signed_message_is_its_domains_and_a_forged_one_is_nobodys,
        a_forwarded_message_is_charged_to_who_signed_it,
    );
    server_tests!(suite, [Need::Sendmail, Need::Rbldnsd], sendmail_shows_what_spf_and_dkim_need)
}

async fn dns() -> Result<Rbldnsd, Failure> {
    let zones = [
        ("list.test", "ip4set", LIST),
        ("example", "generic", &zone()),
        ("2.0.192.in-addr.arpa", "generic", REVERSE),
    ];
    Ok(Rbldnsd::start(&zones).await?)
}

/// A daemon that asks `server`, with these lines before the sections.
async fn asking(server: SocketAddr, toml: &str) -> Result<Tempfail, Failure> {
    let lookups = format!(
        "\n[dns]\nservers = [\"{server}\"]\ntimeout = \"500ms\"\n[[list]]\nzone = \"list.test\"\npreset = \"generic\"\n"
    );
    let tempfail = Tempfail::start(&format!("mode = \"enforce\"\n{toml}{lookups}")).await?;
    let lookups = tempfail.engine().lookups().ok_or("nothing is looked up")?;
    lookups.tested().await;
    Ok(tempfail)
}

/// What was known of the mail that was decided last.
fn known(tempfail: &Tempfail) -> Result<Arc<Facts>, Failure> {
    Ok(Arc::clone(&tempfail.record(&tempfail.last()?["id"])?.facts))
}

async fn a_listed_client_waits_and_its_neighbour_does_not(set_up: SetUp) -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "first_contact.suspicious = 0.65").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let neighbour = proper(postfix.address(), "192.0.2.67", "mail.neighbour.test")?;
    assert!(neighbour.send(&mail("a@neighbour.test")).await?.is_accepted());
    assert_eq!(known(&tempfail)?.findings.listing, Listing::NotListed);
    let listed = proper(postfix.address(), "192.0.2.66", "mail.listed.test")?;
    let outcome = listed.send(&mail("a@listed.test")).await?;
    assert!(!outcome.is_accepted(), "{outcome}");
    tempfail.last()?.must_say(&[("reason", "first-contact"), ("lists", "list.test")])?;
    let facts = known(&tempfail)?;
    assert_eq!(facts.findings.listing, Listing::Listed);
    let explained = tempfail.explained(&tempfail.last()?)?;
    assert!(explained.contains("on a DNS list (alone:"), "{explained}");
    assert!(explained.contains("192.0.2.66: listed  (weight 1.0) (list.test, "), "{explained}");
    tempfail.pass(3 * MINUTE);
    assert!(listed.send(&mail("a@listed.test")).await?.is_accepted(), "a list is no verdict");
    Ok(())
}

async fn an_spf_pass_is_known_from_any_address_of_its_domain(set_up: SetUp) -> TestResult {
    let dns = dns().await?;
    // Every stranger waits.
    let tempfail = asking(dns.address(), "first_contact.suspicious = 0.0").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let from = |address: &str| {
        let client = Xclient::from_address(address.parse::<IpAddr>()?);
        Ok::<_, Failure>(Visit::to(postfix.address()).as_client(client).helo("mail.pool.example"))
    };
    let outcome = from("198.51.100.7")?.send(&mail("a@pool.example")).await?;
    assert!(!outcome.is_accepted(), "{outcome}");
    tempfail.last()?.must_say(&[("spf", "pass"), ("verified", "pool.example")])?;
    assert_eq!(known(&tempfail)?.findings.helo, HeloAddress::Same);
    tempfail.pass(3 * MINUTE);
    let outcome = from("203.0.113.9")?.send(&mail("a@pool.example")).await?;
    assert!(outcome.is_accepted(), "the retry comes from another network of the domain: {outcome}");
    tempfail.last()?.must_say(&[("reason", "returned"), ("verified", "pool.example")])?;
    Ok(())
}

async fn a_forged_sender_is_a_claim(set_up: SetUp) -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "exempt.domains = [\"pool.example\"]").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let forger = proper(postfix.address(), "192.0.2.50", "mail.forger.test")?;
    forger.send(&mail("a@pool.example")).await?;
    let line = tempfail.last()?;
    line.must_say(&[("spf", "fail")])?;
    assert!(line.get("verified").is_none() && line["reason"] != "exempt-domain", "{line:?}");
    assert_eq!(known(&tempfail)?.findings.spf, Spf::Fail);
    let friend = proper(postfix.address(), "198.51.100.7", "mail.pool.example")?;
    assert!(friend.send(&mail("a@pool.example")).await?.is_accepted());
    tempfail.last()?.must_say(&[("reason", "exempt-domain")])?;
    Ok(())
}

async fn who_has_no_reverse_name_is_told_from_who_is_not_known(set_up: SetUp) -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    for (address, failed) in [("192.0.2.80", false), ("203.0.113.80", true)] {
        let client = Xclient::from_address(address.parse::<IpAddr>()?).without_name();
        // Otherwise Postfix goes on with the name of the test itself.
        let client = client.reverse_name("[UNAVAILABLE]");
        let visit = Visit::to(postfix.address()).as_client(client).helo("mail.pool.example");
        visit.send(&mail("a@pool.example")).await?;
        let facts = known(&tempfail)?;
        assert_eq!(facts.findings.reverse_name_failed, failed, "{address}: {:?}", facts.findings.notes);
        let explained = tempfail.explained(&tempfail.last()?)?;
        assert_eq!(explained.contains("no reverse name"), !failed, "{explained}");
    }
    Ok(())
}

/// A server that hears everything and says nothing.
async fn mail_flows_while_the_dns_is_silent(set_up: SetUp) -> TestResult {
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let tempfail = Tempfail::start(&format!(
        "mode = \"enforce\"\n[signals]\nwithin = \"300ms\"\n[dns]\nservers = [\"{}\"]\ntimeout = \"100ms\"\nretries = 0\n",
        silent.local_addr()?
    ))
    .await?;
    let postfix = set_up.postfix(&tempfail).await?;
    for n in 1..=12 {
        let client = proper(postfix.address(), &format!("198.51.100.{n}"), &format!("mail.corp{n}.test"))?;
        let begun = Instant::now();
        let outcome = client.send(&mail(&format!("a@corp{n}.test"))).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        // The budget, and what a loaded machine takes for the rest.
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let facts = known(&tempfail)?;
        assert_eq!((facts.findings.spf, facts.message.verified.len()), (Spf::Unknown, 0));
    }
    let lookups = tempfail.engine().lookups().ok_or("nothing is looked up")?;
    assert!(lookups.health().suspensions > 0, "{:?}", lookups.health());
    Ok(())
}

/// A message of signed.example, signed.
fn signed() -> Result<String, Failure> {
    let message = "From: Ann <ann@signed.example>\r\nTo: good@dest.example\r\nSubject: a  test\r\n\
        Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <1@signed.example>\r\n\r\nSome words.\r\n";
    let decode = |text: &str| base64_decode(text.as_bytes()).ok_or("no base64");
    let key = Ed25519Key::from_seed_and_public_key(&decode(SEED)?, &decode(PUBLIC)?)?;
    let signer = DkimSigner::from_key(key).domain("signed.example").selector("s1");
    let signature = signer.headers(["From", "To", "Subject", "Date"]).sign(message.as_bytes())?;
    Ok(format!("{}{message}", signature.to_header()))
}

fn envelope(from: &str, message: &str) -> Mail {
    Mail::from(from).to("good@dest.example").message(message.as_bytes())
}

async fn postfix_with_milter(tempfail: &Tempfail) -> Result<Postfix, Failure> {
    SetUp::Milter.postfix(tempfail).await
}

async fn a_signed_message_is_its_domains_and_a_forged_one_is_nobodys() -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "").await?;
    let postfix = postfix_with_milter(&tempfail).await?;
    let client = proper(postfix.address(), "198.51.100.7", "mail.pool.example")?;
    let signed = signed()?;
    let outcome = client.send(&envelope("a@pool.example", &signed)).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    let facts = known(&tempfail)?;
    assert_eq!((facts.findings.dkim, facts.findings.dmarc), (Dkim::Pass, Dmarc::Pass), "{facts:?}");
    let verified: Vec<_> = facts.message.verified.iter().map(|v| v.domain.as_str()).collect();
    assert!(verified.contains(&"signed.example") && verified.contains(&"pool.example"), "{verified:?}");
    assert!(facts.message.raw.is_none(), "no message is kept");
    let forged = signed.replace("Some words", "Other words");
    client.send(&envelope("a@pool.example", &forged)).await?;
    let facts = known(&tempfail)?;
    assert_eq!((facts.findings.dkim, facts.findings.dmarc), (Dkim::Fail, Dmarc::Reject), "{facts:?}");
    assert!(facts.message.verified.iter().all(|v| v.domain.as_str() == "pool.example"));
    Ok(())
}

async fn a_forwarded_message_is_charged_to_who_signed_it() -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "").await?;
    let postfix = postfix_with_milter(&tempfail).await?;
    let forwarder = proper(postfix.address(), "203.0.113.99", "mail.relay.test")?;
    let outcome = forwarder.send(&envelope("ann@signed.example", &signed()?)).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    let facts = known(&tempfail)?;
    assert_eq!((facts.findings.spf, facts.findings.dkim), (Spf::Fail, Dkim::Pass), "{facts:?}");
    assert_eq!(facts.findings.dmarc, Dmarc::Pass);
    assert_eq!(facts.message.verified[0].domain.as_str(), "signed.example");
    Ok(())
}

async fn sendmail_shows_what_spf_and_dkim_need() -> TestResult {
    let dns = dns().await?;
    let tempfail = asking(dns.address(), "exempt.own_networks = []").await?;
    let sendmail = Sendmail::builder().mc(&sendmail_lines(tempfail.milter())?).start().await?;
    let client = Visit::to(sendmail.address()).from_source([127, 3, 4, 5]).helo("mail.pool.example");
    let outcome = client.send(&envelope("a@pool.example", &signed()?)).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    let facts = known(&tempfail)?;
    assert_eq!((facts.findings.spf, facts.findings.dkim), (Spf::Pass, Dkim::Pass), "{facts:?}");
    let verified: Vec<_> = facts.message.verified.iter().map(|v| v.domain.as_str()).collect();
    assert_eq!(verified, ["pool.example", "signed.example"]);
    Ok(())
}
