//! Postfix's milter at the stages other than RCPT: what the client hears at EHLO, MAIL and the end of the
//! message.

use crate::set_up::{SetUp, mail, proper, refusal};
use crate::tempfail::Tempfail;
use policy_core::verdict::in_words;
use std::time::Duration;
use test_support::smtp::{Mail, Stage};
use test_support::{Need, Suite, TestResult, server_tests};

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Postfix],
        too_many_connections_hear_421_at_ehlo,
        too_many_messages_hear_421_at_mail,
        too_many_octets_hear_451_at_the_end_of_the_message,
        too_many_sessions_at_once_hear_421,
    )
}

/// Two mails are let in; the third is refused at `stage` in these words.
async fn third_is_refused(
    toml: &str,
    mail: &Mail,
    (stage, code): (Stage, u16),
    (reason, words): (&str, &str),
) -> TestResult {
    let tempfail = Tempfail::start(&format!("mode = \"enforce\"\n{toml}")).await?;
    let postfix = SetUp::Milter.postfix(&tempfail).await?;
    for address in ["198.51.100.1", "2001:db8::1"] {
        let client = proper(postfix.address(), address, "mail.corp.example")?;
        for _ in 0..2 {
            let outcome = client.send(mail).await?;
            assert!(outcome.is_accepted(), "{outcome}");
        }
        let outcome = client.send(mail).await?;
        let line = tempfail.last()?;
        line.must_say(&[("reason", reason), ("code", &code.to_string()), ("client_address", address)])?;
        let wait = in_words(Duration::from_secs(line["retry_after"].parse()?));
        let said = format!(
            "{code} 4.7.0 [{address}] Too much mail from this host: {words}; come back in {wait} ({reason} {})",
            line["id"]
        );
        assert_eq!(refusal(&outcome), said);
        assert_eq!(outcome.refusal().map(|(stage, _)| stage), Some(stage), "{outcome}");
        assert_eq!(outcome.hung_up, code == 421, "{outcome}");
    }
    Ok(())
}

async fn too_many_connections_hear_421_at_ehlo() -> TestResult {
    let toml = "reply_from = \"helo\"\nlimits.cold.connections = \"2/h\"";
    let said = ("rate-connections", "limit of 2 connections an hour reached");
    third_is_refused(toml, &mail("news@corp.example"), (Stage::Ehlo, 421), said).await
}

async fn too_many_messages_hear_421_at_mail() -> TestResult {
    let toml = "reply_from = \"mail\"\nlimits.cold.messages = \"2/h\"";
    let said = ("rate-messages", "limit of 2 messages an hour reached");
    third_is_refused(toml, &mail("news@corp.example"), (Stage::Mail, 421), said).await
}

async fn too_many_octets_hear_451_at_the_end_of_the_message() -> TestResult {
    let large =
        mail("news@corp.example").body(&"A line that says nothing, many times over.\n".repeat(25_000));
    let toml = "limits.cold.bytes = \"2.5MB/h\"\nlimits.floor.bytes = \"1MB/h\"";
    let said = ("rate-bytes", "limit of 2500000 octets an hour reached");
    third_is_refused(toml, &large, (Stage::Message, 451), said).await
}

async fn too_many_sessions_at_once_hear_421() -> TestResult {
    let tempfail = Tempfail::start("mode = \"enforce\"\nlimits.sessions = 2").await?;
    let postfix = SetUp::Milter.postfix(&tempfail).await?;
    let mut open = Vec::new();
    for accepted in [true, true, false] {
        let mut client = test_support::smtp::SmtpClient::connect(postfix.address()).await?;
        let corp = test_support::smtp::Xclient::from_address([198, 51, 100, 1]).name("mail.corp.example");
        client.xclient(&corp).await?;
        client.ehlo("mail.corp.example").await?;
        let outcome = client.send_mail(&mail("news@corp.example")).await?;
        assert_eq!((outcome.is_accepted(), outcome.hung_up), (accepted, !accepted), "{outcome}");
        open.push(client);
    }
    let refused = tempfail.last()?;
    refused.must_say(&[("reason", "concurrency"), ("limit", "2"), ("of", "sessions at the same time")])?;
    open.remove(0).cmd("QUIT").await?;
    let room = |tempfail: &Tempfail| {
        tempfail.explain(&refused).is_ok_and(|held| held.allotments[0].sessions < Some(2))
    };
    tempfail.until("room for another session", room).await?;
    let next = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    assert!(next.send(&mail("news@corp.example")).await?.is_accepted());
    Ok(())
}
