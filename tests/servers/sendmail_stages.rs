//! Sendmail, with the lines of the document: a 421 at each stage at which tempfail can give one, what the
//! client hears, and that it is hung up on.
//!
//! Clients come from 127.0.0.0/8 or ::1, so own networks are none here.

use crate::set_up::{mail, refusal, sendmail_lines};
use crate::tempfail::{Failure, MINUTE, Tempfail};
use policy_core::verdict::in_words;
use std::time::Duration;
use test_support::smtp::{Mail, Stage, Visit};
use test_support::{Need, Sendmail, Suite, TestResult, server_tests};

const HOST: [u8; 4] = [127, 3, 4, 5];

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Sendmail],
        too_many_connections_hear_421_at_helo,
        too_many_messages_hear_421_at_mail,
        a_stranger_hears_421_at_rcpt_and_its_retry_passes,
        too_many_octets_hear_it_at_the_end_of_the_message,
        a_recipient_of_a_gateway_hears_451_after_another,
        unknown_recipients_count_and_relaying_does_not,
    );
    server_tests!(suite, [Need::Sendmail, Need::Ipv6Loopback], a_stranger_over_ipv6_hears_421)
}

async fn start(toml: &str) -> Result<(Tempfail, Sendmail), Failure> {
    let tempfail =
        Tempfail::start(&format!("mode = \"enforce\"\n{toml}\n[exempt]\nown_networks = []")).await?;
    let sendmail = Sendmail::builder().mc(&sendmail_lines(tempfail.milter())?).start().await?;
    Ok((tempfail, sendmail))
}

fn client(sendmail: &Sendmail) -> Visit {
    Visit::to(sendmail.address()).from_source(HOST).helo("pc.local")
}

/// Two are let in; the third is refused at `stage` in these words, and hung up on.
async fn third_is_refused(
    (tempfail, sendmail): (Tempfail, Sendmail),
    mail: &Mail,
    stage: Stage,
    reason: &str,
    words: &str,
) -> TestResult {
    for _ in 0..2 {
        let outcome = client(&sendmail).send(mail).await?;
        assert!(outcome.is_accepted(), "{outcome}");
    }
    let outcome = client(&sendmail).send(mail).await?;
    let line = tempfail.last()?;
    line.must_say(&[
        ("action", "defer"),
        ("reason", reason),
        ("code", "421"),
        ("client_address", "127.3.4.5"),
    ])?;
    let wait = in_words(Duration::from_secs(line["retry_after"].parse()?));
    let said = format!("421 4.7.0 [127.3.4.5] {words}; come back in {wait} ({reason} {})", line["id"]);
    assert_eq!(refusal(&outcome), said);
    assert_eq!(outcome.refusal().map(|(stage, _)| stage), Some(stage), "{outcome}");
    assert!(outcome.hung_up, "{outcome}");
    Ok(())
}

async fn too_many_connections_hear_421_at_helo() -> TestResult {
    let toml = "reply_from = \"helo\"\nfirst_contact.suspicious = 1.0\nlimits.cold.connections = \"2/h\"";
    let words = "Too much mail from this host: limit of 2 connections an hour reached";
    third_is_refused(start(toml).await?, &mail("a@src.example"), Stage::Ehlo, "rate-connections", words).await
}

async fn too_many_messages_hear_421_at_mail() -> TestResult {
    let toml = "reply_from = \"mail\"\nfirst_contact.suspicious = 1.0\nlimits.cold.messages = \"2/h\"";
    let words = "Too much mail from this host: limit of 2 messages an hour reached";
    third_is_refused(start(toml).await?, &mail("a@src.example"), Stage::Mail, "rate-messages", words).await
}

