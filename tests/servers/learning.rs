//! What mail servers and content filters tell about a message is remembered of its sender.

use crate::content_filter::ContentFilter;
use crate::set_up::{SetUp, mail, proper, refusal, sendmail_lines, with_ports};
use crate::tempfail::{Failure, MINUTE, Tempfail};
use test_support::smtp::{Mail, Visit};
use test_support::{Need, Postfix, Sendmail, Suite, TestResult, server_tests};

const ENFORCE: &str = "mode = \"enforce\"";
/// The operator says that the filter removes copies of its field that came with the message.
const FILTERED: &str = r#"
    mode = "enforce"
    [exempt]
    own_networks = []
    [first_contact]
    wait = "0s"
    [filter]
    headers = [{ name = "X-Spam-Status", reading = "yes-no", forgeries = "removed" }]
"#;

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Postfix],
        unknown_recipients_count_and_other_refusals_do_not,
        a_harvester_that_finds_nobody_is_remembered,
        a_spamtrap_is_let_in_and_remembered,
        a_filters_header_is_learned_at_the_end_of_the_message,
        a_field_that_the_sender_wrote_earns_nothing,
    );
    server_tests!(suite, [Need::Sendmail], a_filter_before_tempfail_in_sendmail_is_learned_too)
}

fn corp(postfix: &Postfix) -> Result<Visit, Failure> {
    proper(postfix.address(), "198.51.100.1", "mail.corp.example")
}

/// Sends, waits until the session is over, and says how much worse and better the address stands.
async fn learned(tempfail: &Tempfail, client: &Visit, mail: &Mail) -> Result<(f32, f32), Failure> {
    let before = tempfail.last().and_then(|line| tempfail.weights(&line)).unwrap_or_default();
    client.send(mail).await?;
    let line = tempfail.last()?;
    tempfail.until("the end of the session", |tempfail| tempfail.is_over(&line)).await?;
    let after = tempfail.weights(&line)?;
    let rounded = |weight: f32| (weight * 1000.0).round() / 1000.0;
    Ok((rounded(after.0 - before.0), rounded(after.1 - before.1)))
}

async fn unknown_recipients_count_and_other_refusals_do_not() -> TestResult {
    let full = "check_recipient_access inline:{ { good3@dest.example = 450 4.2.2 Mailbox full } }";
    let full = format!("smtpd_recipient_restrictions = reject_unauth_destination, {full}");
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = SetUp::Milter.builder(&tempfail)?.main_cf(&full).start().await?;
    let client = corp(&postfix)?;
    let from = || mail("news@corp.example");
    assert_eq!(learned(&tempfail, &client, &from()).await?, (0.0, 0.25), "a mail without a fault");
    let relayed = from().to("someone@elsewhere.example");
    assert_eq!(learned(&tempfail, &client, &relayed).await?, (0.0, 0.25), "554 5.7.1 Relay access denied");
    let over_quota = from().to("good3@dest.example");
    assert_eq!(learned(&tempfail, &client, &over_quota).await?, (0.0, 0.25), "450 4.2.2");
    let stale = from().to("nobody1@dest.example").to("nobody2@dest.example").to("nobody3@dest.example");
    assert_eq!(learned(&tempfail, &client, &stale).await?, (0.75, 0.063), "three of four are unknown");
    Ok(())
}

async fn a_harvester_that_finds_nobody_is_remembered() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    for set_up in [SetUp::Milter, SetUp::Both] {
        let postfix = set_up.postfix(&tempfail).await?;
        let client = corp(&postfix)?;
        learned(&tempfail, &client, &mail("news@corp.example")).await?;
        let guesses = (0..5)
            .fold(Mail::from("news@corp.example"), |mail, n| mail.to(&format!("guess{n}@dest.example")));
        let before = tempfail.weights(&tempfail.last()?)?.0;
        client.send(&guesses).await?;
        let worse = |tempfail: &Tempfail| {
            tempfail.last().and_then(|line| tempfail.weights(&line)).is_ok_and(|(bad, _)| bad > before + 0.9)
        };
        tempfail.until("a memory of the guesses", worse).await?;
    }
    Ok(())
}

