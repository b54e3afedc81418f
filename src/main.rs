//! The tempfail program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tempfail::cli::run()
}
