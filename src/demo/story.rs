//! The story: who comes, and what they do.

use super::DemoError;
use super::stage::{Over, Stage};
use super::wire::{Host, Mail};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const PARTNER: Host =
    Host { address: "198.51.100.10", name: "mail.partner.example", helo: "mail.partner.example" };
const SHOP: Host =
    Host { address: "198.51.100.77", name: "smtp.newshop.example", helo: "smtp.newshop.example" };
const STRANGER: Host = Host { address: "192.0.2.7", name: "unknown", helo: "pc.local" };
const SISTER: Host = Host { address: "192.0.2.9", name: "unknown", helo: "pc.local" };
const HARVESTER: Host =
    Host { address: "203.0.113.200", name: "vps.cheap.example", helo: "vps.cheap.example" };

const fn mail(from: &'static str, to: &'static str) -> Mail {
    Mail { from, to, spam: false }
}

const ORDERS: Mail = mail("orders@partner.example", "good@dest.example");
const OFFER: Mail = mail("news@newshop.example", "good@dest.example");
const HELLO: Mail = mail("ann@elsewhere.example", "good@dest.example");

/// Tells it all.
pub(super) async fn tell() -> Result<(), DemoError> {
    let mut stage = Stage::set().await?;
    let (policy, milter) = stage.addresses();
    stage.page.prose(&format!(
        "This is the daemon, in enforce mode, with Postfix's policy protocol on {policy} and the milter protocol \
         on {milter}. What follows goes through these sockets; only the clock is moved by hand."
    ))?;
    trusted(&mut stage).await?;
    warming_up(&mut stage).await?;
    patient(&mut stage).await?;
    trapped(&mut stage).await?;
    gateway(&mut stage).await?;
    spike(&mut stage).await?;
    explained(&stage)?;
    stage.page.verbatim(PASTE)?;
    stage.strike().await;
    Ok(())
}

async fn trusted(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A trusted sender")?;
    stage.page.prose("A business partner has sent twenty messages a day for a month.")?;
    for _ in 0..30 {
        for _ in 0..20 {
            stage.send(Over::Policy, &PARTNER, &ORDERS).await?;
        }
        stage.pass(DAY);
    }
    stage.show(Over::Policy, &PARTNER, &ORDERS).await?;
    stage.show(Over::Milter, &PARTNER, &ORDERS).await
}

async fn warming_up(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A stranger that warms up")?;
    stage.page.prose(
        "A new shop presents itself properly: a confirmed name, the same name in HELO, a sender of that domain. \
         It does not wait at all. A stranger's allowance is 60 messages, and it grows while they are let in and \
         nothing is said against them.",
    )?;
    stage.show(Over::Policy, &SHOP, &OFFER).await?;
    let more = count(stage, Over::Policy, &SHOP, &OFFER, 499).await?;
    stage.page.prose(&format!("Of 499 more within the minute, {more} come in. Then:"))?;
    stage.show(Over::Policy, &SHOP, &OFFER).await?;
    for _ in 0..7 {
        stage.pass(DAY);
        for _ in 0..6 {
            count(stage, Over::Policy, &SHOP, &OFFER, 30).await?;
            stage.pass(HOUR);
        }
    }
    stage.pass(DAY);
    let now = count(stage, Over::Policy, &SHOP, &OFFER, 900).await?;
    stage.page.prose(&format!(
        "A week later, with some 180 messages a day and nothing held against it, it sends 900 at once; {now} come in."
    ))?;
    Ok(())
}

async fn patient(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A patient retry")?;
    stage
        .page
        .prose("Another stranger has no reverse name and says HELO with a name that is not its own.")?;
    stage.show(Over::Milter, &STRANGER, &HELLO).await?;
    stage.pass(MINUTE);
    stage
        .page
        .prose("It comes back too soon, which neither helps nor hurts; then in time, from a neighbour.")?;
    stage.show(Over::Milter, &STRANGER, &HELLO).await?;
    stage.pass(4 * MINUTE);
    stage.show(Over::Milter, &SISTER, &HELLO).await
}

