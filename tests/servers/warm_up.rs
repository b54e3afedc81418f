//! Volume: what a stranger may send, what more it may send the next day, and how a limit that was reached
//! comes back with time.

use crate::set_up::{SetUp, each_set_up, mail, proper, refusal};
use crate::tempfail::{DAY, MINUTE, Tempfail};
use test_support::smtp::{Stage, Visit};
use test_support::{Suite, TestResult};

/// A sender whose mail has been let in has no more than a stranger at the least, so that a stranger's limit is seen.
const ENFORCE: &str = "mode = \"enforce\"\nlimits.least = 1.0\nlimits.least_high = 1.0";
const TWO_MEGABYTES: &str = r#"
    mode = "enforce"
    [limits.cold]
    bytes = "2MB/h"
    [limits.floor]
    bytes = "1MB/h"
"#;

pub(crate) fn tests(suite: Suite) -> Suite {
    each_set_up!(
        suite,
        a_burst_is_deferred_after_sixty_messages_and_time_brings_them_back,
        the_next_day_carries_more,
        a_message_too_large_for_the_hour_is_deferred_by_its_declared_size,
    )
}

/// Sends until `most` are in or one is refused.
async fn admitted(client: &Visit, most: usize) -> Result<usize, crate::tempfail::Failure> {
    for n in 0..most {
        if !client.send(&mail("news@corp.example")).await?.is_accepted() {
            return Ok(n);
        }
    }
    Ok(most)
}

async fn a_burst_is_deferred_after_sixty_messages_and_time_brings_them_back(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    for (address, host) in [("198.51.100.1", "mail.corp.example"), ("2001:db8:1::1", "mx.corp6.example")] {
        let client = proper(postfix.address(), address, host)?;
        assert_eq!(admitted(&client, 60).await?, 60, "a quota of 60 admits 60");
        let outcome = client.send(&mail("news@corp.example")).await?;
        let decision = tempfail.last()?;
        decision.must_say(&[
            ("action", "defer"),
            ("reason", "rate-messages"),
            ("code", "421"),
            ("limit", "60"),
            ("of", "messages an hour"),
            ("retry_after", "60"),
            ("client_address", address),
        ])?;
        let id = &decision["id"];
        let said = format!(
            "[{address}] Too much mail from this host: limit of 60 messages an hour reached; come back in \
             60 seconds (rate-messages {id})"
        );
        assert_eq!(refusal(&outcome), set_up.heard(421, "good@dest.example", &said));
        assert!(outcome.hung_up && outcome.refusal().is_some_and(|(stage, _)| stage == Stage::Rcpt));
        tempfail.pass(MINUTE);
        assert_eq!(admitted(&client, 5).await?, 1, "a minute brings one message back");
        tempfail.pass(60 * MINUTE);
        assert_eq!(admitted(&client, 60).await?, 60, "an hour brings all of them back");
    }
    Ok(())
}

async fn the_next_day_carries_more(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    assert_eq!(admitted(&client, 70).await?, 60);
    tempfail.pass(DAY);
    let second_day = admitted(&client, 120).await?;
    assert_eq!(second_day, 120, "twice what came the day before");
    Ok(())
}

async fn a_message_too_large_for_the_hour_is_deferred_by_its_declared_size(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(TWO_MEGABYTES).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    let large = mail("news@corp.example").parameters("SIZE=1500000");
    assert!(client.send(&large).await?.is_accepted());
    let outcome = client.send(&large).await?;
    tempfail.last()?.must_say(&[("reason", "rate-bytes"), ("code", "421"), ("size", "1500000")])?;
    assert!(outcome.hung_up && !outcome.is_accepted(), "{outcome}");
    tempfail.pass(60 * MINUTE);
    assert!(client.send(&large).await?.is_accepted());
    Ok(())
}
