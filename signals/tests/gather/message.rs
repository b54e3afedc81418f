//! What the message itself adds, at its end.

use crate::support::*;
use crate::support_message::{PLAIN, sealed, signed};
use crate::world::*;
use policy_core::facts::{Facts, VerifiedBy, VerifiedDomain};
use policy_core::findings::{Content, Dkim, Dmarc, FromFit, Spf};
use policy_core::message::{Budget, Collector, MAX_MESSAGE};
use std::sync::Arc;
use std::time::Duration;

/// A host that relays what others have written: SPF of their domain fails there.
fn relayed(port: u16, message: &str) -> Facts {
    end(rcpt("192.0.2.9", port, "mx.list.example", "ann@src.example"), message)
}

fn asked_for(server: &TestServer, name: &str) -> bool {
    server.asked().iter().any(|asked| asked.is(name))
}

#[tokio::test]
async fn a_signed_message_is_verified_and_read() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    signals.gather(&mut facts).await;
    let findings = &facts.findings;
    assert_eq!((findings.spf, findings.dkim, findings.dmarc), (Spf::Pass, Dkim::Pass, Dmarc::Pass));
    let both = [("src.example", VerifiedBy::Spf), ("src.example", VerifiedBy::Dkim)];
    assert_eq!(verified(&facts), both);
    assert_eq!(facts.message.signed, Some(domain("src.example")));
    assert!(facts.message.raw.is_none(), "the octets are let go");
    assert_eq!(findings.content.from_fit, FromFit::Same);
    let dkim = notes(&facts, "dkim")[0];
    assert_eq!((dkim.value.as_str(), dkim.source.as_str()), ("pass src.example", "selector ed"));
    assert_eq!(said(&facts, "dmarc"), ["pass src.example"]);
}

#[tokio::test]
async fn a_forged_message_fails_what_its_author_asks_for() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = relayed(1, &signed("src.example", PLAIN).replace("one line", "my line"));
    signals.gather(&mut facts).await;
    let findings = &facts.findings;
    assert_eq!((findings.spf, findings.dkim, findings.dmarc), (Spf::Fail, Dkim::Fail, Dmarc::Reject));
    assert_eq!((verified(&facts), facts.message.signed.clone()), (vec![], Some(domain("src.example"))));
}

#[tokio::test]
async fn a_forwarded_message_is_its_signers() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = relayed(1, &signed("src.example", PLAIN));
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.spf, facts.findings.dmarc), (Spf::Fail, Dmarc::Pass));
    assert_eq!(verified(&facts), [("src.example", VerifiedBy::Dkim)]);
}

#[tokio::test]
async fn a_message_that_a_trusted_forwarder_has_changed_is_the_forwarders() {
    let server = TestServer::start(world).await;
    let changed = signed("src.example", PLAIN).replace("one line", "one line, and a footer");
    let sealed = sealed("list.example", &changed);
    let signals = start(server.options(), patient()).await;
    let mut facts = relayed(1, &sealed);
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.dkim, facts.findings.dmarc), (Dkim::Fail, Dmarc::Reject));
    assert_eq!(verified(&facts), [("list.example", VerifiedBy::Dkim)]);
    assert_eq!(said(&facts, "arc"), ["pass list.example", "trusted forwarder list.example"]);
    let nobody = signals::gather::Options { trusted_sealers: Vec::new(), ..patient() };
    let mut facts = relayed(1, &sealed);
    start(server.options(), nobody).await.gather(&mut facts).await;
    assert_eq!((verified(&facts), said(&facts, "arc")), (vec![], vec!["not verified list.example"]));
}

#[tokio::test]
async fn what_was_verified_upstream_is_not_verified_again() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    facts.message.verified.push(VerifiedDomain { domain: domain("up.example"), by: VerifiedBy::Dkim });
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.dkim, verified(&facts)[0]), (Dkim::Pass, ("up.example", VerifiedBy::Dkim)));
    assert_eq!(said(&facts, "dkim"), ["verified upstream"]);
    assert!(!asked_for(&server, "ed._domainkey.src.example"));
    assert_ne!(facts.findings.content, Content::default(), "its text is read all the same");
}

#[tokio::test]
async fn of_a_message_that_is_not_whole_no_signature_is_known() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    let large = signed("src.example", &format!("{PLAIN}{}", "line\r\n".repeat(1000)));
    facts.message.raw = Some(Arc::new(collected(&large, 2000)));
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.dkim, facts.findings.dmarc), (Dkim::Unknown, Dmarc::Unknown));
    assert_eq!(verified(&facts), [("src.example", VerifiedBy::Spf)]);
    assert_eq!(said(&facts, "dkim"), ["unknown: the message is too large to be kept"]);
    assert_ne!(facts.findings.content, Content::default());
}

#[tokio::test]
async fn of_a_message_that_there_was_no_room_for_nothing_is_held_to_be_missing() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    facts.message.raw = Some(Arc::new(Collector::new(&Budget::new(0), MAX_MESSAGE).finish()));
    let mut collector = Collector::new(&Budget::new(0), MAX_MESSAGE);
    collector.header(b"Subject", b" hello", true);
    let mut unkept = facts.clone();
    unkept.message.raw = Some(Arc::new(collector.finish()));
    for (facts, known) in [(&mut facts, true), (&mut unkept, false)] {
        signals.gather(facts).await;
        assert_eq!(facts.findings.content != Content::default(), known);
    }
}

/// A question that hangs costs neither the signature that another has verified, nor more than the deadline.
#[tokio::test]
async fn a_hanging_policy_does_not_cost_the_signature() {
    let server =
        TestServer::start(|asked| if asked.is("_dmarc.src.example") { Say::Nothing } else { world(asked) })
            .await;
    let options = signals::gather::Options { within: Duration::from_secs(3), ..patient() };
    let signals = start(server.options(), options).await;
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.dkim, facts.findings.dmarc), (Dkim::Pass, Dmarc::Unknown));
}

/// Neither does a list, or a sender's SPF.
#[tokio::test]
async fn a_hanging_look_up_does_not_cost_the_signature() {
    for hanging in ["9.2.0.192.bl.example", "slow.example"] {
        let server =
            TestServer::start(move |asked| if asked.is(hanging) { Say::Nothing } else { world(asked) }).await;
        let options = signals::gather::Options { within: Duration::from_secs(3), ..patient() };
        let signals = start(server.options(), options).await;
        let signed = signed("src.example", PLAIN);
        let mut facts = end(rcpt("192.0.2.9", 1, "mx.list.example", "x@slow.example"), &signed);
        signals.gather(&mut facts).await;
        assert_eq!(facts.findings.dkim, Dkim::Pass, "{hanging}: {:?}", facts.findings.notes);
        assert_eq!(verified(&facts), [("src.example", VerifiedBy::Dkim)]);
    }
}
