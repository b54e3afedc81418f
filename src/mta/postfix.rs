//! The Postfix of this host, as `postconf` tells of it; `MAIL_CONFIG` in the environment names another one's
//! directory, as it does for Postfix's own commands.
//!
//! Bounds: `postconf` has five seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(5);
const TRY_EACH: Duration = Duration::from_millis(10);
/// Where Debian has it, and where no path leads an ordinary user.
const SBIN: &str = "/usr/sbin";

/// Where restrictions may name a policy service.
pub(crate) const RESTRICTIONS: [&str; 6] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
];
/// What is looked at besides.
const PARAMETERS: [&str; 14] = [
    "mail_version",
    "queue_directory",
    "mail_owner",
    "mynetworks",
    "default_process_limit",
    "smtpd_milters",
    "milter_default_action",
    "milter_connect_timeout",
    "milter_command_timeout",
    "milter_content_timeout",
    "smtpd_policy_service_default_action",
    "smtpd_policy_service_timeout",
    "smtpd_relay_restrictions",
    "smtpd_relay_before_recipient_restrictions",
];

/// An SMTP service of `master.cf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether strangers' mail comes to it: by its port, or from postscreen.
    pub(crate) public: bool,
    /// Parameters of its own (`-o`), which outdo those of `main.cf`; macros expanded.
    own: BTreeMap<String, String>,
    pub(crate) chroot: bool,
    /// Processes at the most; the default limit when `None`.
    pub(crate) processes: Option<u32>,
}

/// A Postfix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Postfix {
    /// As they stand, macros unexpanded.
    parameters: BTreeMap<String, String>,
    /// With macros expanded.
    expanded: BTreeMap<String, String>,
    /// Those that `main.cf` sets.
    set: BTreeSet<String>,
    pub(crate) services: Vec<Service>,
}

impl Service {
    /// A parameter of its own.
    pub(crate) fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }
}

impl Postfix {
    /// Asks `postconf`; `None` when there is none, or it fails.
    pub(crate) fn find() -> Option<Self> {
        let names = [&PARAMETERS[..], &RESTRICTIONS[..]].concat();
        let parameters = parsed(&postconf(&names)?);
        let expanded = [&["-x"], &names[..]].concat();
        Some(Self {
            expanded: parsed(&postconf(&expanded)?),
            set: parsed(&postconf(&["-n"])?).into_keys().collect(),
            services: services(&postconf(&["-M"])?, &parsed(&postconf(&["-P", "-x"])?)),
            parameters,
        })
    }

    /// One whose `main.cf` sets these parameters.
    #[cfg(test)]
    pub(crate) fn with(set: &[(&str, &str)]) -> Self {
        let parameters: BTreeMap<String, String> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let set = parameters.keys().cloned().collect();
        Self { expanded: parameters.clone(), parameters, set, services: Vec::new() }
    }

    /// A parameter as it stands in `main.cf`, or its default.
    pub(crate) fn written(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// A parameter with its macros expanded.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.expanded.get(name).map_or("", String::as_str)
    }

    /// Whether `main.cf` sets it.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// The directory of the queue, which a chroot is.
    pub(crate) fn queue_directory(&self) -> &Path {
        match self.value("queue_directory") {
            "" => Path::new(DEFAULT_QUEUE),
            path => Path::new(path),
        }
    }
}

/// Where the queue is where nobody says otherwise.
pub(crate) const DEFAULT_QUEUE: &str = "/var/spool/postfix";

fn postconf(arguments: &[&str]) -> Option<String> {
    let mut path = std::env::var("PATH").unwrap_or_default();
    path.push_str(":/usr/sbin:/usr/local/sbin");
    let program = std::env::split_paths(&path).map(|directory| directory.join("postconf"));
    let program = program.into_iter().find(|program| program.is_file());
    let program = program.unwrap_or_else(|| PathBuf::from(SBIN).join("postconf"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text).ok()
    });
    let began = Instant::now();
    // The standard library cannot wait for a child with a bound.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < WITHIN => std::thread::sleep(TRY_EACH),
            _ => {
                let _ = (child.kill(), child.wait());
                return None;
            }
        }
    };
    reader.join().ok()?.filter(|_| status.success())
}

/// Lines of `name = value`.
fn parsed(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The SMTP services in lines of `master.cf` (master(5)), and parameters of their own as `SERVICE/TYPE/NAME`: the chroot
/// column is `n` by default since Postfix 3.0.
fn services(text: &str, parameters: &BTreeMap<String, String>) -> Vec<Service> {
    let service = |line: &str| {
        let mut columns = line.split_whitespace();
        let (name, kind) = (columns.next()?, columns.next()?);
        let (chroot, limit) = (columns.nth(2)?, columns.nth(1)?);
        let port = name.rsplit_once(':').map_or(name, |(_, port)| port);
        let own = |(full, value): (&String, &String)| {
            let parameter =
                full.strip_prefix(name)?.strip_prefix('/')?.strip_prefix(kind)?.strip_prefix('/')?;
            Some((parameter.to_owned(), value.clone()))
        };
        (["inet", "pass"].contains(&kind) && columns.next()? == "smtpd").then(|| Service {
            name: name.to_owned(),
            public: kind == "pass" || ["smtp", "25"].contains(&port),
            own: parameters.iter().filter_map(own).collect(),
            chroot: chroot == "y",
            processes: limit.parse().ok(),
        })
    };
    text.lines().filter_map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_cf_is_read_by_its_columns() {
        let text = "smtp       inet  n       -       y       -       1       postscreen\n\
            smtpd      pass  -       -       y       -       -       smtpd\n\
            192.0.2.1:25 inet n      -       n       -       -       smtpd\n\
            submission inet  n       -       n       -       20      smtpd -o x=y\n\
            pickup     unix  n       -       y       60      1       pickup\nbroken\n";
        let own = parsed("submission/inet/x = y\nsubmissions/inet/x = z\npickup/unix/x = z\n");
        let service = |name: &str, public, chroot, processes, own: &str| Service {
            name: name.to_owned(),
            public,
            own: parsed(own),
            chroot,
            processes,
        };
        let expected = [
            service("smtpd", true, true, None, ""),
            service("192.0.2.1:25", true, false, None, ""),
            service("submission", false, false, Some(20), "x = y"),
        ];
        assert_eq!(services(text, &own), expected);
    }

    #[test]
    fn values_may_hold_equal_signs() {
        let parsed = parsed("a = { x, b=c }\nempty =\n");
        assert_eq!((parsed["a"].as_str(), parsed["empty"].as_str()), ("{ x, b=c }", ""));
    }
}
