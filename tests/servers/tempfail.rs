//! tempfail under test: the real daemon in the test's process, with a clock that the test moves and a log that
//! the test reads.
//!
//! Its log holds every question, also those that an operator sees only at level debug, so that a test can
//! tell what was asked from what was decided.

use policy_core::Explanation;
use policy_core::answer::DecisionId;
use policy_core::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tempfail::clock::ManualClock;
use tempfail::explain::Explained;
use tempfail::log::{Format, Log};
use tempfail::recent::Record;
use tempfail::{Clock, Config, Daemon};
use test_support::TestResult;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

/// What goes wrong while a test is set up, or looks for something that is not there.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Nine o'clock on a morning, so that some hours later it is still the same day.
const BEGIN: Timestamp = Timestamp::from_secs(20_000 * 86_400 + 9 * 3600);
const PATIENCE: Duration = Duration::from_secs(30);
/// Ample, and far less than the 256 MiB of the default for each test that runs.
const MEMORY: usize = 32 << 20;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A running daemon. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Tempfail {
    daemon: Daemon,
    clock: ManualClock,
    log: watch::Receiver<Vec<String>>,
}

/// One decision's line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    text: String,
    fields: HashMap<String, String>,
}

impl Tempfail {
    /// Starts a daemon with this configuration, on free ports of loopback.
    pub(crate) async fn start(toml: &str) -> Result<Self, Failure> {
        let mut config = configuration(toml)?;
        let loopback = || vec![tempfail::address::Address::Tcp(([127, 0, 0, 1], 0).into())];
        config.policy_service.listen = loopback();
        config.milter.listen = loopback();
        config.admin.listen.clear();
        Self::start_as_configured(config).await
    }

    /// Starts a daemon that listens where its configuration says.
    pub(crate) async fn start_as_configured(config: Config) -> Result<Self, Failure> {
        let clock = Clock::manual(BEGIN);
        let (lines, log) = watch::channel(Vec::new());
        let sink = move |line| lines.send_modify(|lines: &mut Vec<String>| lines.push(line));
        let kept = Log::to(Format::Text, LevelFilter::DEBUG, sink);
        let daemon = Daemon::start_with_log(config, clock.clone(), kept).await?;
        Ok(Self { daemon, clock, log })
    }

    /// Puts another configuration in force.
    pub(crate) fn reload(&mut self, toml: &str) -> Result<(), Failure> {
        self.daemon.reload(configuration(toml)?);
        Ok(())
    }

    /// Where the policy service listens.
    pub(crate) fn policy(&self) -> SocketAddr {
        self.daemon.policy_addrs()[0]
    }

    /// Where the milter listens.
    pub(crate) fn milter(&self) -> SocketAddr {
        self.daemon.milter_addrs()[0]
    }

    /// What its clock says.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time passes.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// The lines that an operator sees: one for each decision.
    pub(crate) fn decisions(&self) -> Vec<Line> {
        decisions(&self.log.borrow())
    }

    /// The newest decision.
    pub(crate) fn last(&self) -> Result<Line, Failure> {
        self.decisions().pop().ok_or_else(|| "nothing has been decided".into())
    }

    /// Every question, also those that were asked again.
    pub(crate) fn questions(&self) -> Vec<Line> {
        self.log.borrow().iter().filter_map(|line| Line::read(line)).collect()
    }

    /// The decision that a reply names by the id at its end.
    pub(crate) fn record(&self, id: &str) -> Result<Arc<Record>, Failure> {
        let id = DecisionId::parse(id).ok_or_else(|| format!("{id} is no id"))?;
        self.daemon.engine().recent(id).ok_or_else(|| format!("no decision {id} is remembered").into())
    }

    /// What is held of the client of a decision, now.
    pub(crate) fn explain(&self, decision: &Line) -> Result<Explanation, Failure> {
        let record = self.record(&decision["id"])?;
        let engine = self.daemon.engine();
        Ok(engine.state().explain(&engine.policy(), &record.facts, self.clock.now()))
    }

    /// What of its hourly limits the client of a decision has used up itself.
    pub(crate) fn used(&self, decision: &Line) -> Result<[f64; 4], Failure> {
        let used = self.explain(decision)?.allotments[0].used;
        Ok(used.ok_or("the host pays nothing")?.0)
    }

    /// Whether no session of the client of a decision is open any more.
    pub(crate) fn is_over(&self, decision: &Line) -> bool {
        self.explain(decision).is_ok_and(|held| held.allotments[0].sessions == Some(0))
    }

    /// The same as a person reads it.
    pub(crate) fn explained(&self, decision: &Line) -> Result<String, Failure> {
        let record = self.record(&decision["id"])?;
        Ok(Explained::of_decision(self.daemon.engine(), &decision["id"], &record).to_string())
    }

    /// The weight of bad evidence about the address of a decision's client, and of good.
    pub(crate) fn weights(&self, decision: &Line) -> Result<(f32, f32), Failure> {
        let slow = self.explain(decision)?.identities[0].reading.slow;
        Ok((slow.bad, slow.good))
    }

    /// Waits until `is` holds of the daemon; asked again after each line of the log and each hundredth of a
    /// second, since not everything is logged.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let mut log = self.log.clone();
        let holds = async {
            while !is(self) {
                // The end of the short wait says no more than a line would: look again.
                let _ = timeout(Duration::from_millis(10), log.changed()).await;
            }
        };
        let late = || format!("{what} did not come; the log:\n{}", self.log.borrow().join("\n"));
        timeout(PATIENCE, holds).await.map_err(|_| late().into())
    }
}

impl Deref for Tempfail {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

/// A configuration with these lines, which must be without findings but warnings.
pub(crate) fn configuration(toml: &str) -> Result<Config, Failure> {
    let mut config = Config::parse("test", toml)?.config;
    config.memory = MEMORY;
    // A test asks no other server than the one that it names.
    if !toml.contains("[dns]") {
        config.lookups = None;
    }
    Ok(config)
}

/// The decisions among lines of a log, as an operator sees them.
pub(crate) fn decisions(lines: &[String]) -> Vec<Line> {
    let seen = lines.iter().filter(|line| line.contains(" info ")).filter_map(|line| Line::read(line));
    // What is known of a message at its end stands in a line with the id of a recipient's.
    let mut ids = HashSet::new();
    let is_whole =
        |line: &Line| line.get("stage").is_some_and(|stage| ["data", "end-of-message"].contains(&stage));
    seen.filter(|line| ids.insert(line.get("id").map(str::to_owned)) || !is_whole(line)).collect()
}

impl Line {
    /// Reads a decision's line. Values with a space in them are quoted; none here holds a comma.
    fn read(line: &str) -> Option<Self> {
        let start = line.find("action=")?;
        let pairs = line[start..].split(", ").filter_map(|field| field.split_once('='));
        let fields = pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect();
        Some(Self { text: line.to_owned(), fields })
    }

    /// A field, if the line has it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// Fails unless the line has exactly these values.
    pub(crate) fn must_say(&self, values: &[(&str, &str)]) -> TestResult {
        for (key, value) in values {
            if self.get(key) != Some(value) {
                return Err(format!("not {key}={value}: {self}").into());
            }
        }
        Ok(())
    }
}

impl std::ops::Index<&str> for Line {
    type Output = String;

    fn index(&self, key: &str) -> &String {
        &self.fields[key]
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
