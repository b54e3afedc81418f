//! Whether a client may send mail for a domain: an evaluator of the Sender Policy Framework (RFC 7208).
//!
//! The path of a check: identity → [`check_host`] → the domain's one record, read whole → its directives from
//! the left, each through macros, DNS and the limits → `redirect`, or neutral → [`SpfOutcome`].
//!
//! Invariant: only the DNS failing to answer is [`SpfResult::TempError`]; whatever is wrong with a record, a
//! name or a limit says the same every time it is asked, so it never is. Nothing asks more than the limits of
//! section 4.6.4 allow: ten terms, each of at most eleven questions, and the client's reverse names once.
//!
//! Known limits: explanations (section 6.2) are checked for syntax but never fetched, since no reply quotes
//! them; records longer than [`MAX_RECORD`] octets or of more than [`MAX_TERMS`] terms are errors for good.
//! How long a check takes is for the caller to bound.

mod evaluate;
mod macros;
mod name;
mod record;
mod result;
mod reverse;

pub use record::{MAX_RECORD, MAX_TERMS};
pub use result::{SpfCause, SpfOutcome, SpfResult};

use crate::dns::Dns;
use policy_core::name::{DomainName, Mailbox, Sender};
use std::net::IpAddr;

/// The arguments of `check_host()` (section 4.1). The receiver's name is none of them: the macro for it is
/// allowed in explanations alone.
#[derive(Clone, Copy, Debug)]
pub struct SpfQuery<'a> {
    /// The client; an IPv4-mapped address counts as the IPv4 address in it.
    pub client: IpAddr,
    /// The HELO or EHLO name, as given.
    pub helo: &'a str,
    /// The sender's local part; `postmaster` takes the place of an empty one (section 4.3).
    pub local_part: &'a str,
    /// The sender's domain, whose record is checked. Without one the result is none.
    pub domain: Option<&'a DomainName>,
}

impl<'a> SpfQuery<'a> {
    /// The MAIL FROM identity of a sender that is not null (section 2.4).
    pub fn mail_from(client: IpAddr, helo: &'a str, sender: &'a Mailbox) -> Self {
        Self { client, helo, local_part: &sender.local_part, domain: sender.domain.as_ref() }
    }

    /// The HELO identity (section 2.3), which stands for a null sender's too; `domain` is the HELO name.
    pub fn helo(client: IpAddr, helo: &'a str, domain: Option<&'a DomainName>) -> Self {
        Self { client, helo, local_part: "postmaster", domain }
    }
}

/// Evaluates the record of the query's domain: `check_host()` of section 4.
pub async fn check_host<D: Dns>(dns: &D, query: &SpfQuery<'_>) -> SpfOutcome {
    evaluate::Evaluation::new(dns, query).run().await
}

/// Checks MAIL FROM, or HELO when the sender is null or not known. A sender without a domain is nobody's: none.
pub async fn check<D: Dns>(dns: &D, client: IpAddr, helo: &str, sender: Option<&Sender>) -> SpfOutcome {
    match sender {
        Some(Sender::Mailbox(mailbox)) => check_host(dns, &SpfQuery::mail_from(client, helo, mailbox)).await,
        Some(Sender::Null) | None => check_helo(dns, client, helo).await,
    }
}

/// Checks HELO; a bare word or an address literal gives none.
pub async fn check_helo<D: Dns>(dns: &D, client: IpAddr, helo: &str) -> SpfOutcome {
    let domain = DomainName::new(helo);
    check_host(dns, &SpfQuery::helo(client, helo, domain.as_ref())).await
}
