//! The part of `import` that takes over from another program.

use super::output::{bad_config, complain, failed, print};
use super::remote::Daemon;
use crate::admin::pipe;
use crate::clock::{self, Clock};
use crate::migrate::{self, Carried, Program};
use crate::store::{self, Imported};
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct From {
    /// Take over from postgrey: its databases and lists, or directories that have them (/etc/postgrey,
    /// /var/lib/postgrey). May be given several times.
    #[arg(long, value_name = "PATH")]
    from_postgrey: Vec<PathBuf>,
    /// Take over from sqlgrey: its database (SQLite) and lists, or directories that have them (/etc/sqlgrey,
    /// /var/lib/sqlgrey). May be given several times.
    #[arg(long, value_name = "PATH")]
    from_sqlgrey: Vec<PathBuf>,
    /// Print what rspamd's ratelimit and greylist settings come to here: files, or directories that have them
    /// (/etc/rspamd). May be given several times.
    #[arg(long, value_name = "PATH")]
    from_rspamd: Vec<PathBuf>,
}

impl From {
    /// The program and its places, when there is one.
    pub(super) fn program(&self) -> Option<(Program, &[PathBuf])> {
        let all = [
            (Program::Postgrey, &self.from_postgrey),
            (Program::Sqlgrey, &self.from_sqlgrey),
            (Program::Rspamd, &self.from_rspamd),
        ];
        all.into_iter().find(|(_, places)| !places.is_empty()).map(|(program, places)| (program, &places[..]))
    }
}

/// Where the state is that clients are taken into: in a directory, or else with the running daemon.
pub(super) struct Into<'a> {
    pub(super) directory: Option<&'a Path>,
    pub(super) daemon: &'a Daemon,
    /// Only say what would be.
    pub(super) dry_run: bool,
}

/// Carries over: clients into the state, lines for the configuration to standard output, a report to standard error.
pub(super) fn carry(program: Program, places: &[PathBuf], into: &Into<'_>) -> ExitCode {
    let now = clock::system_now();
    let carried = match migrate::carry(program, places, now) {
        Ok(carried) => carried,
        Err(error) => return failed(&error),
    };
    if carried.known.is_empty() || into.dry_run {
        return tell(program, &carried, None);
    }
    let Some(directory) = into.directory else {
        return into.daemon.talk(async |client| {
            let (mut inlet, outlet) = pipe::outgoing();
            let known = carried.known.clone();
            std::thread::spawn(move || {
                store::export_known(&known, now, &mut inlet).and_then(|()| inlet.end())
            });
            let taken = client.send("/v1/import", outlet).await?;
            Ok(tell(program, &carried, Some(taken)))
        });
    };
    let memory = match into.daemon.config() {
        Ok(config) => config.memory,
        Err(error) => return bad_config(&error),
    };
    match store::know(directory, memory, &carried.known, &Clock::system()) {
        Ok(taken) => tell(program, &carried, Some(taken)),
        Err(error) => failed(&error),
    }
}

fn tell(program: Program, carried: &Carried, taken: Option<Imported>) -> ExitCode {
    complain(&report(program, carried, taken));
    if carried.settings.is_empty() {
        return ExitCode::SUCCESS;
    }
    print(&format!(
        "# From {program}, for /etc/tempfail/tempfail.toml. Each line belongs under the [section] that is there already;\n\
         # remove the # before a [section] that is not. What yours says of a key already is to be joined by hand.\n{}",
        carried.settings
    ))
}

fn report(program: Program, carried: &Carried, taken: Option<Imported>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for path in &carried.read {
        let _ = writeln!(text, "read {}", path.display());
    }
    let _ = match taken {
        None if carried.known.is_empty() => writeln!(text, "from {program}: no clients"),
        None => writeln!(
            text,
            "from {program}: {} clients, which a run without --dry-run takes over",
            carried.known.len()
        ),
        Some(Imported { entries, expired, foreign, .. }) => writeln!(
            text,
            "from {program}: {entries} clients taken over; of {expired} nothing is left after so long; {foreign} are no address \
             and no prefix"
        ),
    };
    let lines = carried.settings.len();
    let _ = writeln!(text, "{lines} line{} for the configuration", if lines == 1 { "" } else { "s" });
    let _ = write!(text, "{} not carried over\n{}", carried.left.count(), carried.left);
    text.trim_end().to_owned()
}
