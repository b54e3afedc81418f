//! The command line.

mod keep;

use crate::address::Address;
use crate::config::{self, Config, ConfigError, SAMPLE, StateDirectory};
use crate::log::{self, Format};
use crate::replay::{self, ReplayError};
use crate::serve::{ServeError, Source, serve};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit status for a bad configuration (EX_CONFIG of sysexits.h). A supervisor need not try again.
const EX_CONFIG: u8 = 78;

const STATUSES: &str = "\
Exit status: 0 when all went well, 1 when something failed at run time, 2 for a wrong command line, 78 for a \
configuration that cannot be used.";

/// A receiving-side mail policy engine for Postfix and Sendmail.
#[derive(Debug, Parser)]
#[command(name = "tempfail", version, after_help = STATUSES, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer mail servers until told to stop.
    ///
    /// SIGHUP reads the configuration again, SIGTERM and SIGINT let sessions in progress end and then stop.
    Serve(ServeArgs),
    /// Check a configuration and say everything that is wrong with it.
    CheckConfig(CheckArgs),
    /// Print a configuration with every key at its default, commented.
    Config,
    /// Play a story through a daemon of its own, on loopback: the way to see what this is.
    Demo,
    /// Print the state of a stopped daemon as JSON lines.
    Export(keep::ExportArgs),
    /// Take JSON lines into the state of a stopped daemon.
    ///
    /// Evidence is added to what is there. All lines are read and checked before anything is changed.
    Import(keep::ImportArgs),
    /// Run the engine over a recording of mail before it goes live, and report what it would have done.
    ///
    /// A labelled trace shows how well spam is told from ham, and what enforcing the policy would delay; a mail
    /// log shows what would have been deferred, whose it was, and why.
    Replay(replay::Args),
    /// Fit the weights that ship with the program, and print them as its source text.
    #[command(hide = true)]
    Fit(replay::FitArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The configuration. Without it, /etc/tempfail/tempfail.toml is read if it exists; every key has a
    /// default.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the state is kept, whatever the configuration says: a directory, or "" for memory only.
    #[arg(long, value_name = "DIRECTORY", value_parser = state_directory)]
    state_dir: Option<StateDirectory>,
    /// How log lines are written, whatever the configuration says.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration. Without it, /etc/tempfail/tempfail.toml if it exists.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// As in the configuration, but a path may be relative.
fn state_directory(text: &str) -> Result<StateDirectory, std::io::Error> {
    Ok(match StateDirectory::parse(text) {
        StateDirectory::At(path) => StateDirectory::At(std::path::absolute(path)?),
        other => other,
    })
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Runs the program.
pub fn run() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(args) => {
            let source = Source { named: args.config, state: args.state_dir };
            serve_status(serve(source, args.log_format.map(Into::into)))
        }
        Command::Export(args) => keep::export(&args),
        Command::Import(args) => keep::import(&args),
        Command::CheckConfig(args) => check(args),
        Command::Config => print(SAMPLE),
        Command::Demo => demo(),
        Command::Replay(args) => replay(&args),
        Command::Fit(args) => fit(&args),
    }
}

/// What went wrong while serving is in the log already; a configuration is checked before there is one.
fn serve_status(served: Result<(), ServeError>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Config(error)) => bad_config(&error),
        Err(error @ ServeError::Log(_)) => {
            complain(&error);
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn fit(args: &replay::FitArgs) -> ExitCode {
    match replay::fit(args) {
        Ok(source) => print(&source),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn demo() -> ExitCode {
    match crate::demo::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Why a replay said nothing.
enum Unplayed {
    Config(ConfigError),
    Replay(ReplayError),
    Json(serde_json::Error),
}

fn replay(args: &replay::Args) -> ExitCode {
    match replayed(args) {
        Ok(text) => print(&text),
        Err(Unplayed::Config(error)) => bad_config(&error),
        Err(Unplayed::Replay(error)) => failed(&error),
        Err(Unplayed::Json(error)) => failed(&error),
    }
}

fn replayed(args: &replay::Args) -> Result<String, Unplayed> {
    let config = match config::file(args.config.as_deref()) {
        Some(file) => Config::load(&file).map_err(Unplayed::Config)?.config,
        None => Config::default(),
    };
    match args.format {
        replay::Format::Trace => told(replay::replay_traces(args, &config), args.json),
        replay::Format::Maillog => told(replay::maillog::replay(args, &config), args.json),
    }
}

fn told<R: Display + Serialize>(report: Result<R, ReplayError>, json: bool) -> Result<String, Unplayed> {
    let report = report.map_err(Unplayed::Replay)?;
    if !json {
        return Ok(report.to_string());
    }
    serde_json::to_string(&report).map(|text| text + "\n").map_err(Unplayed::Json)
}

fn failed(error: &impl Display) -> ExitCode {
    complain(error);
    ExitCode::FAILURE
}

fn bad_config(error: &ConfigError) -> ExitCode {
    complain(error);
    ExitCode::from(EX_CONFIG)
}

fn complain(error: &impl Display) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{error}");
}

fn check(args: CheckArgs) -> ExitCode {
    let Some(file) = config::file(args.file.as_deref()) else {
        return print(&format!("{} does not exist: the defaults are in force\n", config::DEFAULT_FILE));
    };
    match Config::load(&file) {
        Ok(checked) => {
            let mut text: String = checked.warnings.iter().map(|warning| format!("{warning}\n")).collect();
            text.push_str(&format!("{}: ok, {}\n", file.display(), summary(&checked.config)));
            print(&text)
        }
        Err(error) => bad_config(&error),
    }
}

/// What an operator may want to see at a glance.
fn summary(config: &Config) -> String {
    let at = |addresses: &[Address]| match addresses {
        [] => "nowhere".to_owned(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    };
    let mode = log::mode(config.policy.mode);
    let (policy, milter) = (at(&config.policy_service.listen), at(&config.milter.listen));
    format!("mode {mode}, policy service on {policy}, milter on {milter}")
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
