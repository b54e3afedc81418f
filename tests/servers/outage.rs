//! The mail goes on when tempfail does not: the table "When tempfail is away" of the documents, measured.
//!
//! Clients come as they are and not by XCLIENT, with which Postfix would open two milter sessions.

use crate::program::Program;
use crate::set_up::{SetUp, mail, sendmail_lines, stranger};
use crate::tempfail::Failure;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;
use test_support::smtp::{SmtpClient, Visit};
use test_support::{Need, Postfix, Sendmail, Suite, TestResult, server_tests};

/// Clients from loopback are judged, so that there is something to see.
const ENFORCE: &str = "mode = \"enforce\"\nexempt.own_networks = []\nfirst_contact.wait = \"0s\"";
/// Seconds that a loaded machine may add.
const SLACK: f64 = 6.0;

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Postfix],
        killed_under_postfix_mail_flows_and_a_new_start_is_found,
        a_restart_between_sessions_costs_them_nothing,
    );
    let suite =
        server_tests!(suite, [Need::Postfix, Need::Sendmail], hanging_mail_flows_within_the_time_limits);
    server_tests!(suite, [Need::Sendmail], stopped_under_sendmail_mail_flows)
}

async fn postfix(set_up: SetUp, program: &Program) -> Result<Postfix, Failure> {
    let commands = set_up.commands(program.policy, program.milter)?;
    Ok(Postfix::builder().shell(&commands).start().await?)
}

/// Sends a mail that must get in, within these seconds and some slack.
async fn takes(seconds: Range<f64>, server: SocketAddr, what: &str) -> TestResult {
    let begun = Instant::now();
    let outcome = Visit::to(server).send(&mail("a@src.example")).await?;
    in_time(begun, seconds, what)?;
    assert!(outcome.is_accepted(), "{what}: {outcome}");
    Ok(())
}

fn in_time(begun: Instant, seconds: Range<f64>, what: &str) -> TestResult {
    let took = begun.elapsed().as_secs_f64();
    eprintln!("{what}: {took:.1} s");
    if took < seconds.start || took > seconds.end + SLACK {
        return Err(format!("{what} took {took:.1} s, not {seconds:?}").into());
    }
    Ok(())
}

/// A session with EHLO said.
async fn open_session(server: SocketAddr) -> Result<SmtpClient, Failure> {
    let mut client = SmtpClient::connect(server).await?;
    client.ehlo("client.example").await?;
    Ok(client)
}

async fn killed_under_postfix_mail_flows_and_a_new_start_is_found() -> TestResult {
    let mut program = Program::start(ENFORCE).await?;
    let [policy, milter, both] = [
        postfix(SetUp::Policy, &program).await?,
        postfix(SetUp::Milter, &program).await?,
        postfix(SetUp::Both, &program).await?,
    ];
    // Seconds for a mail: one for each question to the policy service, which are two in the first set-up.
    let servers = [("policy", &policy, 2.0), ("milter", &milter, 0.0), ("both", &both, 1.0)];
    let mut open = Vec::new();
    for (name, server, _) in servers {
        takes(0.0..0.0, server.address(), name).await?;
        let mut client = open_session(server.address()).await?;
        let first = client.send_mail(&mail("a@src.example")).await?;
        assert!(first.is_accepted(), "{first}");
        open.push(client);
    }
    program.has_decided(6).await?;
    program.signal("KILL").await?;
    program.ended().await?;
    for ((name, server, seconds), mut client) in servers.into_iter().zip(open) {
        let begun = Instant::now();
        let outcome = client.send_mail(&mail("a@src.example")).await?;
        in_time(begun, seconds..seconds, &format!("killed in a session, {name}"))?;
        assert!(outcome.is_accepted(), "{outcome}");
        takes(seconds..seconds, server.address(), &format!("killed before, {name}")).await?;
    }
    let again = Program::start_at(program.policy, program.milter, ENFORCE).await?;
    for (n, (name, server, _)) in servers.into_iter().enumerate() {
        takes(0.0..0.0, server.address(), &format!("started again, {name}")).await?;
        again.has_decided(n + 1).await?;
    }
    Ok(())
}

