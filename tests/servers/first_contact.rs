//! A suspicious stranger is told to come back, and comes in when it does.

use crate::set_up::{SetUp, each_set_up, mail, proper, refusal, stranger};
use crate::tempfail::{DAY, MINUTE, Tempfail};
use policy_core::verdict::Action;
use test_support::smtp::Stage;
use test_support::{Suite, TestResult};

/// What follows from a wait is told here; which strangers the shipped weights suspect, the core's tests tell.
const ENFORCE: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 0.65";
const NEW: &str = "This host is new to us; its first message has to wait a little; come back in 3 minutes";

pub(crate) fn tests(suite: Suite) -> Suite {
    each_set_up!(
        suite,
        the_first_mail_hears_421_and_the_retry_passes,
        a_sister_host_may_bring_the_retry,
        an_early_retry_hears_how_long_is_left,
        who_presents_itself_properly_does_not_wait,
    )
}

async fn the_first_mail_hears_421_and_the_retry_passes(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    for address in ["192.0.2.7", "2001:db8::25"] {
        let client = stranger(postfix.address(), address)?;
        let outcome = client.send(&mail("a@src.example")).await?;
        let decision = tempfail.last()?;
        decision.must_say(&[
            ("action", "defer"),
            ("reason", "first-contact"),
            ("code", "421"),
            ("client_address", address),
            ("sender", "a@src.example"),
            ("recipient", "good@dest.example"),
            ("retry_after", "180"),
            ("mode", "enforce"),
        ])?;
        let id = &decision["id"];
        let said = set_up.heard(421, "good@dest.example", &format!("[{address}] {NEW} (first-contact {id})"));
        assert_eq!(refusal(&outcome), said);
        assert!(outcome.hung_up && outcome.refusal().is_some_and(|(stage, _)| stage == Stage::Rcpt));
        let record = tempfail.record(id)?;
        assert_eq!((record.verdict.action, record.verdict.reason.code()), (Action::Defer, "first-contact"));
        tempfail.pass(5 * MINUTE);
        let outcome = client.send(&mail("a@src.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        tempfail.last()?.must_say(&[("action", "pass"), ("reason", "returned"), ("delay", "300")])?;
        let outcome = client.send(&mail("a@src.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        tempfail.last()?.must_say(&[("reason", "allowed")])?;
    }
    assert_eq!(tempfail.decisions().len(), 6);
    Ok(())
}

async fn a_sister_host_may_bring_the_retry(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let hosts = [("192.0.2.7", "192.0.2.80", "192.0.3.7"), ("2001:db8::25", "2001:db8::f00", "2001:db9::25")];
    for (first, sister, other) in hosts {
        stranger(postfix.address(), first)?.send(&mail("a@src.example")).await?;
        tempfail.last()?.must_say(&[("reason", "first-contact")])?;
        tempfail.pass(5 * MINUTE);
        let outcome = stranger(postfix.address(), other)?.send(&mail("a@src.example")).await?;
        assert!(!outcome.is_accepted(), "another network waits for itself: {outcome}");
        let outcome = stranger(postfix.address(), sister)?.send(&mail("a@src.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        tempfail.last()?.must_say(&[("reason", "returned"), ("client_address", sister)])?;
    }
    Ok(())
}

async fn an_early_retry_hears_how_long_is_left(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = stranger(postfix.address(), "192.0.2.7")?;
    for left in ["3 minutes", "2 minutes", "60 seconds"] {
        let outcome = client.send(&mail("a@src.example")).await?;
        assert!(refusal(&outcome).contains(&format!("come back in {left} (")), "{outcome}");
        tempfail.pass(MINUTE);
    }
    let outcome = client.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    Ok(())
}

async fn who_presents_itself_properly_does_not_wait(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    let outcome = client.send(&mail("news@corp.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    tempfail.last()?.must_say(&[
        ("reason", "allowed"),
        ("standing", "New"),
        ("client_name", "mail.corp.example"),
        ("helo", "mail.corp.example"),
    ])?;
    // A stranger that never comes back has cost nothing and said little.
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(!outcome.is_accepted());
    let deferred = tempfail.last()?;
    tempfail.pass(2 * DAY);
    assert_eq!(tempfail.used(&deferred)?, [0.0; 4]);
    Ok(())
}
