//! The configuration: a TOML file, checked whole, with a default for every key.
//!
//! A [`Config`] is valid by construction: [`Config::parse`] gathers every mistake of the file with its place,
//! and gives out either all of them or a configuration that can be used as it is. Defaults are those of the
//! crates that the settings belong to; only what no other crate knows of has its default here.
//!
//! `packaging/tempfail.toml` shows every key with its default and the reason for it.
//!
//! Known limit: a group is looked up when the file is read, so the file is checked best on the host that it
//! is for.

mod admin;
mod diagnostic;
mod feedback;
mod filter;
mod listening;
mod lookups;
mod outline;
mod reader;
mod sections;
mod state;
mod units;
mod values;

pub(crate) use lookups::FOR_THE_REST;
pub use lookups::Lookups;

pub use admin::{AdminService, DEFAULT_SOCKET, TokenFile};
pub use diagnostic::{ConfigError, Diagnostic, Severity};
pub use outline::{Changed, Outline};
pub use state::{DEFAULT_DIRECTORY, StateDirectory};

use crate::address::Address;
use crate::log::Format;
use policy_core::policy::Policy;
use reader::{Findings, Section};
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

/// The configuration with every key at its default, commented.
pub const SAMPLE: &str = include_str!("../../packaging/tempfail.toml");
/// The file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/tempfail/tempfail.toml";

/// Octets of the longest file. The longest list of networks that makes sense takes a tenth of that.
const LONGEST: u64 = 16 << 20;
const POLICY_PORT: u16 = 10421;
const MILTER_PORT: u16 = 10422;
/// Sendmail waits ten seconds for an answer of its own accord; half of that is patience enough.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A front end waits this much longer than the engine takes, so that it is the engine that says why.
const MARGIN: Duration = Duration::from_secs(1);
/// Reputation of some two million identities.
const MEMORY: usize = 256 << 20;
/// What had no news for half a year weighs next to nothing by then, unless it was very well known.
const RETENTION: Duration = Duration::from_secs(180 * 86_400);
/// Most SMTP sessions that are past their RCPT are over by then. Postfix's idle policy connections last for all
/// of it, and nothing new is served meanwhile, so it is short.
const GRACE: Duration = Duration::from_secs(10);

/// The policy service, that is, Postfix's `check_policy_service`.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyService {
    /// Where it listens; nowhere turns it off.
    pub listen: Vec<Address>,
    /// Who may connect to its unix sockets.
    pub access: SocketAccess,
    /// What its peers may use up.
    pub limits: postfix_policy::Limits,
}

/// The milter.
#[derive(Clone, Debug, PartialEq)]
pub struct MilterService {
    /// Where it listens; nowhere turns it off.
    pub listen: Vec<Address>,
    /// Who may connect to its unix sockets.
    pub access: SocketAccess,
    /// All that may be set of it.
    pub options: Arc<milter::Options>,
}

/// A group of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u32,
}

/// Who may connect to a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAccess {
    /// The file's mode.
    pub mode: u32,
    /// The file's group; the process's own when `None`.
    pub group: Option<Group>,
}

impl Default for SocketAccess {
    /// Owner and group.
    fn default() -> Self {
        Self { mode: 0o660, group: None }
    }
}

/// The log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How a line is written.
    pub format: Format,
    /// The least important lines that are written.
    pub level: LevelFilter,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What is decided.
    pub policy: Arc<Policy>,
    /// How long a decision may take before the mail is let in.
    pub answer_within: Duration,
    /// The policy service.
    pub policy_service: PolicyService,
    /// The milter.
    pub milter: MilterService,
    /// The admin interface.
    pub admin: AdminService,
    /// The most memory that the state takes, in octets.
    pub memory: usize,
    /// What is looked up; nothing when `None`.
    pub lookups: Option<Lookups>,
    /// Where the state is kept.
    pub state: StateDirectory,
    /// How long anything is kept without news.
    pub retention: Duration,
    /// The log.
    pub log: LogOptions,
    /// How long sessions in progress have to end by themselves at shutdown.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| vec![Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))];
        let mut config = Self {
            policy: Arc::new(Policy::default()),
            answer_within: ANSWER_WITHIN,
            policy_service: PolicyService {
                listen: local(POLICY_PORT),
                access: SocketAccess::default(),
                limits: postfix_policy::Limits::default(),
            },
            milter: MilterService {
                listen: local(MILTER_PORT),
                access: SocketAccess::default(),
                options: Arc::default(),
            },
            admin: AdminService::default(),
            memory: MEMORY,
            lookups: Some(Lookups::default()),
            state: StateDirectory::default(),
            retention: RETENTION,
            log: LogOptions { format: Format::Text, level: LevelFilter::INFO },
            grace: GRACE,
        };
        config.spread_deadline();
        config
    }
}

/// A configuration, and what its file may not have meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// How much its file says.
    pub outline: Outline,
}

/// The text of a file that is no longer than a configuration may be.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if length as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {} MiB", LONGEST >> 20)));
    }
    Ok(text)
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something is wrong with it.
    pub fn load(path: &Path) -> Result<Checked, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Checks a text; `name` is what findings call the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with everything that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Checked, ConfigError> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let findings = Findings::default();
        errors.iter().for_each(|error| findings.syntax(error, text));
        let config = sections::document(Section::top(&document, &findings));
        let broken: Vec<_> = errors.iter().map(|error| error.span().unwrap_or_default()).collect();
        let diagnostics = findings.into_diagnostics(name, text, &broken);
        if diagnostics.iter().any(|found| found.severity == Severity::Error) {
            return Err(ConfigError::Invalid(diagnostics));
        }
        Ok(Checked { config, warnings: diagnostics, outline: Outline::of(document.get_ref()) })
    }

    /// Each front end's own deadline follows the engine's.
    fn spread_deadline(&mut self) {
        let answer = self.answer_within + MARGIN;
        self.policy_service.limits.answer = answer;
        Arc::make_mut(&mut self.milter.options).limits.answer = answer;
    }
}

/// Whether the configuration takes this as a recipient.
pub(crate) fn is_recipient(text: &str) -> bool {
    values::is_recipient(text)
}

/// The file to read: the one named, or the default one if it exists. One that cannot be reached may exist, so that
/// reading it tells why not.
pub fn file(named: Option<&Path>) -> Option<PathBuf> {
    let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.try_exists().unwrap_or(true));
    named.map(Path::to_owned).or_else(default)
}

#[cfg(test)]
mod tests;