async fn too_many_octets_hear_it_at_the_end_of_the_message() -> TestResult {
    let large = mail("a@src.example").body(&"A line that says nothing, many times over.\n".repeat(25_000));
    let toml =
        "first_contact.suspicious = 1.0\nlimits.cold.bytes = \"2.5MB/h\"\nlimits.floor.bytes = \"1MB/h\"";
    // A part of a session that has accepted a recipient: 451, unless 421 is pinned.
    let words = "Too much mail from this host: limit of 2500000 octets an hour reached";
    third_is_refused(
        start(&format!("code = 421\n{toml}")).await?,
        &large,
        Stage::Message,
        "rate-bytes",
        words,
    )
    .await?;
    let (tempfail, sendmail) = start(toml).await?;
    for accepted in [true, true, false] {
        let outcome = client(&sendmail).send(&large).await?;
        assert_eq!((outcome.is_accepted(), outcome.hung_up), (accepted, false), "{outcome}");
    }
    tempfail.last()?.must_say(&[("reason", "rate-bytes"), ("code", "451"), ("stage", "end-of-message")])
}

async fn a_stranger_hears_421_at_rcpt_and_its_retry_passes() -> TestResult {
    let (tempfail, sendmail) = start("first_contact.suspicious = 0.8").await?;
    stranger_waits_once(&tempfail, &client(&sendmail), "127.3.4.5").await
}

async fn a_stranger_over_ipv6_hears_421() -> TestResult {
    let (tempfail, sendmail) = start("first_contact.suspicious = 0.8").await?;
    let server = sendmail.address_v6().ok_or("no address ::1")?;
    stranger_waits_once(&tempfail, &Visit::to(server).helo("pc.local"), "::1").await
}

async fn stranger_waits_once(tempfail: &Tempfail, client: &Visit, address: &str) -> TestResult {
    let outcome = client.send(&mail("a@src.example")).await?;
    let line = tempfail.last()?;
    line.must_say(&[("reason", "first-contact"), ("client_address", address), ("protocol", "milter")])?;
    let words = "This host is new to us; its first message has to wait a little; come back in 3 minutes";
    assert_eq!(refusal(&outcome), format!("421 4.7.0 [{address}] {words} (first-contact {})", line["id"]));
    assert!(outcome.hung_up && outcome.refusal().is_some_and(|(stage, _)| stage == Stage::Rcpt), "{outcome}");
    tempfail.record(&line["id"])?;
    tempfail.pass(5 * MINUTE);
    let outcome = client.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    tempfail.last()?.must_say(&[("reason", "returned"), ("delay", "300")])
}

async fn a_recipient_of_a_gateway_hears_451_after_another() -> TestResult {
    let gateway = "first_contact.wait = \"0s\"\n[[gateway]]\ndomain = \"bank.example\"\nnetworks = []";
    let tempfail =
        Tempfail::start(&format!("mode = \"enforce\"\nexempt.own_networks = []\n{gateway}")).await?;
    let lines = format!("{}\nLOCAL_DOMAIN(`bank.example')dnl", sendmail_lines(tempfail.milter())?);
    let sendmail = Sendmail::builder().mc(&lines).start().await?;
    let alone = client(&sendmail).send(&Mail::from("a@src.example").to("good@bank.example")).await?;
    assert!(
        refusal(&alone)
            .starts_with("421 4.7.0 [127.3.4.5] IP not in whitelist for RCPT domain, closing connection")
    );
    assert!(alone.hung_up, "{alone}");
    let second = client(&sendmail).send(&mail("a@src.example").to("good@bank.example")).await?;
    assert!(refusal(&second).starts_with("451 4.7.0 [127.3.4.5] IP not in whitelist for RCPT domain"));
    assert!(second.is_accepted() && !second.hung_up, "{second}");
    Ok(())
}

async fn unknown_recipients_count_and_relaying_does_not() -> TestResult {
    let (tempfail, sendmail) = start("first_contact.wait = \"0s\"").await?;
    let bad =
        |tempfail: &Tempfail| tempfail.last().and_then(|line| tempfail.weights(&line)).map(|(bad, _)| bad);
    client(&sendmail).send(&mail("a@src.example").to("someone@elsewhere.example")).await?;
    assert_eq!(bad(&tempfail)?, 0.0);
    client(&sendmail).send(&mail("a@src.example").to("unknown@dest.example")).await?;
    tempfail.until("a memory of the guess", |tempfail| bad(tempfail).is_ok_and(|bad| bad == 0.5)).await?;
    Ok(())
}