async fn trapped(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A spamtrap")?;
    stage.page.prose(
        "A rented server, all in order by its looks, writes to an address that was never given to anybody.",
    )?;
    let trap = mail("deals@cheap.example", "trap@dest.example");
    let next = mail("deals@cheap.example", "good@dest.example");
    stage.show(Over::Milter, &HARVESTER, &trap).await?;
    for _ in 0..2 {
        stage.send(Over::Milter, &HARVESTER, &trap).await?;
    }
    stage.page.prose("After two more such messages, this is what its mail to real people meets:")?;
    count(stage, Over::Milter, &HARVESTER, &next, 8).await?;
    stage.show(Over::Milter, &HARVESTER, &next).await
}

async fn gateway(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A gateway domain")?;
    stage.page.prose(
        "bank.example has all its mail filtered elsewhere first, so only that service's network may deliver to it. \
         Whoever goes around it hears Gmail's words for the case.",
    )?;
    stage.show(Over::Policy, &PARTNER, &mail("orders@partner.example", "clerk@bank.example")).await
}

async fn spike(stage: &mut Stage) -> Result<(), DemoError> {
    stage.page.heading("A spike")?;
    stage.page.prose(
        "The partner's password is stolen. Within a quarter of an hour its server sends 900 messages, and the content \
         filter calls each of them spam.",
    )?;
    let spam = Mail { spam: true, ..ORDERS };
    let mut leaked = 0;
    for second in 0..900 {
        leaked += usize::from(stage.send(Over::Milter, &PARTNER, &spam).await?);
        if second == 5 {
            stage.show(Over::Milter, &PARTNER, &spam).await?;
        }
        stage.pass(Duration::from_secs(1));
    }
    stage.page.prose(&format!("{leaked} of the 900 came in. Everything after that heard:"))?;
    stage.show(Over::Milter, &PARTNER, &spam).await?;
    stage.page.prose("The password is changed. A day later, without anybody's doing:")?;
    stage.pass(DAY);
    stage.show(Over::Policy, &PARTNER, &ORDERS).await
}

fn explained(stage: &Stage) -> Result<(), DemoError> {
    stage.page.heading(&format!("What is held of {} now", PARTNER.address))?;
    if let Some(explanation) = stage.explain(&PARTNER) {
        stage.page.verbatim(&explanation.to_string())?;
    }
    Ok(())
}

/// Sends the same mail some times; how many came in.
async fn count(
    stage: &mut Stage,
    over: Over,
    host: &Host,
    mail: &Mail,
    times: usize,
) -> Result<usize, DemoError> {
    let mut came_in = 0;
    for _ in 0..times {
        came_in += usize::from(stage.send(over, host, mail).await?);
    }
    Ok(came_in)
}

/// The lines of docs/postfix.md and docs/sendmail.md; a test compares them.
const PASTE: &str = "
Try it on your own mail. Start the daemon; without a configuration it only observes and accepts everything:

  tempfail serve

and let your mail server ask it. Postfix:

  postconf -e 'smtpd_milters = { inet:127.0.0.1:10422, connect_timeout=5s, command_timeout=10s, content_timeout=30s, default_action=accept }'
  postfix reload

Sendmail, in sendmail.mc:

  INPUT_MAIL_FILTER(`tempfail', `S=inet:10422@127.0.0.1, F=, T=C:10s;S:10s;R:10s;E:60s')dnl
  define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT`, {client_addr}, {client_name}, {client_port}, {client_ptr}, {client_resolve}')dnl

Both accept mail as before whenever the daemon is away. docs/postfix.md and docs/sendmail.md say why, and how to undo it.
";

#[cfg(test)]
mod tests {
    use super::PASTE;

    #[test]
    fn the_lines_to_paste_are_those_of_the_documents() {
        let documents =
            concat!(include_str!("../../docs/postfix.md"), include_str!("../../docs/sendmail.md"));
        let pasted = ["postconf", "INPUT", "define"];
        let lines =
            PASTE.lines().map(str::trim).filter(|line| pasted.iter().any(|word| line.starts_with(word)));
        assert_eq!(lines.inspect(|line| assert!(documents.contains(line), "{line}")).count(), 3);
    }
}
