//! Whose mail is never deferred, and the modes in which nobody's is.

use crate::set_up::{SetUp, each_set_up, mail, proper, refusal, stranger};
use crate::tempfail::Tempfail;
use test_support::smtp::{Mail, Visit, Xclient};
use test_support::{Need, Suite, TestResult, server_tests};

/// With this gateway every mail is deferred that nothing exempts.
const ALL_CLOSED: &str = r#"
    mode = "enforce"
    [[gateway]]
    domain = "dest.example"
    networks = []
    [exempt]
    own_networks = ["203.0.113.0/24", "2001:db8:5::/48"]
    clients = ["100.64.0.0/16", "partner.example"]
    recipients = ["good3@dest.example"]
"#;

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = each_set_up!(
        suite,
        own_networks_listed_clients_and_postmaster_pass,
        observing_accepts_and_says_what_enforcing_would_do,
        off_judges_nothing,
        a_reload_is_for_the_sessions_that_begin_after_it,
    );
    server_tests!(suite, [Need::Postfix], authenticated_clients_pass)
}

async fn own_networks_listed_clients_and_postmaster_pass(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ALL_CLOSED).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let server = postfix.address();
    let to = |recipient| Mail::from("a@src.example").to(recipient);
    let exempt = [
        ("exempt-own-network", stranger(server, "203.0.113.5")?, to("good@dest.example")),
        ("exempt-own-network", stranger(server, "2001:db8:5::1")?, to("good@dest.example")),
        ("exempt-client", stranger(server, "100.64.9.9")?, to("good@dest.example")),
        ("exempt-client", proper(server, "192.0.2.1", "mx1.partner.example")?, to("good@dest.example")),
        ("exempt-recipient", stranger(server, "192.0.2.2")?, to("Postmaster@dest.example")),
        ("exempt-recipient", stranger(server, "192.0.2.2")?, to("good3@dest.example")),
    ];
    for (reason, client, mail) in exempt {
        let outcome = client.send(&mail).await?;
        assert!(outcome.is_accepted(), "{reason}: {outcome}");
        tempfail.last()?.must_say(&[("action", "pass"), ("reason", reason)])?;
    }
    let nearly =
        proper(server, "192.0.2.1", "mx1.notpartner.example")?.send(&to("good@dest.example")).await?;
    assert!(nearly.hung_up, "{nearly}");
    assert_eq!(tempfail.decisions().len(), 7);
    Ok(())
}

/// The document's policy lines never ask about authenticated clients, its milter line does.
async fn authenticated_clients_pass() -> TestResult {
    let tempfail = Tempfail::start(ALL_CLOSED).await?;
    let asks = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, \
         check_policy_service {{ inet:{}, {{ default_action=451 nobody there }} }}",
        tempfail.policy()
    );
    let policy = test_support::Postfix::builder().main_cf(&asks).start().await?;
    let milter = SetUp::Milter.postfix(&tempfail).await?;
    for server in [policy.address(), milter.address()] {
        let client = Xclient::from_address([192, 0, 2, 9]).login("joe");
        let outcome =
            Visit::to(server).as_client(client).helo("pc.local").send(&mail("joe@dest.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        tempfail.last()?.must_say(&[("reason", "exempt-authenticated"), ("authenticated", "joe")])?;
        let outcome = stranger(server, "192.0.2.9")?.send(&mail("joe@dest.example")).await?;
        assert!(!outcome.is_accepted(), "without the login it is anybody: {outcome}");
    }
    Ok(())
}

async fn observing_accepts_and_says_what_enforcing_would_do(set_up: SetUp) -> TestResult {
    // It is the default.
    let tempfail = Tempfail::start("first_contact.suspicious = 0.8").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    assert_eq!(refusal(&outcome), "-");
    let line = tempfail.last()?;
    line.must_say(&[
        ("action", "pass"),
        ("would", "defer"),
        ("reason", "first-contact"),
        ("mode", "observe"),
        ("retry_after", "180"),
    ])?;
    assert_eq!((tempfail.decisions().len(), line.get("code")), (1, None));
    Ok(())
}

async fn off_judges_nothing(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start("mode = \"off\"").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    assert!(tempfail.questions().iter().all(|line| line["reason"] == "off" && line["action"] == "pass"));
    assert!(tempfail.decisions().is_empty() && !tempfail.questions().is_empty());
    Ok(())
}

async fn a_reload_is_for_the_sessions_that_begin_after_it(set_up: SetUp) -> TestResult {
    let mut tempfail = Tempfail::start("mode = \"enforce\"\n[limits.cold]\nmessages = \"4/h\"").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let corp = Xclient::from_address([198, 51, 100, 1]).name("mail.corp.example");
    let mut open = test_support::smtp::SmtpClient::connect(postfix.address()).await?;
    open.xclient(&corp).await?;
    open.ehlo("mail.corp.example").await?;
    let outcome = open.send_mail(&mail("news@corp.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    tempfail.reload(ALL_CLOSED)?;
    let outcome = open.send_mail(&mail("news@corp.example")).await?;
    assert!(outcome.is_accepted(), "a session keeps the policy that it began with: {outcome}");
    let new = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    assert!(!new.send(&mail("news@corp.example")).await?.is_accepted());
    tempfail.last()?.must_say(&[("reason", "gateway")])?;
    // Back again, and nothing of what was counted is lost: two of four are left.
    tempfail.reload("mode = \"enforce\"\n[limits.cold]\nmessages = \"4/h\"")?;
    for admitted in [true, true, false] {
        assert_eq!(new.send(&mail("news@corp.example")).await?.is_accepted(), admitted);
    }
    tempfail.last()?.must_say(&[("reason", "rate-messages"), ("limit", "4")])
}
