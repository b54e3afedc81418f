//! The commands that take a state out and put one in: of the running daemon, or of a directory while it is stopped.

use super::migrate;
use super::output::{bad_config, failed, print};
use super::remote::Daemon;
use crate::admin::client::ClientError;
use crate::admin::pipe;
use crate::clock::Clock;
use crate::store::{self, Import, ImportError, Imported};
use clap::Args;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The directory of a stopped daemon's state. Without it the running daemon is asked.
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The directory of a stopped daemon's state; it is made when it does not exist. Without it the running daemon
    /// takes the lines.
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The lines. Without it they come from standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "From")]
    from: Option<PathBuf>,
    /// Forget what is there, and take over all lines. Of a stopped daemon only.
    #[arg(long, requires = "directory", conflicts_with = "From")]
    replace: bool,
    #[command(flatten)]
    other: migrate::From,
    /// Only say what would be taken over from another program, and what not.
    #[arg(long, requires = "From")]
    dry_run: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// Prints a state.
pub(super) fn export(args: &ExportArgs) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let Some(directory) = &args.directory else {
        return args.daemon.talk(async |client| pass_on(client.take("/v1/export").await?, &mut out).await);
    };
    match store::export(directory, &mut out) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn pass_on(mut body: Incoming, out: &mut impl Write) -> Result<ExitCode, ClientError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
        let Ok(octets) = frame.into_data() else { continue };
        if let Err(error) = out.write_all(&octets) {
            return Ok(failed(&error));
        }
    }
    Ok(out.flush().map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS))
}

/// Takes lines into a state.
pub(super) fn import(args: &ImportArgs) -> ExitCode {
    if let Some((program, places)) = args.other.program() {
        let into = migrate::Into {
            directory: args.directory.as_deref(),
            daemon: &args.daemon,
            dry_run: args.dry_run,
        };
        return migrate::carry(program, places, &into);
    }
    let lines: Box<dyn Read + Send> = match &args.from {
        None => Box::new(io::stdin()),
        Some(path) => match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => return failed(&format_args!("{}: {error}", path.display())),
        },
    };
    match &args.directory {
        Some(directory) => import_stopped(args, directory, lines),
        None => import_running(args, lines),
    }
}

fn import_stopped(args: &ImportArgs, directory: &Path, lines: Box<dyn Read + Send>) -> ExitCode {
    let memory = match args.daemon.config() {
        Ok(config) => config.memory,
        Err(error) => return bad_config(&error),
    };
    let how = if args.replace { Import::Replace } else { Import::Merge };
    match store::import(directory, memory, &mut BufReader::new(lines), how, &Clock::system()) {
        Ok(imported) => told(imported),
        Err(ImportError::Store(error)) => failed(&error),
        Err(error @ ImportError::OtherState(_)) => failed(&error),
        Err(wrong) => failed(&in_file(args.from.as_deref(), &wrong.to_string())),
    }
}

fn import_running(args: &ImportArgs, mut lines: Box<dyn Read + Send>) -> ExitCode {
    args.daemon.talk(async |client| {
        let (mut inlet, outlet) = pipe::outgoing();
        // What goes wrong with reading is told by the daemon too, as lines that are cut off.
        std::thread::spawn(move || io::copy(&mut lines, &mut inlet).and_then(|_| inlet.end()));
        let taken = client.send("/v1/import", outlet).await;
        Ok(told(taken.map_err(|error| naming_file(args.from.as_deref(), error))?))
    })
}

/// What is wrong with lines, with the file that they are from. Those of standard input have no other name.
fn in_file(file: Option<&Path>, wrong: &str) -> String {
    file.map_or_else(|| wrong.to_owned(), |file| format!("{}: {wrong}", file.display()))
}

/// The daemon sees lines and no file.
fn naming_file(file: Option<&Path>, error: ClientError) -> ClientError {
    match error {
        ClientError::Refused { status: status @ StatusCode::BAD_REQUEST, what } => {
            ClientError::Refused { status, what: in_file(file, &what) }
        }
        other => other,
    }
}

fn told(imported: Imported) -> ExitCode {
    let Imported { entries, expired, foreign, other_model } = imported;
    let learned = if other_model {
        "\nnot the learned weights: they are of a version whose model has other features"
    } else {
        ""
    };
    print(&format!(
        "{entries} entries taken over, {expired} had expired, {foreign} are of names under another secret{learned}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_file() {
        let file = Some(Path::new("/a/state.jsonl"));
        let wrong = |status| ClientError::Refused { status, what: "line 2: is cut off".to_owned() };
        let bad = naming_file(file, wrong(StatusCode::BAD_REQUEST));
        assert_eq!(bad.to_string(), "/a/state.jsonl: line 2: is cut off");
        let busy = naming_file(file, wrong(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(busy.to_string(), "line 2: is cut off", "not about the lines");
        assert_eq!(in_file(None, "line 2: is cut off"), "line 2: is cut off");
    }
}
