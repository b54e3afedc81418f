//! The private Postfix does what tests with it rely on.

use std::net::{Ipv6Addr, TcpStream};
use test_support::smtp::{Mail, SmtpClient, Stage, Visit, Xclient};
use test_support::{Need, Postfix, Suite, TestResult, server_tests};

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Postfix],
        takes_mail_for_known_recipients_only,
        xclient_changes_the_address_in_the_log,
        pasted_lines_are_in_force,
        shell_commands_reach_this_instance_only,
        a_service_has_options_of_its_own,
        lines_pasted_later_are_in_force_after_a_reload,
        nothing_is_left_behind,
    )
}

fn mail() -> Mail {
    Mail::from("sender@src.example").to("good@dest.example").header("Subject", "a test")
}

async fn takes_mail_for_known_recipients_only() -> TestResult {
    let postfix = Postfix::builder().start().await?;
    let mail = mail().to("unknown@dest.example").to("someone@elsewhere.example");
    let outcome = Visit::to(postfix.address()).send(&mail).await?;
    assert!(outcome.is_accepted() && !outcome.hung_up, "{outcome}");
    let refusal =
        |recipient| outcome.rcpt(recipient).and_then(|reply| Some((reply.code, reply.enhanced.as_deref()?)));
    assert_eq!(refusal("unknown@dest.example"), Some((550, "5.1.1")), "{outcome}");
    assert_eq!(refusal("someone@elsewhere.example"), Some((554, "5.7.1")), "{outcome}");
    postfix.log().wait_for("to=<good@dest.example>, relay=none").await?;
    Ok(())
}

async fn xclient_changes_the_address_in_the_log() -> TestResult {
    let postfix = Postfix::builder().start().await?;
    let v4 = Xclient::from_address([192, 0, 2, 7]).name("mail.src.example").port(4321);
    let v6 = Xclient::from_address("2001:db8::25".parse::<Ipv6Addr>()?);
    for client in [v4, v6] {
        let outcome = Visit::to(postfix.address()).as_client(client).send(&mail()).await?;
        assert!(outcome.is_accepted(), "{outcome}");
    }
    postfix.log().wait_for("client=mail.src.example[192.0.2.7]").await?;
    postfix.log().wait_for("client=unknown[2001:db8::25]").await?;
    Ok(())
}

async fn pasted_lines_are_in_force() -> TestResult {
    let lines = "
        # One client is told to come back.
smtpd_recipient_restrictions =
    reject_unauth_destination,
    # a comment between continued lines
    check_client_access inline:{ { 192.0.2.7 = 421 4.7.0 Try again later } },
    permit
";
    let postfix = Postfix::builder().main_cf(lines).start().await?;
    let visit = |last| Visit::to(postfix.address()).as_client(Xclient::from_address([192, 0, 2, last]));
    let deferred = visit(7).send(&mail().to("good2@dest.example")).await?;
    assert!(deferred.hung_up, "{deferred}");
    let Some((Stage::Rcpt, reply)) = deferred.refusal() else {
        return Err(format!("no refusal at RCPT: {deferred}").into());
    };
    assert_eq!((reply.code, reply.enhanced.as_deref()), (421, Some("4.7.0")), "{deferred}");
    assert!(reply.text().ends_with("Try again later"), "{deferred}");
    let accepted = visit(8).send(&mail()).await?;
    assert!(accepted.is_accepted(), "{accepted}");
    Ok(())
}

async fn shell_commands_reach_this_instance_only() -> TestResult {
    let commands = "postconf -e 'smtpd_client_restrictions = static:{550 5.7.1 Not today}'";
    let postfix = Postfix::builder().shell(commands).start().await?;
    let outcome = Visit::to(postfix.address()).send(&mail()).await?;
    assert_eq!(
        outcome.refusal().map(|(stage, reply)| (stage, reply.code)),
        Some((Stage::Rcpt, 550)),
        "{outcome}"
    );
    assert!(!outcome.hung_up, "{outcome}");
    let untouched = Postfix::builder().start().await?;
    let outcome = Visit::to(untouched.address()).send(&mail()).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    Ok(())
}

async fn a_service_has_options_of_its_own() -> TestResult {
    let options = [
        "smtpd_delay_reject = no",
        "smtpd_client_restrictions = check_client_access static:{421 4.7.0 Later}",
    ];
    let postfix = Postfix::builder().smtpd("closed", &options).start().await?;
    let closed = postfix.address_of("closed").ok_or("the service is not there")?;
    let mut client = SmtpClient::connect(closed).await?;
    assert_eq!(client.greeting().code, 421);
    client.closed_by_server().await?;
    let outcome = Visit::to(closed).send(&mail()).await?;
    assert!(outcome.hung_up, "{outcome}");
    assert_eq!(outcome.refusal().map(|(stage, reply)| (stage, reply.code)), Some((Stage::Greeting, 421)));
    let outcome = Visit::to(postfix.address()).send(&mail()).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    Ok(())
}

async fn lines_pasted_later_are_in_force_after_a_reload() -> TestResult {
    let postfix = Postfix::builder().start().await?;
    let outcome = Visit::to(postfix.address()).send(&mail()).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    postfix.reconfigure("smtpd_sender_restrictions = check_sender_access static:{451 4.7.0 Later}").await?;
    let outcome = Visit::to(postfix.address()).send(&mail()).await?;
    assert_eq!(outcome.refusal().map(|(_, reply)| reply.code), Some(451), "{outcome}");
    Ok(())
}

async fn nothing_is_left_behind() -> TestResult {
    let postfix = Postfix::builder().start().await?;
    let (address, directory) = (postfix.address(), postfix.directory().to_owned());
    assert!(directory.exists() && TcpStream::connect(address).is_ok());
    drop(postfix);
    assert!(!directory.exists());
    assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
    Ok(())
}
