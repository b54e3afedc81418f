//! `tempfail top`.

use super::output::show;
use super::remote::Daemon;
use crate::admin::top::{By, Row, Top, Wanted};
use std::fmt;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What they are ordered by.
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// How many: 20 unless you say otherwise, at most 1000.
    #[arg(short = 'n', value_name = "ROWS")]
    n: Option<usize>,
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Shows who is first. The status is 1 when there is nobody.
pub(super) fn run(args: &Args) -> ExitCode {
    let wanted = Wanted { by: args.by, n: args.n };
    args.daemon.talk(async |client| {
        let top = client.get::<Top>("/v1/top", &wanted).await?;
        let shown = show(&top, args.json);
        Ok(if top.rows.is_empty() { ExitCode::FAILURE } else { shown })
    })
}

impl fmt::Display for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return writeln!(f, "nobody");
        }
        writeln!(
            f,
            "{:<24} {:<36} {:<7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  deferred last because",
            "address", "name", "word", "deferred", "of", "today", "busiest", "good", "bad"
        )?;
        self.rows.iter().try_for_each(|row| row.line(f))
    }
}

impl Row {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (name, word, because) = (or(&self.name), or(&self.standing), or(&self.because));
        let Self { address, deferred, decisions, today, busiest, good, bad, .. } = self;
        writeln!(
            f,
            "{address:<24} {name:<36} {word:<7} {deferred:>8} {decisions:>8} {today:>8.0} {busiest:>8.0} {good:>8.1} {bad:>8.1}  {because}"
        )
    }
}
