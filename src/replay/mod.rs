//! `tempfail replay`: the real engine over a recording, with the recording's own clock.
//!
//! Two readings of a run. The ranking scores every message before any of its feedback and defers nothing.
//! The closed loop enforces the policy, and senders come back on real mailers' schedules. Beside them, as a
//! comparison, what other methods do with the same recording.
//!
//! Known limit: recordings are labelled traces; several files are one recording in the order given.

pub mod baselines;
pub mod closed_loop;
pub mod engine;
pub mod fit;
mod progress;
pub mod ranking;
mod report;
pub mod trace;

pub use report::{Baseline, Calibration, Ranking, Report};

use clap::ValueEnum;
use closed_loop::Loop;
use engine::Engine;
use policy_core::State;
use policy_core::policy::Policy;
use policy_core::time::Timestamp;
use progress::Progress;
use ranking::{Feedback, Scored, rank};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use trace::{Row, Trace, TraceError};

/// Memory for a replay's state.
const STATE_BYTES: usize = 256 << 20;

/// What kind of recording it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A labelled trace: tab-separated columns under a header, plain or gzip.
    #[default]
    Trace,
}

/// Arguments of `tempfail replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration whose policy the closed loop enforces; without one the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What kind of recording the files are
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// How long after a message its label is learned, in seconds or as 1h, 30m, 1d
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub feedback_delay: Duration,
    /// The share of messages whose label is learned
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    pub feedback_share: f64,
    /// The share of labels that are wrong
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub label_noise: f64,
    /// The share of spam that comes back when it is deferred
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub spam_retries: f64,
    /// Decides what chance decides: the same seed, the same run
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// The recordings, in order of time
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Args {
    fn feedback(&self) -> Feedback {
        Feedback {
            delay: self.feedback_delay,
            share: self.feedback_share,
            noise: self.label_noise,
            seed: self.seed,
        }
    }
}

/// Why a replay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A recording cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// There is nothing in the recordings.
    #[error("the recordings hold no message")]
    Empty,
}

/// Runs a replay; the policy is that of [`Args::config`], which the caller has read.
pub fn run(args: &Args, policy: &Policy) -> Result<Report, ReplayError> {
    let recording = recording(&args.files)?;
    let rows = &recording.rows;
    let begin = rows.first().ok_or(ReplayError::Empty)?.time;
    let mut progress = Progress::new(rows.len());
    let clock = Instant::now();
    let mut engine = Engine::new(STATE_BYTES, begin);
    let scored = rank(rows, args.feedback(), &mut engine, |_| progress.step());
    let seconds = clock.elapsed().as_secs_f64();
    progress.done();
    let state = new_state(begin);
    let closed_loop = Loop::new(rows, policy, &state, args.feedback(), args.spam_retries).run();
    Ok(Report {
        messages: rows.len(),
        ham: scored.iter().filter(|message| !message.spam).count(),
        spam: scored.iter().filter(|message| message.spam).count(),
        torn: recording.torn,
        ranking: Ranking::of(&scored),
        calibration: Calibration::of(&scored),
        closed_loop,
        baselines: baselines_of(rows, args.feedback()),
        greylisting: baselines::greylisting(rows),
        fixed_limit: baselines::fixed_limit(rows),
        seconds,
        decisions_per_second: rows.len() as f64 / seconds.max(f64::MIN_POSITIVE),
    })
}

fn new_state(begin: Timestamp) -> State {
    Engine::new(STATE_BYTES, begin).state
}

/// The files as one recording.
fn recording(files: &[PathBuf]) -> Result<Trace, TraceError> {
    let mut all = Trace::default();
    for file in files {
        let trace = trace::read(file)?;
        all.rows.extend(trace.rows);
        all.torn += trace.torn;
    }
    all.rows.sort_by_key(|row| row.time);
    Ok(all)
}

