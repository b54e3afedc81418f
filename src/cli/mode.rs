//! `tempfail mode`: stop all deferring at once, without a look at the configuration.

use super::output::show;
use super::remote::Daemon;
use crate::admin::mode::{Told, Wanted, Word};
use crate::admin::status::Status;
use clap::Args;
use std::fmt;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ModeArgs {
    /// The mode that shall be in force. Without it, the one that is gets shown.
    mode: Option<Word>,
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Sets or shows it. A configuration that cannot be used is no obstacle: it may be the reason for this.
pub(super) fn run(args: &ModeArgs) -> ExitCode {
    args.daemon.talk_anyway(async |client| {
        let told = match args.mode {
            Some(mode) => client.post::<Told>("/v1/mode", &Wanted { mode }).await?,
            None => client.get::<Status>("/v1/status", ()).await?.mode,
        };
        Ok(show(&told, args.json))
    })
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, mode_since, mode_set_by, mode_configured } = self;
        write!(f, "{mode} since {mode_since}")?;
        if let Some(by) = mode_set_by {
            write!(
                f,
                ", set by {by} until a reload or restart brings back {mode_configured}, as the configuration says"
            )?;
        }
        writeln!(f)
    }
}
