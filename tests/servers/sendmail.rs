//! The private Sendmail does what tests with it rely on.

use std::net::{Ipv6Addr, TcpStream};
use test_support::smtp::{Mail, Stage, Visit};
use test_support::{Need, Sendmail, Suite, TestResult, server_tests};

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Sendmail],
        takes_mail_for_known_recipients_only,
        pasted_lines_are_in_force,
        nothing_is_left_behind,
    );
    server_tests!(suite, [Need::Sendmail, Need::Ipv6Loopback], clients_come_over_ipv6_too)
}

fn mail() -> Mail {
    Mail::from("sender@src.example").to("good@dest.example").header("Subject", "a test")
}

async fn takes_mail_for_known_recipients_only() -> TestResult {
    let sendmail = Sendmail::builder().start().await?;
    let mail = mail().to("unknown@dest.example").to("someone@elsewhere.example");
    let outcome = Visit::to(sendmail.address()).from_source([127, 3, 4, 5]).send(&mail).await?;
    assert!(outcome.is_accepted() && !outcome.hung_up, "{outcome}");
    let refusal =
        |recipient| outcome.rcpt(recipient).and_then(|reply| Some((reply.code, reply.enhanced.as_deref()?)));
    assert_eq!(refusal("unknown@dest.example"), Some((550, "5.1.1")), "{outcome}");
    assert_eq!(refusal("someone@elsewhere.example"), Some((550, "5.7.1")), "{outcome}");
    sendmail.traffic().wait_for("Hello [127.3.4.5], pleased to meet you").await?;
    Ok(())
}

async fn clients_come_over_ipv6_too() -> TestResult {
    let sendmail = Sendmail::builder().start().await?;
    let server = sendmail.address_v6().ok_or("no address ::1")?;
    let outcome = Visit::to(server).from_source(Ipv6Addr::LOCALHOST).send(&mail()).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    sendmail.traffic().wait_for("IPv6:").await?;
    Ok(())
}

/// A filter that nobody serves, with the flag that makes its absence a 421.
async fn pasted_lines_are_in_force() -> TestResult {
    let line = "INPUT_MAIL_FILTER(`absent', `S=inet:1@127.0.0.1, F=4, T=C:10s;S:10s;R:10s;E:60s')dnl";
    let sendmail = Sendmail::builder().mc(line).start().await?;
    let outcome = Visit::to(sendmail.address()).send(&mail()).await?;
    assert!(outcome.hung_up, "{outcome}");
    assert_eq!(
        outcome.refusal().map(|(stage, reply)| (stage, reply.code)),
        Some((Stage::Greeting, 421)),
        "{outcome}"
    );
    Ok(())
}

async fn nothing_is_left_behind() -> TestResult {
    let sendmail = Sendmail::builder().start().await?;
    let (address, directory) = (sendmail.address(), sendmail.directory().to_owned());
    assert!(directory.exists() && TcpStream::connect(address).is_ok());
    drop(sendmail);
    assert!(!directory.exists());
    assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
    Ok(())
}
