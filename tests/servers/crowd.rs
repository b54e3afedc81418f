//! Many sessions at the same time: each mail is decided once, and hears its own decision.

use crate::set_up::{SetUp, each_set_up, mail, refusal};
use crate::tempfail::{Failure, Tempfail};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use test_support::smtp::{SmtpClient, Xclient};
use test_support::{Suite, TestResult};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const SESSIONS: u8 = 50;

pub(crate) fn tests(suite: Suite) -> Suite {
    each_set_up!(suite, fifty_sessions_at_once_are_decided_once_each)
}

/// IPv4 and IPv6 in turn, each in a network of its own.
fn address(n: u8) -> Result<IpAddr, Failure> {
    Ok(if n.is_multiple_of(2) { format!("100.64.{n}.1") } else { format!("2001:db8:{n}::1") }.parse()?)
}

/// Every third is a stranger that has to wait.
const fn is_stranger(n: u8) -> bool {
    n.is_multiple_of(3)
}

/// Opens a session, waits until all are open, and sends; says what was heard.
async fn session(server: SocketAddr, n: u8, all_open: Arc<Barrier>) -> Result<(IpAddr, String), Failure> {
    let address = address(n)?;
    let host = format!("mail.corp{n}.example");
    let mut client = SmtpClient::connect(server).await?;
    let named = Xclient::from_address(address);
    client.xclient(&if is_stranger(n) { named } else { named.name(&host) }).await?;
    client.ehlo(if is_stranger(n) { "pc.local" } else { &host }).await?;
    all_open.wait().await;
    let outcome = client.send_mail(&mail(&format!("news@corp{n}.example"))).await?;
    assert_eq!(outcome.is_accepted(), !is_stranger(n), "{address}: {outcome}");
    Ok((address, refusal(&outcome)))
}

async fn fifty_sessions_at_once_are_decided_once_each(set_up: SetUp) -> TestResult {
    let tempfail = Tempfail::start("mode = \"enforce\"\nfirst_contact.suspicious = 0.8").await?;
    let postfix = set_up.postfix(&tempfail).await?;
    let all_open = Arc::new(Barrier::new(usize::from(SESSIONS)));
    let mut sessions = JoinSet::new();
    for n in 0..SESSIONS {
        sessions.spawn(session(postfix.address(), n, Arc::clone(&all_open)));
    }
    let mut heard = HashMap::new();
    while let Some(session) = sessions.join_next().await {
        let (address, said) = session??;
        heard.insert(address.to_string(), said);
    }
    let decisions = tempfail.decisions();
    assert_eq!(decisions.len(), usize::from(SESSIONS), "one line for each mail");
    for line in &decisions {
        let said =
            heard.remove(&line["client_address"]).ok_or_else(|| format!("a second decision: {line}"))?;
        match line["action"].as_str() {
            "pass" => assert_eq!(said, "-"),
            _ => {
                assert!(said.ends_with(&format!("({} {})", line["reason"], line["id"])), "{said} for {line}")
            }
        }
    }
    assert!(heard.is_empty());
    Ok(())
}
