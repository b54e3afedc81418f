//! A recipient domain that only some networks may deliver to, and which code a deferral has.

use crate::set_up::{SetUp, each_set_up, mail, proper, refusal};
use crate::tempfail::{Failure, Tempfail};
use test_support::smtp::{Mail, Stage};
use test_support::{Postfix, Suite, TestResult};

const GATEWAY: &str = r#"
    mode = "enforce"
    [[gateway]]
    domain = "bank.example"
    networks = ["203.0.113.0/28", "2001:db8:ba::/48"]
"#;
const TWO_DOMAINS: &str = "
virtual_mailbox_domains = dest.example, bank.example
virtual_mailbox_maps = inline:{ good@dest.example=x good2@dest.example=x teller@bank.example=x }
";

pub(crate) fn tests(suite: Suite) -> Suite {
    each_set_up!(
        suite,
        a_stranger_to_the_gateway_hears_gmails_words_and_421,
        a_second_recipient_at_the_gateway_hears_451_and_the_first_gets_its_mail,
        one_code_may_be_pinned,
    )
}

async fn postfix(set_up: SetUp, tempfail: &Tempfail) -> Result<Postfix, Failure> {
    Ok(set_up.builder(tempfail)?.main_cf(TWO_DOMAINS).start().await?)
}

fn to_the_bank() -> Mail {
    Mail::from("news@corp.example").to("teller@bank.example")
}

async fn a_stranger_to_the_gateway_hears_gmails_words_and_421(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start(GATEWAY).await?;
    let postfix = postfix(set_up, &tempfail).await?;
    for address in ["198.51.100.1", "2001:db8::1"] {
        let client = proper(postfix.address(), address, "mail.corp.example")?;
        let outcome = client.send(&to_the_bank()).await?;
        let decision = tempfail.last()?;
        decision.must_say(&[("action", "defer"), ("reason", "gateway"), ("code", "421")])?;
        let said = format!(
            "[{address}] IP not in whitelist for RCPT domain, closing connection; come back in 60 minutes \
             (gateway {})",
            decision["id"]
        );
        assert_eq!(refusal(&outcome), set_up.heard(421, "teller@bank.example", &said));
        assert!(outcome.hung_up, "{outcome}");
        assert!(client.send(&mail("news@corp.example")).await?.is_accepted(), "another domain is not meant");
    }
    for address in ["203.0.113.9", "2001:db8:ba::9"] {
        let gateway = proper(postfix.address(), address, "relay.filter.example")?;
        let outcome = gateway.send(&to_the_bank()).await?;
        assert!(outcome.is_accepted(), "{outcome}");
    }
    Ok(())
}

async fn a_second_recipient_at_the_gateway_hears_451_and_the_first_gets_its_mail(
    set_up: SetUp,
) -> TestResult {
    let tempfail = Tempfail::start(GATEWAY).await?;
    let postfix = postfix(set_up, &tempfail).await?;
    let mail = mail("news@corp.example").to("teller@bank.example").to("good2@dest.example");
    let outcome = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?.send(&mail).await?;
    assert!(outcome.is_accepted() && !outcome.hung_up, "{outcome}");
    let decisions = tempfail.decisions();
    let reasons: Vec<&str> = decisions.iter().map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, ["allowed", "gateway", "allowed"]);
    let said = format!(
        "[198.51.100.1] IP not in whitelist for RCPT domain, closing connection; come back in 60 minutes \
         (gateway {})",
        decisions[1]["id"]
    );
    assert_eq!(refusal(&outcome), set_up.heard(451, "teller@bank.example", &said));
    decisions[1].must_say(&[("code", "451")])?;
    assert_eq!(outcome.replies_at(Stage::Rcpt).iter().filter(|reply| reply.is_positive()).count(), 2);
    for delivered in ["to=<good@dest.example>", "to=<good2@dest.example>"] {
        postfix.log().wait_for(delivered).await?;
    }
    Ok(())
}

async fn one_code_may_be_pinned(set_up: SetUp) -> TestResult {
    for (code, closes) in [(421, true), (451, false)] {
        let tempfail = Tempfail::start(&format!("code = {code}\n{GATEWAY}")).await?;
        let postfix = postfix(set_up, &tempfail).await?;
        let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
        let alone = client.send(&to_the_bank()).await?;
        let second = client.send(&mail("news@corp.example").to("teller@bank.example")).await?;
        for outcome in [alone, second] {
            assert!(refusal(&outcome).starts_with(&format!("{code} 4.7.0 ")), "{outcome}");
            assert_eq!(outcome.hung_up, closes, "{outcome}");
        }
    }
    Ok(())
}
