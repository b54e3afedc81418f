//! Senders by number: each with an address, a confirmed reverse name and a domain of its own.
//!
//! Eight share a /24. Every other one says HELO with a name of another domain than its reverse name, and of
//! each of these halves one half has its sender domain verified. So a message has five to eight identities.

use policy_core::facts::{
    Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId, VerifiedBy, VerifiedDomain,
};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Senders of one /24.
const PER_PREFIX: u64 = 8;
/// The first address that senders have: 11.0.0.0 and up, so that a million lie in no special network.
const FIRST: u32 = 0x0b00_0000;

/// Keys in the ledger for each sender, on average: address, an eighth of a prefix, host and domain of the
/// reverse name, host and domain of every other HELO name, and one verified domain or two for a claim.
pub(crate) const KEYS_PER_SENDER: f64 = 1.0 + 0.125 + 2.0 + 1.0 + 1.5;

/// The address of sender `n`.
fn address(n: u64) -> IpAddr {
    let prefix = (n / PER_PREFIX) as u32;
    let host = 10 + 17 * (n % PER_PREFIX) as u32;
    IpAddr::V4(Ipv4Addr::from_bits(FIRST + (prefix << 8) + host))
}

/// A question about a message of sender `n` for one recipient, in a session of its own.
pub(crate) fn question(n: u64, port: u16, transaction: u64) -> Facts {
    let domain = format!("sender{n}.example");
    let client = known_client(n, &domain);
    let mut facts = at_rcpt(client, &format!("news-{n}@{domain}"), port, transaction);
    if n % 4 >= 2 {
        facts
            .message
            .verified
            .extend(DomainName::new(&domain).map(|domain| VerifiedDomain { domain, by: VerifiedBy::Spf }));
    }
    facts
}

fn known_client(n: u64, domain: &str) -> Client {
    let name = DomainName::new(&format!("mx.{domain}"));
    let helo = match n % 2 {
        0 => format!("mx.{domain}"),
        _ => format!("out.host{n}.example"),
    };
    Client {
        reverse_name: name.clone(),
        name,
        helo: Some(helo.into()),
        tls: Some(true),
        ..Client::new(address(n))
    }
}

/// A question about a stranger without a reverse name, whose HELO name is not its own.
pub(crate) fn stranger(n: u64, port: u16, transaction: u64) -> Facts {
    // 64 million addresses that are nobody's of the above.
    let address = Ipv4Addr::from_bits(0x4000_0000 + (n % (1 << 26)) as u32);
    let client = Client {
        helo: Some(format!("pc{n}.local").into()),
        tls: Some(false),
        ..Client::new(IpAddr::V4(address))
    };
    at_rcpt(client, &format!("offer@shop{n}.example"), port, transaction)
}

fn at_rcpt(client: Client, sender: &str, port: u16, transaction: u64) -> Facts {
    Facts {
        session: SessionId::Tcp(SocketAddr::new(client.address, port)),
        front_end: FrontEnd::Policy,
        stage: Stage::Rcpt,
        transaction: Some(TransactionId(transaction)),
        client,
        envelope: Envelope {
            sender: Sender::new(sender),
            recipient: Mailbox::new("good@dest.example"),
            accepted_recipients: Some(0),
        },
        message: Message { size: Some(20_000), ..Message::default() },
        findings: Findings::default(),
    }
}
