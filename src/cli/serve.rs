//! `serve`, and `check-config`, which reads what it would read.

use super::output::{bad_config, complain, print};
use crate::address::Address;
use crate::config::{self, Config, StateDirectory};
use crate::log::{self, Format};
use crate::serve::{ServeError, Source, serve};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
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
pub(super) struct CheckArgs {
    /// The configuration. Without it, /etc/tempfail/tempfail.toml if it exists.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as other commands take it.
    #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
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

/// Serves. What went wrong meanwhile is in the log already; a configuration is checked before there is one.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    let source = Source { named: args.config, state: args.state_dir };
    match serve(source, args.log_format.map(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Config(error)) => bad_config(&error),
        Err(error @ ServeError::Log(_)) => {
            complain(&error);
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Checks a configuration.
pub(super) fn check(args: CheckArgs) -> ExitCode {
    let Some(file) = config::file(args.file.or(args.config).as_deref()) else {
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
