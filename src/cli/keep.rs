//! The commands that take a state out of its directory and put one in.

use super::migrate;
use super::output::{bad_config, failed, print};
use crate::clock;
use crate::config::{self, Config, ConfigError, DEFAULT_DIRECTORY};
use crate::store::{self, Import};
use clap::Args;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The directory.
    #[arg(value_name = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    directory: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The directory. It is made when it does not exist.
    #[arg(value_name = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    directory: PathBuf,
    /// The lines. Without it they come from standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "From")]
    from: Option<PathBuf>,
    /// Forget what is there, and take over all lines.
    #[arg(long, conflicts_with = "From")]
    replace: bool,
    #[command(flatten)]
    other: migrate::From,
    /// Only say what would be taken over from another program, and what not.
    #[arg(long, requires = "From")]
    dry_run: bool,
    /// The configuration that says how much memory the state may take. Without it,
    /// /etc/tempfail/tempfail.toml is read if it exists.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints a state.
pub(super) fn export(args: &ExportArgs) -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match store::export(&args.directory, &mut out) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Takes lines into a state.
pub(super) fn import(args: &ImportArgs) -> ExitCode {
    let memory = match memory(args) {
        Ok(memory) => memory,
        Err(error) => return bad_config(&error),
    };
    if let Some((program, places)) = args.other.program() {
        let into = migrate::Into { directory: &args.directory, memory, dry_run: args.dry_run };
        return migrate::carry(program, places, &into);
    }
    let lines: Box<dyn Read> = match &args.from {
        None => Box::new(std::io::stdin()),
        Some(path) => match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => return failed(&format_args!("{}: {error}", path.display())),
        },
    };
    let how = if args.replace { Import::Replace } else { Import::Merge };
    let (mut lines, now) = (BufReader::new(lines), clock::system_now());
    match store::import(&args.directory, memory, &mut lines, how, now) {
        Ok(imported) => print(&format!(
            "{} entries taken over, {} had expired, {} are of names under another secret\n",
            imported.entries, imported.expired, imported.foreign
        )),
        Err(error) => failed(&error),
    }
}

fn memory(args: &ImportArgs) -> Result<usize, ConfigError> {
    let file = config::file(args.config.as_deref());
    let config = file.map_or_else(|| Ok(Config::default()), |file| Config::load(&file).map(|c| c.config))?;
    Ok(config.memory)
}
