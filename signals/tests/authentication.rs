//! DKIM, DMARC and ARC over a scripted DNS, with messages signed by mail-auth and then tampered with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests assert by panicking")]

mod support_message;

use mail_auth::dkim::Canonicalization;
use policy_core::name::DomainName;
use proptest::prelude::*;
use signals::authentication::{
    Arc, Authentication, Authenticator, Cause, Dmarc, EnvelopeView, Options, Outcome, Policy, Spf,
};
use signals::dns::Failure;
use std::time::Duration;
use support_message::*;

fn domain(name: &str) -> DomainName {
    DomainName::new(name).unwrap()
}

fn envelope(sender: &str, spf: Spf) -> EnvelopeView {
    EnvelopeView { helo: Some(domain("mta.relay.example")), mail_from: DomainName::new(sender), spf }
}

async fn verify_as(dns: &Script, raw: &str, envelope: EnvelopeView) -> Authentication {
    let authenticator = Authenticator::new(dns.clone(), Options::default()).unwrap();
    authenticator.verify(raw.as_bytes(), &envelope, &[domain("forwarder.example")]).await
}

async fn verify(dns: &Script, raw: &str) -> Authentication {
    verify_as(dns, raw, envelope("bounce.example", Spf::None)).await
}

fn only(authentication: &Authentication) -> (Outcome, Option<Cause>) {
    assert_eq!(authentication.dkim.len(), 1, "{authentication:?}");
    (authentication.dkim[0].result, authentication.dkim[0].cause)
}

fn strict() -> Script {
    let dns = Script::default().keys(&["ed._domainkey.src.example", "rsa._domainkey.src.example"]);
    dns.txt("_dmarc.src.example", &["v=DMARC1; p=reject; sp=quarantine; np=none"])
}

#[tokio::test]
async fn a_signature_of_either_kind_passes_and_makes_dmarc_pass() {
    for raw in [signed("src.example", PLAIN), signature_rsa("src.example", PLAIN) + PLAIN] {
        let found = verify(&strict(), &raw).await;
        assert_eq!(only(&found), (Outcome::Pass, None));
        assert_eq!((found.dmarc, found.arc.clone()), (Dmarc::Pass, Arc::None));
        assert_eq!(found.from_domain, Some(domain("src.example")));
        assert_eq!(found.signers().collect::<Vec<_>>(), [&domain("src.example")]);
    }
}

#[tokio::test]
async fn what_was_changed_afterwards_fails() {
    let raw = signed("src.example", PLAIN);
    let found = verify(&strict(), &raw.replace("one line", "another line")).await;
    assert_eq!(only(&found), (Outcome::Fail, Some(Cause::Body)));
    assert_eq!(found.dmarc, Dmarc::Fail(Policy::Reject));
    let found = verify(&strict(), &raw.replace("Subject: hello", "Subject: hell")).await;
    assert_eq!(only(&found), (Outcome::Fail, Some(Cause::Mismatch)));
    // Without the body that was signed, nobody is asked for the key.
    let dns = strict();
    verify(&dns, &raw.replace("one line", "another line")).await;
    assert!(!dns.asked().iter().any(|name| name.contains("_domainkey")), "{:?}", dns.asked());
}

