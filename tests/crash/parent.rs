//! Who starts the daemons, kills them, and compares.

use crate::{CHILD, ROUNDS};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// It serves again within this time.
const AGAIN: Duration = Duration::from_secs(2);
/// Counts that may be lost: those of so long before the end. A second, and what a loaded machine adds.
const LOST: Duration = Duration::from_millis(1500);

/// What a child said before it was killed.
#[derive(Default)]
struct Said {
    heard: u32,
    /// Counts, and when they were told.
    counted: VecDeque<(Instant, u32)>,
}

/// What was seen over all rounds.
#[derive(Default)]
struct Seen {
    rounds: u32,
    heard: u32,
    slowest: Duration,
    most_lost: u32,
}

pub(crate) fn run() -> ExitCode {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut seen = Seen::default();
    let mut before: Option<(Said, Instant)> = None;
    for round in 1..=rounds {
        match one(dir.path(), round, before.as_ref(), &mut seen) {
            Ok(said) => before = Some(said),
            Err(wrong) => {
                eprintln!("round {round}: {wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    let Seen { rounds, heard, slowest, most_lost } = seen;
    println!(
        "killed {rounds} times: {heard} acknowledgements kept, at most {most_lost} counts lost, serving within {slowest:.0?}"
    );
    // A test that nothing was heard in has tested nothing.
    if heard < u32::from(rounds > 1) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one(
    dir: &Path,
    round: u16,
    before: Option<&(Said, Instant)>,
    seen: &mut Seen,
) -> Result<(Said, Instant), String> {
    let began = Instant::now();
    let (mut child, mut lines) = start(dir, round)?;
    // From a tenth of a second to more than a flush of counts takes, in no order.
    let lives =
        Duration::from_millis(100 + u64::from(round) * 389 % 700 + u64::from(round.is_multiple_of(5)) * 1200);
    let said = listen(&mut lines, (began, lives), before, seen);
    let _ = child.kill();
    let killed = Instant::now();
    let _ = child.wait();
    let mut said = said?;
    // What it said before it died counts, though nobody had read it yet.
    for line in lines.map_while(Result::ok) {
        note(&mut said, &line, killed);
    }
    seen.rounds += 1;
    Ok((said, killed))
}

type Lines = std::io::Lines<BufReader<ChildStdout>>;

fn start(dir: &Path, round: u16) -> Result<(Child, Lines), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg(round.to_string()).env(CHILD, dir).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().ok_or("no output")?;
    Ok((child, BufReader::new(stdout).lines()))
}

/// Listens for as long as the child shall live, counted from when it serves.
fn listen(
    lines: &mut Lines,
    (began, lives): (Instant, Duration),
    before: Option<&(Said, Instant)>,
    seen: &mut Seen,
) -> Result<Said, String> {
    let mut said = Said::default();
    let mut served = None;
    for line in lines {
        let line = line.map_err(|error| error.to_string())?;
        if line == "serving" {
            served = Some(Instant::now());
            seen.slowest = seen.slowest.max(began.elapsed());
        } else if let (Some(known), Some((said, killed))) = (line.strip_prefix("known "), before) {
            compare(known, said, *killed, seen)?;
        } else if let Some(why) = line.strip_prefix("failed ") {
            return Err(why.to_owned());
        } else {
            note(&mut said, &line, Instant::now());
        }
        if served.is_some_and(|served| served.elapsed() >= lives) {
            return if seen.slowest < AGAIN {
                Ok(said)
            } else {
                Err(format!("serves after {:?}", seen.slowest))
            };
        }
    }
    Err("the daemon has ended by itself".to_owned())
}

fn note(said: &mut Said, line: &str, at: Instant) {
    let number = |prefix| line.strip_prefix(prefix).and_then(|number| number.parse().ok());
    if let Some(heard) = number("heard ") {
        said.heard = heard;
    } else if let Some(counted) = number("counted ") {
        said.counted.push_back((at, counted));
    }
}

/// Whether what is known of the round before is what was said in it.
fn compare(known: &str, said: &Said, killed: Instant, seen: &mut Seen) -> Result<(), String> {
    let mut numbers = known.split(' ').filter_map(|number| number.parse::<u32>().ok());
    let (Some(heard), Some(counted)) = (numbers.next(), numbers.next()) else {
        return Err(format!("what is {known:?}?"));
    };
    if heard < said.heard {
        return Err(format!("{} acknowledged, {heard} kept", said.heard));
    }
    seen.heard += said.heard;
    let old = said.counted.iter().rfind(|(at, _)| killed.saturating_duration_since(*at) > LOST);
    let least = old.map_or(0, |(_, counted)| *counted);
    if counted < least {
        return Err(format!("{least} counted long before the end, {counted} kept"));
    }
    let last = said.counted.back().map_or(0, |(_, counted)| *counted);
    seen.most_lost = seen.most_lost.max(last.saturating_sub(counted));
    Ok(())
}
