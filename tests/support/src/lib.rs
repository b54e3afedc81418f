//! What the tests of `tempfail` share: real mail servers of their own, an SMTP client, a runner.
//!
//! - [`Postfix`] and [`Sendmail`] start a private server on loopback, under a fresh directory, from
//!   configuration lines taken as an operator would paste them. Nothing of the system's own mail
//!   set-up is read or touched, and nothing is left behind, however the test ends.
//! - [`Dovecot`] keeps mailboxes, [`Rspamd`] and [`SpamAssassin`] scan content, as private.
//! - [`Rbldnsd`] is a DNS server for lists, as private.
//! - [`Greylisting`] is a postgrey or sqlgrey, as private, for who comes from there.
//! - [`MaxMind`] writes files of network operators and countries.
//! - [`smtp`] is the client on the other side: one command at a time, or a whole visit whose
//!   [`smtp::Outcome`] tells which stage got which reply and who hung up.
//! - [`Suite`] runs the tests that need such servers. Where a server is missing it names the tests it
//!   leaves out and why; with `TEMPFAIL_REQUIRE_SERVERS` set it fails them instead.
//!
//! Invariant: no wait is without a deadline, and none is a bare sleep: each waits for an event.
//!
//! Known limits: Linux, root and Debian's packages only, since both mail servers start as root.

mod command;
mod diagnostics;
mod dovecot;
mod error;
mod greylister;
mod instance;
mod log;
mod maxmind;
mod need;
mod ports;
mod postfix;
mod rbldnsd;
mod rspamd;
mod sendmail;
pub mod smtp;
mod spamassassin;
mod suite;

pub use dovecot::{Dovecot, Imap};
pub use error::Error;
pub use greylister::{Greylister, Greylisting};
pub use log::Log;
pub use maxmind::{MaxMind, Value};
pub use need::{Need, traces};
pub use postfix::{Postfix, PostfixBuilder};
pub use rbldnsd::Rbldnsd;
pub use rspamd::Rspamd;
pub use sendmail::{Sendmail, SendmailBuilder};
pub use spamassassin::SpamAssassin;
pub use suite::{Suite, TestResult};
