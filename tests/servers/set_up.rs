//! The lines that the documentation gives to an operator, put into force as they stand there.
//!
//! A test that uses a [`SetUp`] therefore tests the document too. Only the two default ports are replaced, by
//! those of the daemon under test.

use crate::tempfail::{Failure, Tempfail};
use std::net::{IpAddr, SocketAddr};
use test_support::smtp::{Mail, Outcome, Visit, Xclient};
use test_support::{Postfix, PostfixBuilder};

pub(crate) const POSTFIX: &str = include_str!("../../docs/postfix.md");
pub(crate) const SENDMAIL: &str = include_str!("../../docs/sendmail.md");

/// How Postfix asks: the three set-ups of `docs/postfix.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetUp {
    Policy,
    Milter,
    Both,
}

/// Adds each of the named tests once for each set-up, which it takes as its argument. What they need besides
/// this is Postfix alone, unless it is said.
macro_rules! each_set_up {
    ($suite:expr, $($test:ident),+ $(,)?) => {
        $crate::set_up::each_set_up!($suite, [test_support::Need::Postfix], $($test),+)
    };
    ($suite:expr, [$($need:expr),+], $($test:ident),+ $(,)?) => {{
        let mut suite = $suite;
        let needs = [$($need),+];
        for set_up in $crate::set_up::SetUp::ALL {
            $(suite = suite.test(
                &format!("{}::{}::{}", module_path!(), stringify!($test), set_up.name()),
                &needs,
                move || $test(set_up),
            );)+
        }
        suite
    }};
}
pub(crate) use each_set_up;

impl SetUp {
    pub(crate) const ALL: [Self; 3] = [Self::Policy, Self::Milter, Self::Both];

    /// Its name in the document and in test names.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Milter => "milter",
            Self::Both => "both",
        }
    }

    /// The commands of the document, for a daemon that listens at these addresses.
    pub(crate) fn commands(self, policy: SocketAddr, milter: SocketAddr) -> Result<String, Failure> {
        let commands = pasted(POSTFIX, &format!("postconf: {}", self.name()))?;
        Ok(with_ports(commands, policy, milter))
    }

    /// A Postfix that asks `tempfail`.
    pub(crate) async fn postfix(self, tempfail: &Tempfail) -> Result<Postfix, Failure> {
        Ok(self.builder(tempfail)?.start().await?)
    }

    /// The same, to be configured further.
    pub(crate) fn builder(self, tempfail: &Tempfail) -> Result<PostfixBuilder, Failure> {
        Ok(Postfix::builder().shell(&self.commands(tempfail.policy(), tempfail.milter())?))
    }

    /// A refusal at RCPT as the client hears it: the policy service's with Postfix's words before its own. The
    /// policy service is asked first, so with both it is the one that is heard.
    pub(crate) fn heard(self, code: u16, recipient: &str, text: &str) -> String {
        match self {
            Self::Policy | Self::Both => {
                format!("{code} 4.7.0 <{recipient}>: Recipient address rejected: {text}")
            }
            Self::Milter => format!("{code} 4.7.0 {text}"),
        }
    }
}

/// The fenced block that follows `<!-- mark -->` in a document.
pub(crate) fn pasted<'d>(document: &'d str, mark: &str) -> Result<&'d str, Failure> {
    let found = || {
        let (_, after) = document.split_once(&format!("<!-- {mark} -->\n```\n"))?;
        Some(after.split_once("\n```\n")?.0)
    };
    found().ok_or_else(|| format!("no block marked {mark}").into())
}

/// The default ports replaced.
pub(crate) fn with_ports(lines: &str, policy: SocketAddr, milter: SocketAddr) -> String {
    lines.replace("10421", &policy.port().to_string()).replace("10422", &milter.port().to_string())
}

/// The Sendmail lines of the document, for a milter at this port.
pub(crate) fn sendmail_lines(milter: SocketAddr) -> Result<String, Failure> {
    Ok(pasted(SENDMAIL, "mc")?.replace("10422", &milter.port().to_string()))
}

/// A client without a name, which says a name for HELO that is not its own: a suspicious stranger.
pub(crate) fn stranger(server: SocketAddr, address: &str) -> Result<Visit, Failure> {
    let client = Xclient::from_address(address.parse::<IpAddr>()?);
    Ok(Visit::to(server).as_client(client).helo("pc.local"))
}

/// A client that presents itself properly as `host`.
pub(crate) fn proper(server: SocketAddr, address: &str, host: &str) -> Result<Visit, Failure> {
    let client = Xclient::from_address(address.parse::<IpAddr>()?).name(host);
    Ok(Visit::to(server).as_client(client).helo(host))
}

/// A mail to a recipient that exists.
pub(crate) fn mail(from: &str) -> Mail {
    Mail::from(from).to("good@dest.example").header("Subject", "a test")
}

/// The first refusal as one line, `-` when there was none.
pub(crate) fn refusal(outcome: &Outcome) -> String {
    outcome.refusal().map_or_else(|| "-".to_owned(), |(_, reply)| reply.to_string())
}
