//! SIGHUP and SIGTERM of the program, while mail is flowing.

use crate::program::Program;
use crate::set_up::{SetUp, each_set_up, mail, proper, refusal, sendmail_lines};
use crate::tempfail::Failure;
use policy_core::verdict::in_words;
use std::net::SocketAddr;
use std::time::Duration;
use test_support::smtp::{Mail, SmtpClient, Xclient};
use test_support::{Need, Postfix, Sendmail, Suite, TestResult, server_tests};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const TWO_DOMAINS: &str = "
virtual_mailbox_domains = dest.example, bank.example
virtual_mailbox_maps = inline:{ good@dest.example=x good2@dest.example=x teller@bank.example=x }
";
const GATEWAY: &str = "mode = \"enforce\"\n[[gateway]]\ndomain = \"bank.example\"\nnetworks = []";
const PATIENCE: Duration = Duration::from_secs(30);
/// Clients that send at the same time as the program is told to reload.
const SENDERS: u8 = 4;
const RELOADS: usize = 12;

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = each_set_up!(suite, sighup_under_load_drops_nothing, sigterm_lets_sessions_end);
    let suite = server_tests!(suite, [Need::Sendmail], sigterm_lets_sessions_of_sendmail_end);
    server_tests!(suite, [Need::Mounting], after_sighup_the_systems_name_servers_of_now_are_asked)
}

async fn after_sighup_the_systems_name_servers_of_now_are_asked() -> TestResult {
    let (before, now) = (UdpSocket::bind("127.0.0.201:53").await?, UdpSocket::bind("127.0.0.202:53").await?);
    let toml = "[signals]\nenabled = true\n";
    let program = Program::start_with_resolv_conf("nameserver 127.0.0.201\n", toml).await?;
    // Nobody answers, which is held against nobody.
    assert_eq!(program.ask("203.0.112.1", 1)?, "action=DUNNO");
    is_asked(&before).await?;
    std::fs::write(program.file().with_file_name("resolv.conf"), "nameserver 127.0.0.202\n")?;
    let told = program.logged();
    program.signal("HUP").await?;
    program.wait_for(told, "configuration reloaded").await?;
    assert_eq!(program.ask("203.0.112.2", 2)?, "action=DUNNO");
    is_asked(&now).await
}

async fn is_asked(server: &UdpSocket) -> TestResult {
    timeout(PATIENCE, server.recv_from(&mut [0; 512])).await.map_err(|_| "nothing was asked")??;
    Ok(())
}

async fn postfix(set_up: SetUp, program: &Program) -> Result<Postfix, Failure> {
    let commands = set_up.commands(program.policy, program.milter)?;
    Ok(Postfix::builder().shell(&commands).main_cf(TWO_DOMAINS).start().await?)
}

/// Ten messages an hour for everybody, known or not, but the senders, who shall only keep the servers busy.
fn ten_an_hour(help: &str) -> String {
    format!(
        "mode = \"enforce\"\nhelp = \"{help}\"\nexempt.clients = [\"198.51.0.0/16\"]\n\
         limits.cold.messages = \"10/h\"\nlimits.least = 1.0\nlimits.least_high = 1.0"
    )
}

/// Sends mail until told to stop, in sessions of three; says how many were sent. A mail that is not accepted
/// is an error.
async fn keep_sending(server: SocketAddr, n: u8, stop: watch::Receiver<bool>) -> Result<usize, Failure> {
    let mut sent = 0;
    while !*stop.borrow() {
        let host = format!("mail.corp{n}.example");
        let mut client = SmtpClient::connect(server).await?;
        client.xclient(&Xclient::from_address([198, 51, n, 1]).name(&host)).await?;
        client.ehlo(&host).await?;
        for _ in 0..3 {
            let outcome = client.send_mail(&mail(&format!("news@corp{n}.example"))).await?;
            if !outcome.is_accepted() {
                return Err(format!("refused under load: {outcome}").into());
            }
            sent += 1;
        }
        client.cmd("QUIT").await?;
    }
    Ok(sent)
}

async fn sighup_under_load_drops_nothing(set_up: SetUp) -> TestResult {
    let program = Program::start(&ten_an_hour("first")).await?;
    let postfix = postfix(set_up, &program).await?;
    let client = proper(postfix.address(), "203.0.113.1", "mail.counted.example")?;
    for _ in 0..5 {
        assert!(client.send(&mail("news@counted.example")).await?.is_accepted());
    }
    let (stop, stopped) = watch::channel(false);
    let mut senders = JoinSet::new();
    (1..=SENDERS).for_each(|n| drop(senders.spawn(keep_sending(postfix.address(), n, stopped.clone()))));
    for n in 0..RELOADS {
        let from = program.logged();
        let bad = n % 3 == 2;
        program.write(&if bad {
            "mode = \"enforcing\"".to_owned()
        } else {
            ten_an_hour(&format!("reload {n}"))
        })?;
        program.signal("HUP").await?;
        let said = if bad {
            "configuration not reloaded, the one before stays in force"
        } else {
            "configuration reloaded"
        };
        program.wait_for(from, said).await?;
        if bad {
            program.wait_for(from, "mode").await?;
        }
    }
    stop.send_replace(true);
    let mut sent = 5;
    while let Some(sender) = senders.join_next().await {
        sent += sender??;
    }
    program.has_decided(sent).await?;
    assert_eq!(postfix.warnings()?, [""; 0], "Postfix has seen nothing of it");
    counters_are_kept(&program, &client, set_up).await
}