/// Postfix keeps its connections to the policy service, so the grace period passes; then they are closed
/// between two sessions.
async fn a_restart_between_sessions_costs_them_nothing() -> TestResult {
    let toml = format!("{ENFORCE}\nshutdown.grace = \"1s\"");
    let mut program = Program::start(&toml).await?;
    let policy = postfix(SetUp::Policy, &program).await?;
    takes(0.0..0.0, policy.address(), "before the restart").await?;
    program.signal("TERM").await?;
    assert!(program.ended().await?.success());
    program.wait_for(0, "grace is over").await?;
    let again = Program::start_at(program.policy, program.milter, &toml).await?;
    let begun = Instant::now();
    let outcome = Visit::to(policy.address()).send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted() && begun.elapsed().as_secs_f64() < 1.0, "{:?}: {outcome}", begun.elapsed());
    again.has_decided(1).await?;
    assert_eq!(policy.warnings()?, [""; 0]);
    Ok(())
}

async fn hanging_mail_flows_within_the_time_limits() -> TestResult {
    let program = Program::start(ENFORCE).await?;
    let [policy, milter, both] = [
        postfix(SetUp::Policy, &program).await?,
        postfix(SetUp::Milter, &program).await?,
        postfix(SetUp::Both, &program).await?,
    ];
    let sendmail = Sendmail::builder().mc(&sendmail_lines(program.milter)?).start().await?;
    let mut sessions = Vec::new();
    for server in [milter.address(), sendmail.address()] {
        sessions.push(open_session(server).await?);
    }
    program.signal("STOP").await?;
    let in_session = |name, mut client: SmtpClient| async move {
        let begun = Instant::now();
        let outcome = client.send_mail(&mail("a@src.example")).await?;
        in_time(begun, 10.0..10.0, &format!("hangs in a session, {name}"))?;
        assert!(outcome.is_accepted(), "{outcome}");
        let begun = Instant::now();
        let second = client.send_mail(&mail("a@src.example")).await?;
        assert!(second.is_accepted(), "{second}");
        in_time(begun, 0.0..0.0, &format!("the session's second mail, {name}"))
    };
    let of_sendmail = sessions.pop().ok_or("no session")?;
    let of_postfix = sessions.pop().ok_or("no session")?;
    let results = tokio::join!(
        // A question takes five seconds twice and one between.
        takes(22.0..22.0, policy.address(), "hangs, policy, two questions"),
        takes(10.0..10.0, milter.address(), "hangs, milter"),
        takes(21.0..21.0, both.address(), "hangs, both"),
        takes(10.0..10.0, sendmail.address(), "hangs, Sendmail"),
        in_session("milter", of_postfix),
        in_session("Sendmail", of_sendmail),
    );
    let (a, b, c, d, e, f) = results;
    for result in [a, b, c, d, e, f] {
        result?;
    }
    // It goes on, and nothing is lost or stuck.
    program.signal("CONT").await?;
    for server in [policy.address(), milter.address(), both.address(), sendmail.address()] {
        takes(0.0..0.0, server, "runs again").await?;
    }
    stranger(milter.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    program.wait_for(0, "client_address=192.0.2.7").await?;
    Ok(())
}

async fn stopped_under_sendmail_mail_flows() -> TestResult {
    let mut program = Program::start(ENFORCE).await?;
    let sendmail = Sendmail::builder().mc(&sendmail_lines(program.milter)?).start().await?;
    let mut client = open_session(sendmail.address()).await?;
    let first = client.send_mail(&mail("a@src.example")).await?;
    assert!(first.is_accepted(), "{first}");
    program.has_decided(1).await?;
    program.signal("KILL").await?;
    program.ended().await?;
    let begun = Instant::now();
    let outcome = client.send_mail(&mail("a@src.example")).await?;
    in_time(begun, 0.0..0.0, "killed in a session, Sendmail")?;
    assert!(outcome.is_accepted(), "{outcome}");
    takes(0.0..0.0, sendmail.address(), "killed before, Sendmail").await
}
