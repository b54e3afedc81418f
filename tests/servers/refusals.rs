//! What an operator says at run time, and the ladder, as clients of real mail servers hear it: 421 and 550.

use crate::set_up::{SetUp, each_set_up, mail, proper, refusal, sendmail_lines, stranger};
use crate::tempfail::{Failure, Tempfail};
use policy_core::outcome::Outcome;
use policy_core::overrides::{Effect, Override};
use std::time::Duration;
use test_support::smtp::{Stage, Visit};
use test_support::{Need, Postfix, Sendmail, Suite, TestResult, server_tests};

const LADDER: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\n[ladder]\nenabled = true\n\
    [exempt]\nown_networks = []\n";
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = each_set_up!(
        suite,
        a_block_is_heard_at_once_and_another_word_takes_it_back,
        who_stays_bad_is_refused_until_it_is_forgiven,
        observing_refuses_nobody,
    );
    server_tests!(
        suite,
        [Need::Sendmail],
        sendmail_says_421_for_a_block_and_550_for_a_refusal,
        sendmail_says_550_for_who_stays_bad,
    )
}

fn say(tempfail: &Tempfail, subject: &str, effect: Effect) -> Result<(), Failure> {
    let now = tempfail.now();
    let subject = subject.parse()?;
    let said = Override { subject, effect, since: now, until: None, note: String::new() };
    Ok(tempfail.state().overrule(said, "uid 0", now)?)
}

/// What the client hears after the words that Postfix puts before a policy service's.
fn said(heard: &str) -> &str {
    heard.split_once("rejected: ").map_or(heard, |(_, said)| said)
}

async fn a_block_is_heard_at_once_and_another_word_takes_it_back(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start("mode = \"enforce\"").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let send = async || -> Result<_, Failure> {
        let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
        Ok(client.send(&mail("news@corp.example")).await?)
    };
    assert!(send().await?.is_accepted());
    say(&tempfail, "corp.example", Effect::Block)?;
    let heard = refusal(&send().await?);
    assert!(heard.starts_with("421 4.7.0 ") && heard.contains("is blocked here (blocked "), "{heard}");
    say(&tempfail, "corp.example", Effect::Reject)?;
    let outcome = send().await?;
    let heard = refusal(&outcome);
    assert!(heard.starts_with("550 5.7.1 ") && heard.contains("is blocked here (blocked "), "{heard}");
    assert_eq!(outcome.refusal().map(|(stage, _)| stage), Some(Stage::Rcpt));
    tempfail.last()?.must_say(&[("action", "reject"), ("reason", "blocked"), ("code", "550")])?;
    say(&tempfail, "198.51.100.1", Effect::Allow)?;
    assert!(send().await?.is_accepted());
    tempfail.last()?.must_say(&[("action", "pass"), ("reason", "exempt-override")])?;
    Ok(())
}

/// Lets people complain of the client's mail until it is Bad, and has it try again each hour.
async fn make_bad(
    tempfail: &Tempfail,
    client: impl AsyncFn() -> Result<String, Failure>,
) -> Result<(), Failure> {
    client().await?;
    let record = tempfail.record(&tempfail.last()?["id"])?;
    for _ in 0..30 {
        let appraisal = tempfail.state().appraise(&record.facts, tempfail.now());
        policy_core::learn(tempfail.state(), &appraisal, Outcome::ReportedSpam, tempfail.now());
    }
    for _ in 0..7 {
        tempfail.pass(HOUR);
        client().await?;
    }
    Ok(())
}

async fn who_stays_bad_is_refused_until_it_is_forgiven(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(LADDER).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = async || heard_at(&postfix).await;
    make_bad(&tempfail, client).await?;
    let heard = client().await?;
    assert!(heard.starts_with("550 5.7.1 "), "{heard}");
    assert!(said(&heard).contains("[192.0.2.7] Mail from this host is refused"), "{heard}");
    tempfail.last()?.must_say(&[("action", "reject"), ("reason", "refused"), ("standing", "Bad")])?;
    let neighbour = stranger(postfix.address(), "192.0.2.8")?.send(&mail("b@other.example")).await?;
    assert!(!refusal(&neighbour).starts_with("550"), "{neighbour}");
    let changes = tempfail.state().audit().newest(9);
    assert_eq!((changes.len(), changes[0].who.as_str(), changes[0].key.as_str()), (1, "ladder", "192.0.2.7"));
    say(&tempfail, "192.0.2.7", Effect::Allow)?;
    assert_eq!(client().await?, "-", "let in");
    Ok(())
}

async fn heard_at(postfix: &Postfix) -> Result<String, Failure> {
    Ok(refusal(&stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?))
}

async fn observing_refuses_nobody(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(&LADDER.replace("enforce", "observe")).await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let client = async || heard_at(&postfix).await;
    make_bad(&tempfail, client).await?;
    assert_eq!(client().await?, "-");
    tempfail.last()?.must_say(&[("action", "pass"), ("reason", "refused"), ("would", "reject")])?;
    Ok(())
}

async fn sendmail(tempfail: &Tempfail) -> Result<Sendmail, Failure> {
    Ok(Sendmail::builder().mc(&sendmail_lines(tempfail.milter())?).start().await?)
}

async fn heard_from(sendmail: &Sendmail) -> Result<String, Failure> {
    let client = Visit::to(sendmail.address()).from_source([127, 3, 4, 5]).helo("pc.local");
    Ok(refusal(&client.send(&mail("a@src.example")).await?))
}

async fn sendmail_says_421_for_a_block_and_550_for_a_refusal() -> TestResult {
    let tempfail = Tempfail::start(LADDER).await?;
    let sendmail = sendmail(&tempfail).await?;
    assert_eq!(heard_from(&sendmail).await?, "-");
    say(&tempfail, "127.3.4.0/24", Effect::Block)?;
    let heard = heard_from(&sendmail).await?;
    assert!(heard.starts_with("421 4.7.0 [127.3.4.5] ") && heard.contains("(blocked "), "{heard}");
    say(&tempfail, "127.3.4.0/24", Effect::Reject)?;
    let heard = heard_from(&sendmail).await?;
    assert!(
        heard.starts_with("550 5.7.1 ") && heard.contains("[127.3.4.5] ") && heard.contains("(blocked "),
        "{heard}"
    );
    Ok(())
}

async fn sendmail_says_550_for_who_stays_bad() -> TestResult {
    let tempfail = Tempfail::start(LADDER).await?;
    let sendmail = sendmail(&tempfail).await?;
    let client = async || heard_from(&sendmail).await;
    make_bad(&tempfail, client).await?;
    let heard = client().await?;
    assert!(
        heard.starts_with("550 5.7.1 ") && heard.contains("[127.3.4.5] ") && heard.contains("(refused "),
        "{heard}"
    );
    Ok(())
}