/// Five messages were counted before all reloads: five are left. A bad file does not bring a wider limit.
async fn counters_are_kept(
    program: &Program,
    client: &test_support::smtp::Visit,
    set_up: SetUp,
) -> TestResult {
    let from = program.logged();
    program.write(&ten_an_hour("see postmaster.dest.example"))?;
    program.signal("HUP").await?;
    program.wait_for(from, "configuration reloaded").await?;
    for left in (0..5).rev() {
        assert!(client.send(&mail("news@counted.example")).await?.is_accepted(), "{left} left");
    }
    program.write("mode = \"off\"\nlimits.cold.messages = \"many\"")?;
    program.signal("HUP").await?;
    program.wait_for(from, "configuration not reloaded").await?;
    let outcome = client.send(&mail("news@counted.example")).await?;
    program.wait_for(from, "reason=rate-messages").await?;
    let line = program.decisions().pop().ok_or("no decision")?;
    let wait = in_words(Duration::from_secs(line["retry_after"].parse()?));
    let said = format!(
        "[203.0.113.1] Too much mail from this host: limit of 10 messages an hour reached; come back in {wait} \
         (rate-messages {}) see postmaster.dest.example",
        line["id"]
    );
    assert_eq!(refusal(&outcome), set_up.heard(421, "good@dest.example", &said));
    Ok(())
}

async fn sigterm_lets_sessions_end(set_up: SetUp) -> TestResult {
    let mut program = Program::start(GATEWAY).await?;
    let postfix = postfix(set_up, &program).await?;
    let mut client = SmtpClient::connect(postfix.address()).await?;
    client.xclient(&Xclient::from_address([198, 51, 100, 1]).name("mail.corp.example")).await?;
    client.ehlo("mail.corp.example").await?;
    client.cmd("MAIL FROM:<news@corp.example>").await?;
    assert!(client.cmd("RCPT TO:<good@dest.example>").await?.is_positive());

    program.signal("TERM").await?;
    program.wait_for(0, "stopping").await?;
    nobody_listens(program.policy).await?;
    nobody_listens(program.milter).await?;
    // The session is still judged, to its end.
    let refused = client.cmd("RCPT TO:<teller@bank.example>").await?;
    assert!(refused.code == 451 && refused.text().contains("(gateway "), "{refused}");
    assert!(client.cmd("DATA").await?.is_positive());
    client.send_raw(b"Subject: a test\r\n\r\nText.\r\n.\r\n").await?;
    assert_eq!(client.read_reply().await?.code, 250);
    let second = client.send_mail(&mail("news@corp.example").to("teller@bank.example")).await?;
    assert!(second.is_accepted() && refusal(&second).contains("(gateway "), "{second}");
    // One that begins now meets nobody, and is let in.
    let new = proper(postfix.address(), "198.51.100.2", "mail.corp.example")?;
    let outcome = new.send(&Mail::from("news@corp.example").to("teller@bank.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    client.cmd("QUIT").await?;

    // Postfix keeps its connections to the policy service; with it they end.
    drop(postfix);
    assert!(program.ended().await?.success());
    program.wait_for(0, "stopped").await?;
    assert!(!program.log().iter().any(|line| line.contains("grace is over")));
    Ok(())
}

async fn sigterm_lets_sessions_of_sendmail_end() -> TestResult {
    let toml = "mode = \"enforce\"\nexempt.own_networks = []\nfirst_contact.suspicious = 1.0\n\
                limits.cold.messages = \"2/h\"";
    let mut program = Program::start(toml).await?;
    let sendmail = Sendmail::builder().mc(&sendmail_lines(program.milter)?).start().await?;
    let mut client = SmtpClient::connect_from([127, 3, 4, 5].into(), sendmail.address()).await?;
    client.ehlo("client.example").await?;
    program.signal("TERM").await?;
    program.wait_for(0, "stopping").await?;
    nobody_listens(program.milter).await?;
    for _ in 0..2 {
        let outcome = client.send_mail(&mail("a@src.example")).await?;
        assert!(outcome.is_accepted(), "{outcome}");
    }
    // Still judged, and with its session the program ends.
    let third = client.send_mail(&mail("a@src.example")).await?;
    assert!(third.hung_up && refusal(&third).contains("(rate-messages "), "{third}");
    assert!(program.ended().await?.success());
    Ok(())
}

/// Waits until connections are refused there.
async fn nobody_listens(at: SocketAddr) -> Result<(), Failure> {
    let refused = async {
        while tokio::net::TcpStream::connect(at).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(10), refused).await?)
}
