//! Both front ends serve one ledger: what is seen through both is debited once and hears one answer, and what
//! is seen through either hears the same.

use crate::set_up::{SetUp, mail, proper, refusal, stranger};
use crate::tempfail::{Failure, Line, Tempfail};
use test_support::{Need, Postfix, Suite, TestResult, server_tests};

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Postfix],
        one_mail_through_both_is_debited_once_and_hears_one_answer,
        what_both_refuse_costs_nothing_and_is_held_against_nobody,
        the_limit_of_both_together_is_the_limit,
        either_protocol_gives_the_same_verdict,
    )
}

async fn one_mail_through_both_is_debited_once_and_hears_one_answer() -> TestResult {
    let tempfail = Tempfail::start("mode = \"enforce\"").await?;
    let postfix = SetUp::Both.postfix(&tempfail).await?;
    let mail = mail("news@corp.example").to("good2@dest.example");
    let outcome = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?.send(&mail).await?;
    assert!(outcome.is_accepted(), "{outcome}");

    for recipient in ["good@dest.example", "good2@dest.example"] {
        let asked: Vec<Line> = tempfail.questions();
        let about = |line: &&Line| line.get("recipient") == Some(recipient) && line["stage"] == "rcpt";
        let asked: Vec<&Line> = asked.iter().filter(about).collect();
        let by: Vec<&str> = asked.iter().map(|line| line["protocol"].as_str()).collect();
        assert_eq!(by, ["policy", "milter"], "each front end asked about {recipient}");
        assert_eq!(asked[0]["id"], asked[1]["id"], "and heard the same decision");
    }
    let decisions = tempfail.decisions();
    assert_eq!(decisions.len(), 2, "one line for each recipient");
    assert!(decisions.iter().all(|line| line["protocol"] == "policy" && line["reason"] == "allowed"));
    let [connections, messages, recipients, octets] = tempfail.used(&decisions[0])?;
    assert_eq!((connections, messages, recipients), (1.0, 1.0, 2.0));
    let measured = || tempfail.questions().into_iter().find(|line| line["stage"] == "end-of-message");
    let size: f64 = measured().ok_or("the milter has not seen the end")?["size"].parse()?;
    assert_eq!(octets, size);
    tempfail.until("the end of the session", |tempfail| tempfail.is_over(&decisions[0])).await?;
    let reading = tempfail.explain(&decisions[0])?.identities[0].reading;
    assert_eq!((reading.today, reading.slow.good), (1.0, 0.25), "one message was learned");
    Ok(())
}

async fn what_both_refuse_costs_nothing_and_is_held_against_nobody() -> TestResult {
    let tempfail = Tempfail::start("mode = \"enforce\"\nfirst_contact.suspicious = 0.8").await?;
    let postfix = SetUp::Both.postfix(&tempfail).await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.hung_up, "{outcome}");
    let decision = tempfail.last()?;
    decision.must_say(&[("reason", "first-contact"), ("protocol", "policy")])?;
    // Postfix tells the milter of a recipient that the policy service has refused.
    tempfail.until("the milter's report", |tempfail| tempfail.engine().stats().reports > 0).await?;
    tempfail.until("the end of the session", |tempfail| tempfail.is_over(&decision)).await?;
    assert_eq!(tempfail.decisions().len(), 1);
    assert_eq!(tempfail.used(&decision)?, [0.0; 4]);
    assert_eq!(tempfail.weights(&decision)?, (0.0, 0.0));
    Ok(())
}

async fn the_limit_of_both_together_is_the_limit() -> TestResult {
    let tempfail = Tempfail::start(
        "mode = \"enforce\"\nlimits = { least = 1.0, least_high = 1.0, cold.messages = \"6/h\" }",
    )
    .await?;
    let postfix = with_each_alone(&tempfail).await?;
    let mut admitted = 0;
    for n in 0..9 {
        let service = ["smtp", "policy", "milter"][n % 3];
        let outcome = proper(at(&postfix, service)?, "198.51.100.1", "mail.corp.example")?;
        admitted += usize::from(outcome.send(&mail("news@corp.example")).await?.is_accepted());
    }
    assert_eq!(admitted, 6);
    tempfail.last()?.must_say(&[("reason", "rate-messages"), ("limit", "6")])
}

/// A Postfix with a service for each set-up: `smtp` for both.
async fn with_each_alone(tempfail: &Tempfail) -> Result<Postfix, Failure> {
    let alone = "smtpd_recipient_restrictions = reject_unauth_destination";
    let builder = SetUp::Both.builder(tempfail)?;
    Ok(builder.smtpd("policy", &["smtpd_milters ="]).smtpd("milter", &[alone]).start().await?)
}

fn at(postfix: &Postfix, service: &str) -> Result<std::net::SocketAddr, Failure> {
    postfix.address_of(service).ok_or_else(|| format!("no service {service}").into())
}

/// The same mail from three hosts that differ in nothing but their networks.
async fn either_protocol_gives_the_same_verdict() -> TestResult {
    let configuration = r#"
        mode = "enforce"
        first_contact.suspicious = 0.8
        spamtraps = ["good2@dest.example"]
        [[gateway]]
        domain = "dest.example"
        networks = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]
    "#;
    let tempfail = Tempfail::start(configuration).await?;
    let postfix = with_each_alone(&tempfail).await?;
    let services = [("policy", "192.0.2"), ("milter", "198.51.100"), ("smtp", "203.0.113")];
    let cases = [
        ("first-contact", "good@dest.example", false, 0),
        ("allowed", "good@dest.example", true, 0),
        ("spamtrap", "good2@dest.example", true, 0),
        ("exempt-recipient", "postmaster@dest.example", false, 0),
        ("gateway", "good@dest.example", true, 1),
    ];
    for (n, (reason, recipient, is_proper, elsewhere)) in cases.into_iter().enumerate() {
        let mut heard = Vec::new();
        for (i, (service, network)) in services.into_iter().enumerate() {
            let address = match elsewhere {
                0 => format!("{network}.{}", n + 1),
                _ => format!("100.64.{i}.1"),
            };
            let server = at(&postfix, service)?;
            let host = format!("mail.corp{n}{i}.example");
            let client =
                if is_proper { proper(server, &address, &host) } else { stranger(server, &address) }?;
            let sender = format!("news@corp{n}{i}.example");
            let outcome = client.send(&test_support::smtp::Mail::from(&sender).to(recipient)).await?;
            let line = tempfail.last()?;
            line.must_say(&[("reason", reason), ("client_address", &address)])?;
            let known = ["action", "code", "retry_after", "standing", "mode", "stage"];
            let said = refusal(&outcome).replace(&address, "ADDRESS").replace(&line["id"], "ID");
            let said =
                said.split_once("rejected: ").map_or(said.clone(), |(_, text)| format!("421 4.7.0 {text}"));
            heard.push((known.map(|key| line.get(key).map(str::to_owned)), said));
        }
        assert!(heard.iter().all(|other| *other == heard[0]), "{reason}: {heard:#?}");
    }
    assert_eq!(tempfail.decisions().len(), cases.len() * services.len());
    Ok(())
}
