//! `tempfail explain`.

use super::output::show;
use super::remote::Daemon;
use crate::admin::explain::Wanted;
use crate::explain::Explained;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An address, a network, a domain, a mailbox, the id at the end of a reply, or a queue id of the mail server.
    #[arg(value_name = "ADDRESS|NETWORK|DOMAIN|ID|QUEUE-ID")]
    about: String,
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Explains. The status is 1 when nothing is held of it.
pub(super) fn run(args: &Args) -> ExitCode {
    let wanted = Wanted { about: args.about.clone() };
    args.daemon.talk(async |client| {
        let explained = client.get::<Explained>("/v1/explain", &wanted).await?;
        let shown = show(&explained, args.json);
        Ok(if explained.known { shown } else { ExitCode::FAILURE })
    })
}
