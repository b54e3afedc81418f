//! What commands print, and the status that they end with.

use crate::config::ConfigError;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// A wrong command line (of sysexits.h, as all of these).
pub(super) const EX_USAGE: u8 = 64;
/// What is on standard input is of no use.
pub(super) const EX_DATAERR: u8 = 65;
/// The daemon is not there.
pub(super) const EX_UNAVAILABLE: u8 = 69;
/// The same, for who comes again by himself.
pub(super) const EX_TEMPFAIL: u8 = 75;
/// Not allowed.
pub(super) const EX_NOPERM: u8 = 77;
/// A bad configuration. A supervisor need not try again.
pub(super) const EX_CONFIG: u8 = 78;

pub(super) const STATUSES: &str = "\
Exit status: 0 when all went well, 1 when something failed at run time or nothing is known of what was asked, 64 for \
a wrong command line, 65 for a message that is of no use, 69 when the daemon is not there, 77 without permission, 78 for a configuration that cannot be used; learn and \
feedback end with 75 in place of 69 and 78, so that a mail server comes again; without --strict feedback ends with 0 in \
place of 65, and with 75 in place of 1 and 77, so that it returns nothing.";

pub(super) fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints for people, or for programs as one line of JSON.
pub(super) fn show(what: &(impl Display + Serialize), json: bool) -> ExitCode {
    if !json {
        return print(&what.to_string());
    }
    match serde_json::to_string(what) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => failed(&error),
    }
}

pub(super) fn complain(error: &impl Display) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{error}");
}

pub(super) fn failed(error: &impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

pub(super) fn bad_config(error: &ConfigError) -> ExitCode {
    complain(error);
    ExitCode::from(EX_CONFIG)
}

/// How something ended that says itself what it has to say.
pub(super) fn ended(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
