//! Tests against real mail servers, each started for its test alone.

mod postfix;
mod sendmail;

use std::process::ExitCode;
use test_support::Suite;

fn main() -> ExitCode {
    let suite = postfix::tests(Suite::new());
    sendmail::tests(suite).run()
}