fn baselines_of(rows: &[Row], feedback: Feedback) -> Vec<Baseline> {
    let ratio = rank(rows, feedback, &mut baselines::AddressRatio::default(), |_| ());
    let shrunk = rank(rows, feedback, &mut baselines::Shrunk::default(), |_| ());
    let gbudb = rank(rows, feedback, &mut baselines::GbUdb::default(), |_| ());
    let txrep = rank(rows, feedback, &mut baselines::TxRep::default(), |_| ());
    let named: [(&'static str, Vec<Scored>); 4] =
        [("address ratio", ratio), ("address and /24", shrunk), ("GBUdb", gbudb), ("TxRep", txrep)];
    named.into_iter().map(|(name, scored)| Baseline { name, ranking: Ranking::of(&scored) }).collect()
}

/// Reads `90`, `90s`, `30m`, `1h`, `2d`.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(['s', 'm', 'h', 'd']);
    let unit = match &text[number.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{text:?} is no duration")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no duration"))?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| format!("{text:?} is too long"))
}

/// Reads a share of 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{text:?} is not between 0 and 1")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spam (%) above all but 0.1, 0.3 and 1 % of ham that a trace must reach: what was measured, less a little.
    const FLOORS: [(&str, [f64; 3]); 2] = [("sa", [0.36, 0.55, 0.77]), ("modern", [0.79, 0.87, 0.92])];

    #[test]
    fn the_traces_are_ranked_as_well_as_measured() {
        let Some(traces) = std::env::var_os("TEMPFAIL_TRACES") else {
            println!("TEMPFAIL_TRACES names no directory of traces: nothing was measured");
            return;
        };
        for (name, floors) in FLOORS {
            let file = PathBuf::from(&traces).join(format!("{name}.tsv.gz"));
            let rows = trace::read(&file).unwrap().rows;
            let mut engine = Engine::new(STATE_BYTES, rows[0].time);
            let scored = rank(&rows, Feedback::default(), &mut engine, |_| ());
            let at = Ranking::of(&scored).all.at;
            let reached = [at[0].spam, at[1].spam, at[3].spam];
            println!("{name}: {reached:.3?}, {:?}", engine.state.model_health());
            assert!(
                reached.iter().zip(floors).all(|(reached, floor)| *reached >= floor),
                "{name}: {reached:?}"
            );
        }
    }

    /// Two hundred messages: a steady sender of ham, and strangers with spam.
    fn small() -> String {
        let mut text = trace::COLUMNS.join("\t") + "\n";
        for n in 0..200 {
            let time = 1_700_000_000 + n * 600;
            let row = if n % 2 == 0 {
                format!(
                    "{n}\t{time}\t192.0.2.1\tmx.src.example\tmx.src.example\ta@src.example\t1\t900\t0\t-\tham\n"
                )
            } else {
                format!("{n}\t{time}\t198.51.100.{n}\t-\tpc\ta@s{n}.example\t1\t900\t0\t-\tspam\n")
            };
            text.push_str(&row);
        }
        text
    }

    #[test]
    fn a_run_reports_what_programs_read_and_is_the_same_again() {
        let file = std::env::temp_dir().join(format!("tempfail-replay-{}.tsv", std::process::id()));
        std::fs::write(&file, small()).unwrap();
        let args = Args {
            config: None,
            format: Format::Trace,
            feedback_delay: Duration::from_secs(3600),
            feedback_share: 0.8,
            label_noise: 0.02,
            spam_retries: 0.2,
            seed: 7,
            json: true,
            files: vec![file.clone()],
        };
        let reports = [(), ()].map(|()| run(&args, &Policy::default()).unwrap());
        std::fs::remove_file(file).unwrap();
        let json = serde_json::to_value(&reports[0]).unwrap();
        assert_eq!((&json["messages"], &json["ham"], &json["spam"]), (&200.into(), &100.into(), &100.into()));
        assert_eq!(json["ranking"]["at"][4]["ham_deferred"], 0.02);
        assert!(json["ranking"]["at"][4]["spam_deferred"].as_f64().unwrap() > 0.8, "{json}");
        assert!(
            json["ranking"]["second_half"]["at"].is_array()
                && json["ranking"]["first_contact"]["at"].is_array()
        );
        assert_eq!(json["closed_loop"]["ham_lost"], 0);
        assert_eq!(reports[0].ranking, reports[1].ranking);
        assert_eq!(reports[0].closed_loop, reports[1].closed_loop);
        assert!(reports[0].to_string().contains("this engine"));
    }

    #[test]
    fn durations_and_shares_are_read() {
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert!(
            duration("h").is_err() && duration("1hh").is_err() && duration("99999999999999999999d").is_err()
        );
        assert_eq!(share("0.4"), Ok(0.4));
        assert!(share("1.1").is_err() && share("NaN").is_err());
    }
}
