//! `replay`, and `fit`, which replays to learn.

use super::output::{bad_config, failed, print, show};
use crate::config::{self, Config};
use crate::replay::{self, ReplayError};
use serde::Serialize;
use std::fmt::Display;
use std::process::ExitCode;

/// Replays, and reports.
pub(super) fn replay(args: &replay::Args) -> ExitCode {
    let config = match config::file(args.config.as_deref()).map(|file| Config::load(&file)).transpose() {
        Ok(checked) => checked.map_or_else(Config::default, |checked| checked.config),
        Err(error) => return bad_config(&error),
    };
    match args.format {
        replay::Format::Trace => told(replay::replay_traces(args, &config), args.json),
        replay::Format::Maillog => told(replay::maillog::replay(args, &config), args.json),
    }
}

fn told<R: Display + Serialize>(report: Result<R, ReplayError>, json: bool) -> ExitCode {
    match report {
        Ok(report) => show(&report, json),
        Err(error) => failed(&error),
    }
}

/// Fits, and prints the weights, or what they are worth.
pub(super) fn fit(args: &replay::FitArgs) -> ExitCode {
    if args.hold_out {
        return told(replay::hold_out(args), args.json);
    }
    match replay::fit(args) {
        Ok(source) => print(&source),
        Err(error) => failed(&error),
    }
}
