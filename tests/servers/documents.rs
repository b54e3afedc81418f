//! What the documents state about Postfix and tempfail together, beyond what the other stories show: each
//! statement is tried.

use crate::set_up::{POSTFIX, SetUp, mail, pasted, proper, refusal, stranger, with_ports};
use crate::tempfail::{Failure, Tempfail};
use std::net::SocketAddr;
use test_support::smtp::{Mail, SmtpClient, Stage, Xclient};
use test_support::{Need, Postfix, Suite, TestResult, server_tests};

const ENFORCE: &str = "mode = \"enforce\"";
const README: &str = include_str!("../../README.md");

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Postfix],
        the_readme_gives_the_milter_line_of_the_document,
        an_unknown_recipient_is_refused_before_anybody_is_asked,
        listed_in_four_lists_it_is_asked_four_times_and_counts_once,
        without_the_data_line_an_accepted_recipient_counts_as_a_message,
        the_default_action_of_the_document_lets_mail_in_and_postfixs_own_does_not,
        what_is_undone_is_undone,
    )
}

/// The lines of the policy service, changed.
async fn changed(tempfail: &Tempfail, change: impl Fn(&str) -> String) -> Result<Postfix, Failure> {
    let commands = SetUp::Policy.commands(tempfail.policy(), tempfail.milter())?;
    Ok(Postfix::builder().shell(&change(&commands)).start().await?)
}

async fn the_readme_gives_the_milter_line_of_the_document() -> TestResult {
    let line = pasted(POSTFIX, "postconf: milter")?;
    assert!(README.contains(&format!("   {line}\n   postfix reload\n")), "{line}");
    // Both default ports stand there as they are built in.
    let defaults = tempfail::Config::default();
    let port = |address: &tempfail::address::Address| address.tcp().map(|tcp| tcp.port());
    assert_eq!(defaults.policy_service.listen.iter().filter_map(port).collect::<Vec<_>>(), [10421]);
    assert_eq!(defaults.milter.listen.iter().filter_map(port).collect::<Vec<_>>(), [10422]);
    Ok(())
}

async fn an_unknown_recipient_is_refused_before_anybody_is_asked() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = SetUp::Policy.postfix(&tempfail).await?;
    for (recipient, code) in [("unknown@dest.example", 550), ("someone@elsewhere.example", 554)] {
        let outcome = stranger(postfix.address(), "192.0.2.7")?
            .send(&Mail::from("a@src.example").to(recipient))
            .await?;
        assert_eq!(outcome.refusal().map(|(_, reply)| reply.code), Some(code), "{outcome}");
    }
    assert!(tempfail.questions().is_empty());
    Ok(())
}

async fn listed_in_four_lists_it_is_asked_four_times_and_counts_once() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let postfix = changed(&tempfail, |commands| {
        let service = format!("check_policy_service {{ inet:{}, default_action=DUNNO }}", tempfail.policy());
        let lists = ["client", "helo", "sender"];
        let lists = lists.map(|list| format!("postconf -e 'smtpd_{list}_restrictions = {service}'"));
        format!("{commands}\n{}", lists.join("\n"))
    })
    .await?;
    let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
    let outcome = client.send(&mail("news@corp.example").to("good2@dest.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    let asked = tempfail.questions();
    assert_eq!(asked.iter().filter(|line| line["stage"] == "rcpt").count(), 8, "four for each recipient");
    let decisions = tempfail.decisions();
    assert_eq!(decisions.len(), 2);
    let [connections, messages, recipients, _] = tempfail.used(&decisions[0])?;
    assert_eq!((connections, messages, recipients), (1.0, 1.0, 2.0));
    Ok(())
}

/// A transaction that ends before DATA is no message; without the line nobody can tell.
async fn without_the_data_line_an_accepted_recipient_counts_as_a_message() -> TestResult {
    for (with_data_line, messages) in [(true, 1.0), (false, 2.0)] {
        let tempfail = Tempfail::start(ENFORCE).await?;
        let lines = if with_data_line { 2 } else { 1 };
        let first = |commands: &str| commands.lines().take(lines).collect::<Vec<_>>().join("\n");
        let postfix = changed(&tempfail, first).await?;
        let mut client = SmtpClient::connect(postfix.address()).await?;
        client.xclient(&Xclient::from_address([198, 51, 100, 1]).name("mail.corp.example")).await?;
        client.ehlo("mail.corp.example").await?;
        client.send_mail(&mail("news@corp.example")).await?;
        client.cmd("MAIL FROM:<news@corp.example>").await?;
        client.cmd("RCPT TO:<good@dest.example>").await?;
        client.cmd("QUIT").await?;
        let decision = tempfail.last()?;
        // Its policy connections end with Postfix, and with them the session.
        drop(postfix);
        tempfail.until("the end of the session", |tempfail| tempfail.is_over(&decision)).await?;
        assert_eq!(tempfail.explain(&decision)?.identities[0].reading.today, messages);
    }
    Ok(())
}

/// Postfix's own default is a 451 for everybody; the document's lines say otherwise.
async fn the_default_action_of_the_document_lets_mail_in_and_postfixs_own_does_not() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let without = |commands: &str| {
        let dead = commands.replace(&tempfail.policy().to_string(), &nowhere.to_string());
        dead.replace(", default_action=DUNNO", "")
    };
    let postfix = changed(&tempfail, without).await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(refusal(&outcome).starts_with("451 4.3.5 "), "{outcome}");
    let commands = with_ports(pasted(POSTFIX, "postconf: both")?, nowhere, nowhere);
    let postfix = Postfix::builder().shell(&commands).start().await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    Ok(())
}

async fn what_is_undone_is_undone() -> TestResult {
    let tempfail = Tempfail::start(ENFORCE).await?;
    let undo =
        POSTFIX.split_once("## Undo").and_then(|(_, text)| text.split("```").nth(1)).ok_or("no lines")?;
    let commands = SetUp::Policy.commands(tempfail.policy(), tempfail.milter())?;
    let milter = SetUp::Milter.commands(tempfail.policy(), tempfail.milter())?;
    let before = "postconf -e 'smtpd_recipient_restrictions = reject_unauth_destination'";
    let steps = format!("{before}\n{commands}\n{milter}\n{undo}\n{before}");
    let postfix = Postfix::builder().shell(&steps).start().await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted() && outcome.replies_at(Stage::Data).len() == 1, "{outcome}");
    assert!(tempfail.questions().is_empty(), "nobody is asked any more");
    Ok(())
}
