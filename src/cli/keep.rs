//! The commands that take a state out and put one in: of the running daemon, or of a directory while it is stopped.

use super::migrate;
use super::output::{bad_config, complain, failed, print};
use super::private::PrivateFile;
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
    /// Where it is written: to a file that its owner alone may read, and that is there whole or not at all. Without it
    /// the state is printed.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
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

/// Prints or writes a state.
pub(super) fn export(args: &ExportArgs) -> ExitCode {
    let Some(path) = &args.to else {
        return export_into(args, &mut BufWriter::new(io::stdout().lock()));
    };
    let untold = |error: io::Error| failed(&format_args!("{}: {error}", path.display()));
    match PrivateFile::create(path) {
        Ok(mut file) => match export_into(args, &mut file) {
            ExitCode::SUCCESS => file.finish().map_or_else(untold, |()| ExitCode::SUCCESS),
            other => other,
        },
        Err(error) => untold(error),
    }
}

fn export_into(args: &ExportArgs, out: &mut impl Write) -> ExitCode {
    let Some(directory) = &args.directory else {
        return args.daemon.talk(async |client| pass_on(client.take("/v1/export").await?, out).await);
    };
    match store::export(directory, out) {
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
    if imported.again {
        complain(&"these lines were taken over before: what they say counts once more now");
    }
    print(&in_words(imported))
}

/// What was left out is told if there is any, and why: most of it is nothing to worry about.
fn in_words(imported: Imported) -> String {
    let Imported { entries, expired, foreign, other_model, .. } = imported;
    let expired = format!(
        "{expired} left out, with which nothing is lost: they have run out meanwhile (a deferral that is over, an \
         allowance that is whole again, evidence that has faded)"
    );
    let foreign =
        format!("{foreign} left out: they are of names under another secret, which nobody can translate");
    let learned = "learned weights left out: they are of a version whose model has other features";
    let left = [(imported.expired > 0, &*expired), (imported.foreign > 0, &foreign), (other_model, learned)];
    let left = left.into_iter().filter(|(is, _)| *is).map(|(_, told)| format!("{told}\n"));
    std::iter::once(format!("{entries} entries taken over\n")).chain(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_with_what_it_means() {
        let imported = Imported { entries: 5, ..Imported::default() };
        assert_eq!(in_words(imported), "5 entries taken over\n");
        let told = in_words(Imported { expired: 2, foreign: 3, other_model: true, ..imported });
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            lines.len() == 4 && lines[1].starts_with("2 left out, with which nothing is lost: "),
            "{told}"
        );
        assert!(lines[2].starts_with("3 left out: they are of names"), "{told}");
        assert!(lines[3].starts_with("learned weights left out"), "{told}");
    }

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