#[tokio::test]
async fn no_key_is_permanent_and_a_failure_is_not() {
    let raw = signed("src.example", PLAIN);
    let key = "ed._domainkey.src.example";
    for failure in [Failure::NoName, Failure::NoData] {
        let found = verify(&strict().fails(key, failure), &raw).await;
        assert_eq!(only(&found), (Outcome::PermError, Some(Cause::NoKey)));
        assert_eq!(found.dmarc, Dmarc::Fail(Policy::Reject));
    }
    for failure in [Failure::ServerFailed, Failure::TimedOut, Failure::Suspended] {
        let found = verify(&strict().fails(key, failure), &raw).await;
        assert_eq!(only(&found), (Outcome::TempError, Some(Cause::Dns)));
        assert_eq!(found.dmarc, Dmarc::TempError);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_dns_costs_the_budget_once_and_is_temporary() {
    let raw = sealed("forwarder.example", &signed("src.example", PLAIN));
    let dns = strict().silent("ed._domainkey.src.example").silent("arc._domainkey.forwarder.example");
    let before = tokio::time::Instant::now();
    let found = verify(&dns.silent("_dmarc.example"), &raw).await;
    assert_eq!(before.elapsed(), Options::default().budget);
    assert_eq!(only(&found), (Outcome::TempError, Some(Cause::Dns)));
    assert_eq!((found.arc, found.dmarc), (Arc::TempError, Dmarc::TempError));
}

/// RFC 6376 section 3.4.4: relaxed canonicalization ignores space at the end of lines, then empty lines at the
/// end of the body. mail-auth 0.13.3 takes lines of space there for text.
#[tokio::test]
async fn lines_of_space_at_the_end_do_not_break_a_relaxed_signature() {
    let raw = signed("src.example", PLAIN);
    for end in [" \r\n", "\t \r\n\r\n", "\r\n \r\n\r\n", " "] {
        assert_eq!(only(&verify(&strict(), &format!("{raw}{end}")).await), (Outcome::Pass, None), "{end:?}");
    }
    let simple = signer("src.example", "ed").body_canonicalization(Canonicalization::Simple);
    let raw = signature(&simple, PLAIN) + PLAIN;
    assert_eq!(only(&verify(&strict(), &format!("{raw}\r\n\r\n")).await), (Outcome::Pass, None));
    let found = verify(&strict(), &format!("{raw} \r\n")).await;
    assert_eq!(only(&found), (Outcome::Fail, Some(Cause::Body)));
    let (header, _) = PLAIN.split_once("one line").unwrap();
    let raw = signed("src.example", header);
    assert_eq!(only(&verify(&strict(), &format!("{raw} \r\n\r\n")).await), (Outcome::Pass, None));
}

#[tokio::test]
async fn a_signature_that_proves_too_little_does_not_pass() {
    let field = signature(&signer("src.example", "ed"), PLAIN);
    let rsa = signature_rsa("src.example", PLAIN);
    let part = signature(&signer("src.example", "ed").body_length(true), PLAIN);
    let subject_only = signature(&signer_of("src.example", "ed", &["Subject"]), PLAIN);
    let names = vec!["from"; 50_000].join(":");
    let cases = [
        (part, Outcome::Policy, Cause::Length),
        (subject_only, Outcome::PermError, Cause::FromNotSigned),
        (field.replace("v=1;", "v=1; x=1;"), Outcome::PermError, Cause::Expired),
        (field.replace("v=1;", "v=1; i=@other.example;"), Outcome::PermError, Cause::Identity),
        (field.replace("v=1;", ""), Outcome::PermError, Cause::Version),
        (rsa.replace("a=rsa-sha256", "a=rsa-sha1"), Outcome::PermError, Cause::Algorithm),
        (rsa.replace("s=rsa", "s=ed"), Outcome::PermError, Cause::Algorithm),
        (rsa.replace("s=rsa", "s=weak"), Outcome::Policy, Cause::WeakKey),
        (field.replace("s=ed", "s=revoked"), Outcome::PermError, Cause::Revoked),
        (field.replace("s=ed", "s=broken"), Outcome::PermError, Cause::KeySyntax),
        (field.replace("s=ed", "s=absent"), Outcome::PermError, Cause::NoKey),
        (
            field.replace("h=Message", &format!("h={}:Message", &names[..14_999])),
            Outcome::Fail,
            Cause::Mismatch,
        ),
    ];
    let weak = format!("v=DKIM1; p={RSA_768_PUBLIC}");
    let dns = strict().txt("weak._domainkey.src.example", &[&weak]);
    let dns = dns.txt("revoked._domainkey.src.example", &["v=DKIM1; k=ed25519; p="]);
    let dns = dns.txt("broken._domainkey.src.example", &["nonsense"]);
    for (field, outcome, cause) in cases {
        let found = verify(&dns, &(field.clone() + PLAIN)).await;
        assert_eq!(only(&found), (outcome, Some(cause)), "{field}");
        assert_eq!(found.dmarc, Dmarc::Fail(Policy::Reject), "{field}");
        assert_eq!(found.signers().count(), 0);
    }
}

#[tokio::test]
async fn a_signature_that_is_dear_to_verify_is_not() {
    let names: String = (0..3_000).map(|n| format!("{n:x}:")).collect();
    let field =
        signature(&signer("src.example", "ed"), PLAIN).replace("h=Message", &format!("h={names}Message"));
    let many = "X: y\r\n".repeat(1_000);
    let found = verify(&strict(), &(field + &many + PLAIN)).await;
    assert_eq!(only(&found), (Outcome::Policy, Some(Cause::Cost)));
    let found = verify(&strict(), &("X: y\r\n".repeat(6_000) + &signed("src.example", PLAIN))).await;
    assert_eq!((found.dkim.len(), found.dmarc), (0, Dmarc::PermError));
}

#[tokio::test]
async fn five_signatures_are_looked_at_and_the_sender_s_own_come_first() {
    let dns = strict().keys(&["ed._domainkey.other.example"]);
    let foreign = signature(&signer("other.example", "ed"), PLAIN);
    let raw = foreign.repeat(40) + &signed("src.example", PLAIN);
    let found = verify(&dns, &raw).await;
    let domains: Vec<_> = found.dkim.iter().map(|s| s.domain.as_str()).collect();
    assert_eq!(domains, ["src.example", "other.example", "other.example", "other.example", "other.example"]);
    assert!(found.dkim.iter().all(|signature| signature.result == Outcome::Pass));
    let different: String = (0..40).map(|n| foreign.replace("s=ed", &format!("s=e{n}"))).collect();
    let dns = strict();
    verify(&dns, &(different + PLAIN)).await;
    assert_eq!(dns.asked().iter().filter(|name| name.contains("_domainkey")).count(), 5);
}

#[tokio::test]
async fn alignment_is_relaxed_or_strict_as_the_record_says() {
    let from_below = PLAIN.replace("ann@src.example", "ann@news.src.example");
    let below = signed("src.example", &from_below);
    let above = signed("mail.src.example", PLAIN);
    let keys = ["ed._domainkey.src.example", "ed._domainkey.mail.src.example"];
    let relaxed = Script::default().keys(&keys).txt("_dmarc.src.example", &["v=DMARC1; p=reject"]);
    let strict =
        Script::default().keys(&keys).txt("_dmarc.src.example", &["v=DMARC1; p=reject; adkim=s; aspf=s"]);
    for raw in [&below, &above] {
        assert_eq!(verify(&relaxed, raw).await.dmarc, Dmarc::Pass);
        assert_eq!(verify(&strict, raw).await.dmarc, Dmarc::Fail(Policy::Reject));
    }
    for (sender, in_relaxed, in_strict) in [
        ("src.example", Dmarc::Pass, Dmarc::Pass),
        ("bounce.src.example", Dmarc::Pass, Dmarc::Fail(Policy::Reject)),
        ("notsrc.example", Dmarc::Fail(Policy::Reject), Dmarc::Fail(Policy::Reject)),
    ] {
        let spf = envelope(sender, Spf::Pass);
        assert_eq!(verify_as(&relaxed, PLAIN, spf.clone()).await.dmarc, in_relaxed, "{sender}");
        assert_eq!(verify_as(&strict, PLAIN, spf).await.dmarc, in_strict, "{sender}");
    }
    let helo = EnvelopeView { helo: Some(domain("mta.src.example")), mail_from: None, spf: Spf::Pass };
    assert_eq!(verify_as(&relaxed, PLAIN, helo).await.dmarc, Dmarc::Pass, "a bounce is its HELO name's");
    let failed = verify_as(&relaxed, PLAIN, envelope("src.example", Spf::TempError)).await;
    assert_eq!(failed.dmarc, Dmarc::TempError);
}

#[tokio::test]
async fn an_organisation_of_its_own_below_is_not_aligned() {
    let dns = Script::default().keys(&["ed._domainkey.tenant.src.example"]);
    let dns = dns.txt("_dmarc.src.example", &["v=DMARC1; p=reject"]);
    let dns = dns.txt("_dmarc.tenant.src.example", &["v=DMARC1; p=none; psd=n"]);
    let found = verify(&dns, &signed("tenant.src.example", PLAIN)).await;
    assert_eq!((only(&found), found.dmarc), ((Outcome::Pass, None), Dmarc::Fail(Policy::Reject)));
}

#[tokio::test]
async fn the_policy_is_that_of_the_name_a_subdomain_or_a_name_that_is_not() {
    let of = |from: &str| PLAIN.replace("ann@src.example", from);
    let dns = strict().fails("there.src.example", Failure::NoData);
    assert_eq!(verify(&dns, PLAIN).await.dmarc, Dmarc::Fail(Policy::Reject));
    let found = verify(&dns, &of("ann@there.src.example")).await;
    assert_eq!(found.dmarc, Dmarc::Fail(Policy::Quarantine));
    let found = verify(&dns, &of("ann@gone.src.example")).await;
    assert_eq!(found.dmarc, Dmarc::Fail(Policy::None));
    let testing = strict().txt("_dmarc.src.example", &["v=DMARC1; p=none; np=reject; t=y"]);
    let found = verify(&testing, &of("ann@gone.src.example")).await;
    assert_eq!(found.dmarc, Dmarc::Fail(Policy::Quarantine));
}

#[tokio::test]
async fn without_one_readable_record_there_is_no_policy() {
    let with = |texts: &[&str]| Script::default().txt("_dmarc.src.example", texts);
    let reject = "v=DMARC1; p=reject";
    assert_eq!(verify(&with(&["something else", reject]), PLAIN).await.dmarc, Dmarc::Fail(Policy::Reject));
    assert_eq!(verify(&with(&[reject, reject]), PLAIN).await.dmarc, Dmarc::None);
    assert_eq!(verify(&with(&["v=DMARC1; p=nonsense"]), PLAIN).await.dmarc, Dmarc::PermError);
    assert_eq!(verify(&Script::default(), PLAIN).await.dmarc, Dmarc::None);
    let failing = Script::default().fails("_dmarc.src.example", Failure::ServerFailed);
    assert_eq!(verify(&failing, PLAIN).await.dmarc, Dmarc::TempError);
    for from in ["From: a@src.example, b@dest.example", "From: a@src.example\r\nFrom: b@dest.example", "X: y"]
    {
        let found = verify(&with(&[reject]), &PLAIN.replace("From: Ann <ann@src.example>", from)).await;
        assert_eq!((found.from_domain, found.dmarc), (None, Dmarc::None));
    }
}

#[tokio::test]
async fn a_chain_of_a_trusted_sealer_passes_and_names_all_the_newest_first() {
    let dns = strict().keys(&["arc._domainkey.list.example", "arc._domainkey.forwarder.example"]);
    let once = sealed("list.example", &signed("src.example", PLAIN));
    let found = verify(&dns, &once).await;
    assert_eq!((found.arc, found.trusted_forwarder), (Arc::Unverified(domain("list.example")), None));
    let twice = sealed("forwarder.example", &once);
    let found = verify(&dns, &twice).await;
    assert_eq!(found.arc, Arc::Pass(vec![domain("forwarder.example"), domain("list.example")]));
    assert_eq!(found.trusted_forwarder, Some(domain("forwarder.example")));
    assert_eq!(only(&found), (Outcome::Pass, None));
    let below = sealed("mx.forwarder.example", &once);
    let found = verify(&dns.keys(&["arc._domainkey.mx.forwarder.example"]), &below).await;
    assert_eq!(found.trusted_forwarder, Some(domain("mx.forwarder.example")));
}

/// Whoever writes a chain chooses the servers that are asked for its keys.
#[tokio::test]
async fn a_chain_of_strangers_asks_nobody_and_one_below_a_trusted_seal_asks_few() {
    let chain = |sets: usize, newest: &str| {
        (0..sets).fold(signed("src.example", PLAIN), |raw, n| {
            let sealer = if n + 1 == sets { newest.to_owned() } else { format!("d{n}.hole.example") };
            sealed(&sealer, &raw)
        })
    };
    let asked = |dns: &Script| dns.asked().iter().filter(|name| name.starts_with("arc.")).count();
    for (sets, newest, expected) in [
        (1, "x.example", 0),
        (50, "x.example", 0),
        (11, "forwarder.example", 0),
        (10, "forwarder.example", 10),
    ] {
        let dns = strict();
        let found = verify(&dns, &chain(sets, newest)).await;
        let arc = if expected == 0 { Arc::Unverified(domain(newest)) } else { Arc::Fail };
        assert_eq!(
            (asked(&dns), found.arc.clone(), found.trusted_forwarder.clone()),
            (expected, arc, None),
            "{sets} {newest}"
        );
        assert_eq!(found.signers().collect::<Vec<_>>(), [&domain("src.example")]);
    }
    let many = (0..11).fold(PLAIN.to_owned(), |raw, _| sealed("forwarder.example", &raw));
    let dns = strict().keys(&["arc._domainkey.forwarder.example"]);
    assert!(matches!(verify(&dns, &many).await.arc, Arc::Pass(sealers) if sealers.len() == 11));
    assert_eq!(asked(&dns), 1);
}

#[tokio::test]
async fn a_chain_that_is_touched_or_incomplete_fails() {
    let dns = strict().keys(&["arc._domainkey.list.example", "arc._domainkey.forwarder.example"]);
    let raw = sealed("forwarder.example", &sealed("list.example", &signed("src.example", PLAIN)));
    let without_first_seal = raw.replacen("ARC-Seal: i=1", "X-Seal: i=1", 1);
    assert_ne!(without_first_seal, raw);
    for broken in [
        raw.replace("one line", "two lines"),
        raw.replace("Subject: hello", "Subject: hell"),
        raw.replace("cv=pass", "cv=none"),
        without_first_seal,
        raw.replacen("i=2", "i=3", 3),
        format!("ARC-Seal: nonsense\r\n{raw}"),
    ] {
        let found = verify(&dns, &broken).await;
        assert_eq!((found.arc, found.trusted_forwarder), (Arc::Fail, None), "{broken}");
    }
    let found = verify(&dns.fails("arc._domainkey.list.example", Failure::TimedOut), &raw).await;
    assert_eq!((found.arc, found.trusted_forwarder), (Arc::TempError, None));
    let dns = strict();
    let found = verify(
        &dns,
        &("ARC-Seal: i=1; cv=none; a=rsa-sha256; d=x.example; s=s; b=AA==\r\n".repeat(60) + PLAIN),
    )
    .await;
    assert_eq!(found.arc, Arc::Fail);
    assert!(!dns.asked().iter().any(|name| name.contains("_domainkey")));
}

#[tokio::test]
async fn a_forwarded_message_is_its_signer_s() {
    let dns = strict().keys(&["ed._domainkey.other.example"]);
    let raw = signature(&signer("other.example", "ed"), PLAIN) + &signed("src.example", PLAIN);
    for (spf, charged) in
        [(Spf::Fail, true), (Spf::SoftFail, true), (Spf::Pass, false), (Spf::TempError, false)]
    {
        let found = verify_as(&dns, &raw, envelope("bounce.example", spf)).await;
        assert_eq!(found.forwarded_for, charged.then(|| domain("src.example")), "{spf:?}");
    }
    let forged = verify_as(&dns, PLAIN, envelope("src.example", Spf::Fail)).await;
    assert_eq!((forged.forwarded_for, forged.dmarc), (None, Dmarc::Fail(Policy::Reject)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_message_is_verified_on_a_runtime_of_threads() {
    let large = format!("{PLAIN}{}", "line upon line\r\n".repeat(50_000));
    let found = verify(&strict(), &signed("src.example", &large)).await;
    assert_eq!(only(&found), (Outcome::Pass, None));
}

/// Nothing that is not a message is authenticated, and mail-auth is not found out by it: what it panics on
/// would show as the cause.
fn is_sane(found: &Authentication) -> bool {
    found.dkim.len() <= 5 && found.dkim.iter().all(|s| s.cause != Some(Cause::Engine))
}

fn run(dns: &Script, raw: &[u8]) -> Authentication {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let options = Options { budget: Duration::from_secs(60), ..Options::default() };
    let authenticator = Authenticator::new(dns.clone(), options).unwrap();
    let sealers = [domain("list.example")];
    runtime.block_on(authenticator.verify(raw, &envelope("src.example", Spf::Pass), &sealers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mutated_messages_do_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..12),
    ) {
        let mut raw = sealed("list.example", &signed("src.example", PLAIN)).into_bytes();
        for (at, octet, how) in changes {
            let at = at.index(raw.len());
            match how {
                0 => raw[at] = octet,
                1 => raw.insert(at, octet),
                _ => { raw.remove(at); }
            }
        }
        prop_assert!(is_sane(&run(&strict().keys(&["arc._domainkey.list.example"]), &raw)));
    }

    #[test]
    fn garbage_in_a_signature_does_no_harm(
        tags in "[a-z]{1,3}=[ -~\t]{0,40}(;[a-z]{1,2}=[ -~]{0,40}){0,8}", record in "[ -~]{0,120}",
        name in "DKIM-Signature|ARC-Seal|ARC-Message-Signature|ARC-Authentication-Results|From",
    ) {
        let dns = strict().txt("ed._domainkey.src.example", &[&record, &format!("v=DKIM1; p={record}")]);
        let dns = dns.txt("_dmarc.src.example", &[&format!("v=DMARC1; {record}")]);
        let raw = format!("{name}: {tags}\r\n{}", signed("src.example", PLAIN));
        prop_assert!(is_sane(&run(&dns, raw.as_bytes())));
    }

    #[test]
    fn garbage_does_no_harm(raw in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(is_sane(&run(&strict(), &raw)));
    }
}
