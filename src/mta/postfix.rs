//! The Postfix of this host, as `postconf` tells of it; `MAIL_CONFIG` in the environment names another one's
//! directory, as it does for Postfix's own commands.
//!
//! Bounds: `postconf` has five seconds.

use super::list::words;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(5);
const TRY_EACH: Duration = Duration::from_millis(10);
/// Where systems have it, and where no path leads an ordinary user.
const ELSEWHERE: &str = ":/usr/sbin:/usr/local/sbin";

/// Where restrictions may name a policy service, besides classes.
const RESTRICTIONS: [&str; 7] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
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
    "smtpd_relay_before_recipient_restrictions",
    CLASSES,
];
/// Names lists of restrictions that others, and tables, may name in their turn.
const CLASSES: &str = "smtpd_restriction_classes";

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

/// Why there is no Postfix to tell of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("no postconf here")]
    NotHere,
    /// It is here; in its own words, on one line.
    #[error("postconf fails: {0}")]
    Fails(String),
}

impl Service {
    /// A parameter of its own.
    pub(crate) fn own(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }
}

impl Postfix {
    /// Asks `postconf`.
    pub(crate) fn find() -> Result<Self, Unread> {
        let program = program().ok_or(Unread::NotHere)?;
        let postconf = |arguments: &[&str]| postconf(&program, arguments);
        let mut names = [&PARAMETERS[..], &RESTRICTIONS[..]].concat();
        let named = parsed(&postconf(&["-x", CLASSES])?);
        names.extend(named.get(CLASSES).map_or_else(Vec::new, |classes| words(classes)));
        let parameters = parsed(&postconf(&names)?);
        let expanded = [&["-x"], &names[..]].concat();
        Ok(Self {
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

    /// Each parameter that may name a policy service: the lists of restrictions, then the classes.
    pub(crate) fn restriction_lists(&self) -> impl Iterator<Item = &str> {
        RESTRICTIONS.into_iter().chain(self.classes())
    }

    /// The names of the restriction classes.
    pub(crate) fn classes(&self) -> Vec<&str> {
        words(self.value(CLASSES))
    }

    /// A list of restrictions with what its classes stand for in their place.
    pub(crate) fn with_classes<'l>(&'l self, list: &'l str) -> Vec<&'l str> {
        self.opened(list, &mut self.classes())
    }

    /// A class is opened once: one that names itself would have no end.
    fn opened<'l>(&'l self, list: &'l str, closed: &mut Vec<&'l str>) -> Vec<&'l str> {
        let open = |word: &'l str| match closed.iter().position(|class| *class == word) {
            Some(at) => {
                closed.swap_remove(at);
                self.opened(self.value(word), closed)
            }
            None => vec![word],
        };
        words(list).into_iter().flat_map(open).collect()
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

/// Longest part of what `postconf` says of a failure that is shown, in octets.
const WORDS: usize = 500;

/// Where `postconf` is.
fn program() -> Option<PathBuf> {
    let mut path = std::env::var("PATH").unwrap_or_default();
    path.push_str(ELSEWHERE);
    std::env::split_paths(&path).map(|directory| directory.join("postconf")).find(|program| program.is_file())
}

fn postconf(program: &Path, arguments: &[&str]) -> Result<String, Unread> {
    let fails = |error: std::io::Error| Unread::Fails(error.to_string());
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fails)?;
    // Both at once: a pipe that nobody empties would stop it.
    let (told, words) = (child.stdout.take().map(reader), child.stderr.take().map(reader));
    let status = ended(&mut child).map_err(fails)?;
    let read = |reader: Option<JoinHandle<String>>| reader.and_then(|reader| reader.join().ok());
    if status.success() {
        return read(told).ok_or_else(|| Unread::Fails("its answer cannot be read".to_owned()));
    }
    let words = one_line(&read(words).unwrap_or_default());
    Err(Unread::Fails(if words.is_empty() { status.to_string() } else { words }))
}

fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        // What came before a failure is still what it said.
        let _ = from.read_to_end(&mut octets);
        String::from_utf8_lossy(&octets).into_owned()
    })
}

/// Waits with a bound, which the standard library does not offer.
fn ended(child: &mut Child) -> std::io::Result<ExitStatus> {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if began.elapsed() < WITHIN => std::thread::sleep(TRY_EACH),
            result => {
                let _ = (child.kill(), child.wait());
                result?;
                return Err(std::io::Error::other(format!("no answer within {} s", WITHIN.as_secs())));
            }
        }
    }
}

/// What a program said, as it can stand in a sentence or behind a comment's sign.
fn one_line(said: &str) -> String {
    // It begins each line with the path it was called by.
    let lines =
        said.lines().map(|line| line.split_once("postconf: ").map_or(line, |(_, words)| words).trim());
    let mut words = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    words.retain(|c| !c.is_control());
    words.truncate(words.floor_char_boundary(WORDS));
    words
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
    fn a_postconf_that_fails_is_heard() {
        let says = |script: &str| postconf(Path::new("/bin/sh"), &["-c", script]);
        let fails = |words: &str| Err(Unread::Fails(words.to_owned()));
        assert_eq!(says("echo a = b; echo warning >&2"), Ok("a = b\n".to_owned()));
        let script = "echo 'postconf: warning: x' >&2; echo '/usr/sbin/postconf: fatal: open /none/main.cf' >&2; exit 1";
        assert_eq!(says(script), fails("warning: x; fatal: open /none/main.cf"));
        assert_eq!(says("exit 3"), fails("exit status: 3"));
        assert!(matches!(postconf(Path::new("/none/postconf"), &[]), Err(Unread::Fails(_))));
        let long = one_line(&"\u{e9}\u{7}".repeat(WORDS));
        assert!(long.len() <= WORDS && !long.contains('\u{7}'), "{long}");
    }

    #[test]
    fn the_daemon_starts_before_each_unit_that_may_be_the_mail_server() {
        let unit = include_str!("../../packaging/tempfail.service");
        let before = unit.lines().filter_map(|line| line.strip_prefix("Before="));
        let units: Vec<&str> = before.flat_map(str::split_whitespace).collect();
        for server in ["postfix.service", "postfix@-.service", "sendmail.service"] {
            assert!(units.contains(&server), "{server}: {units:?}");
        }
    }

    #[test]
    fn classes_are_opened_in_their_place_and_once() {
        let postfix = Postfix::with(&[
            (CLASSES, "strangers, loop"),
            ("strangers", "reject_unauth_destination, loop"),
            ("loop", "strangers, check_policy_service inet:h:1"),
        ]);
        let opened = postfix.with_classes("permit_mynetworks, strangers, permit");
        assert_eq!(
            opened,
            [
                "permit_mynetworks",
                "reject_unauth_destination",
                "strangers",
                "check_policy_service",
                "inet:h:1",
                "permit"
            ]
        );
        assert!(postfix.restriction_lists().any(|list| list == "loop"));
    }

    #[test]
    fn values_may_hold_equal_signs() {
        let parsed = parsed("a = { x, b=c }\nempty =\n");
        assert_eq!((parsed["a"].as_str(), parsed["empty"].as_str()), ("{ x, b=c }", ""));
    }
}
