//! The arguments of `tempfail replay`.

use super::feedback::Feedback;
use clap::ValueEnum;
use policy_core::weights::{Part, Start};
use std::path::PathBuf;
use std::time::Duration;

/// What kind of recording it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A labelled trace: tab-separated columns under a header.
    #[default]
    Trace,
    /// The mail log of Postfix or Sendmail; of a journal, what journalctl -o short-iso prints.
    Maillog,
}

/// Arguments of `tempfail replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration whose policy is played. Without it, /etc/tempfail/tempfail.toml is read if it exists;
    /// every key has a default.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What kind of recording the files are; each may be plain or compressed with gzip.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: Format,
    /// How long after a message its label is learned: 30m, 1h, 1d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub feedback_delay: Duration,
    /// The share of messages whose label is learned, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub feedback_share: f64,
    /// The share of learned labels that is wrong, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub label_noise: f64,
    /// Learn no label of good mail, as where people complain of spam and nobody praises anything.
    #[arg(long)]
    pub spam_only: bool,
    /// The share of spam that comes back when it is deferred, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    pub spam_retries: f64,
    /// Decides what chance decides: the same seed, the same run.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Leave out a part of the model, to measure what it is worth; may be given again.
    #[arg(long, value_name = "PART", hide = true)]
    pub without: Vec<Part>,
    /// The recordings. Traces and logs are put in order of time.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Args {
    /// What the model begins with.
    pub(super) fn start(&self) -> Start {
        self.without.iter().fold(Start::shipped(), |start, &part| start.without(part))
    }

    /// How labels come back.
    pub(super) const fn feedback(&self) -> Feedback {
        Feedback {
            delay: self.feedback_delay,
            share: self.feedback_share,
            noise: self.label_noise,
            spam_only: self.spam_only,
            seed: self.seed,
        }
    }
}

/// Reads `90s`, `30m`, `1h 30m`; a number alone is in seconds.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "expected a duration such as \"30m\", \"1h\" or \"1d 12h\"".to_owned()),
    }
}

/// Reads a share of 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not between 0 and 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_shares_are_read() {
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        for wrong in ["h", "1hh", "-1h", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(share("0.4"), Ok(0.4));
        for wrong in ["1.1", "-0.1", "NaN", "half"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