async fn a_spamtrap_is_let_in_and_remembered() -> TestResult {
    let configuration = "mode = \"enforce\"\nspamtraps = [\"good2@dest.example\", \"good3@dest.example\"]";
    for set_up in SetUp::ALL {
        let tempfail = Tempfail::start(configuration).await?;
        let postfix = set_up.postfix(&tempfail).await?;
        let client = corp(&postfix)?;
        // Of a sender each trap says one word a day.
        for (trap, words) in [("good3", 1.0), ("good3", 1.0), ("good2", 2.0)] {
            let trapped = Mail::from("news@corp.example").to(&format!("{trap}@dest.example"));
            let outcome = client.send(&trapped).await?;
            assert!(outcome.is_accepted(), "{outcome}");
            let line = tempfail.last()?;
            line.must_say(&[("action", "pass"), ("reason", "spamtrap")])?;
            let bad = tempfail.weights(&line)?.0;
            assert!((bad - 5.0 * words).abs() < 0.1, "a trap weighs five: {bad}");
        }
        let outcome = client.send(&mail("news@corp.example")).await?;
        tempfail.last()?.must_say(&[("reason", "reputation"), ("standing", "Bad"), ("code", "421")])?;
        assert!(refusal(&outcome).contains("very low reputation") && outcome.hung_up, "{outcome}");
        // Even so, it is told when to come back, and then it comes in.
        tempfail.pass(30 * MINUTE);
        let outcome = client.send(&mail("news@corp.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
        tempfail.last()?.must_say(&[("reason", "returned")])?;
    }
    Ok(())
}

async fn a_filters_header_is_learned_at_the_end_of_the_message() -> TestResult {
    let tempfail = Tempfail::start(FILTERED).await?;
    let filter = ContentFilter::start("X-Spam-Status").await?;
    // tempfail last, as the document says.
    let lines = SetUp::Milter.commands(tempfail.policy(), tempfail.milter())?;
    let lines = lines.replace("smtpd_milters = ", &format!("smtpd_milters = inet:{}, ", filter.address()));
    let postfix = Postfix::builder().shell(&lines).start().await?;
    let client = corp(&postfix)?;
    filter.says("No, score=-1.2 required=5.0");
    assert_eq!(learned(&tempfail, &client, &mail("news@corp.example")).await?, (0.0, 1.25));
    filter.says("Yes, score=12.5 required=5.0");
    assert_eq!(learned(&tempfail, &client, &mail("news@corp.example")).await?, (1.0, 0.0));
    deferred_for_spam(&tempfail, &client).await
}

/// Spam after spam, until its sender is slowed for it.
async fn deferred_for_spam(tempfail: &Tempfail, client: &Visit) -> TestResult {
    for _ in 0..20 {
        if !client.send(&mail("news@corp.example")).await?.is_accepted() {
            break;
        }
    }
    let line = tempfail.last()?;
    assert!(["Low", "Bad"].contains(&line["standing"].as_str()), "{line}");
    line.must_say(&[("action", "defer")])
}

async fn a_field_that_the_sender_wrote_earns_nothing() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = SetUp::Milter.postfix(&tempfail).await?;
    let client = corp(&postfix)?;
    let with = |value| mail("news@corp.example").header("X-Spam-Status", value);
    assert_eq!(learned(&tempfail, &client, &with("No, score=-99")).await?, (0.0, 0.25));
    assert_eq!(learned(&tempfail, &client, &with("Yes, score=99")).await?, (1.0, 0.0));
    Ok(())
}

async fn a_filter_before_tempfail_in_sendmail_is_learned_too() -> TestResult {
    let tempfail = Tempfail::start(FILTERED).await?;
    let filter = ContentFilter::start("X-Spam-Status").await?;
    let first = with_ports(
        "INPUT_MAIL_FILTER(`filter', `S=inet:10422@127.0.0.1')dnl\n",
        filter.address(),
        filter.address(),
    );
    let sendmail = Sendmail::builder().mc(&first).mc(&sendmail_lines(tempfail.milter())?).start().await?;
    let client = Visit::to(sendmail.address()).from_source([127, 3, 4, 5]).helo("mail.corp.example");
    filter.says("No, score=-1.2 required=5.0");
    assert_eq!(learned(&tempfail, &client, &mail("news@corp.example")).await?, (0.0, 1.25));
    filter.says("Yes, score=12.5 required=5.0");
    assert_eq!(learned(&tempfail, &client, &mail("news@corp.example")).await?, (1.0, 0.0));
    deferred_for_spam(&tempfail, &client).await
}
