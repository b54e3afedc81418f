//! `tempfail setup`: the lines that make the mail server ask, for this configuration and this host.
//!
//! What a Postfix has already is kept: its present lists are read, and tempfail comes last. The lines that undo a
//! set-up are made from what is there too, so they are right before it and after it.

use super::output::{bad_config, failed, show};
use crate::address::Address;
use crate::config::{self, Config, ConfigError};
use crate::mta::lines::{self, BEFORE_DATA, BEFORE_RCPT, endpoint, is_ours};
use crate::mta::list::{Asked, policy_services, words};
use crate::mta::postfix::{DEFAULT_QUEUE, Postfix, Unread};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    /// Which lines, and these alone, so that a shell can take them. All with explanations without it.
    way: Option<Way>,
    /// The lines that undo it instead.
    #[arg(long)]
    undo: bool,
    /// The configuration. Without it, /etc/tempfail/tempfail.toml is read if it exists.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// How a mail server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// Postfix, as a milter: sees the most.
    Milter,
    /// Postfix, as a policy service: the smallest change.
    Policy,
    /// Both together; a session is counted once.
    Both,
    /// Sendmail.
    Sendmail,
}

/// One way, its lines and those that undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Lines {
    way: Way,
    why: &'static str,
    lines: Vec<String>,
    undo: Vec<String>,
    /// What to mind.
    notes: Vec<String>,
    /// What the lines that undo it leave to the operator.
    left: Vec<String>,
}

/// All that can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Setup {
    /// Whether the Postfix of this host was read; the lines begin from nothing otherwise.
    postfix_found: bool,
    ways: Vec<Lines>,
    /// What to mind where no Postfix was read: the lines would replace what others have in the lists.
    #[serde(skip)]
    placeholder: Option<String>,
    #[serde(skip)]
    bare: bool,
    #[serde(skip)]
    undo: bool,
}

/// Prints them.
pub(super) fn run(args: &SetupArgs) -> ExitCode {
    let config = match load(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let setup = Setup::of(&config, Postfix::find().as_ref(), args);
    if setup.ways.is_empty() {
        // A shell that takes the lines must not take none for done.
        let silent = if config.milter.listen.is_empty() { "milter" } else { "policy" };
        return failed(&format_args!("the configuration listens nowhere for this: see [{silent}] listen"));
    }
    show(&setup, args.json)
}

fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    Ok(match config::file(named) {
        Some(file) => Config::load(&file)?.config,
        None => Config::default(),
    })
}

impl Setup {
    fn of(config: &Config, postfix: Result<&Postfix, &Unread>, args: &SetupArgs) -> Self {
        let desk = Desk::of(config, postfix);
        let wanted = |way: &Way| args.way.is_none_or(|wanted| wanted == *way);
        let ways = [Way::Milter, Way::Policy, Way::Both, Way::Sendmail].into_iter().filter(wanted);
        let ways = ways.filter_map(|way| desk.lines(way)).collect();
        Self {
            postfix_found: postfix.is_ok(),
            ways,
            placeholder: desk.placeholder(),
            bare: args.way.is_some(),
            undo: args.undo,
        }
    }
}

/// What the lines are made of.
struct Desk<'a> {
    postfix: Result<&'a Postfix, &'a Unread>,
    queue: &'a Path,
    config: &'a Config,
    policy: Option<&'a Address>,
    milter: Option<&'a Address>,
}

impl<'a> Desk<'a> {
    fn of(config: &'a Config, postfix: Result<&'a Postfix, &'a Unread>) -> Self {
        let queue = postfix.map_or(Path::new(DEFAULT_QUEUE), Postfix::queue_directory);
        let (policy, milter) = (config.policy_service.listen.first(), config.milter.listen.first());
        Self { postfix, queue, config, policy, milter }
    }

    /// The lines of a way; `None` where the configuration listens nowhere for it.
    fn lines(&self, way: Way) -> Option<Lines> {
        let reload = || "postfix reload".to_owned();
        let postfix = |why, changes: Vec<Change>, notes: Vec<Option<String>>| {
            let (more, left) = if way == Way::Milter { Default::default() } else { self.elsewhere(&changes) };
            let undo = changes.iter().map(Change::undo).chain(more);
            Lines {
                way,
                why,
                lines: changes.iter().map(Change::line).chain([reload()]).collect(),
                undo: undo.chain([reload()]).collect(),
                notes: notes.into_iter().flatten().chain(self.placeholder()).collect(),
                left,
            }
        };
        match way {
            Way::Milter => {
                let (change, note) = (self.milter()?, self.unreachable(self.milter?));
                Some(postfix("Postfix, as a milter: sees the most", vec![change], vec![note]))
            }
            Way::Policy => {
                let (changes, note) = (vec![self.rcpt()?, self.data()?], self.unreachable(self.policy?));
                Some(postfix("Postfix, as a policy service: the smallest change", changes, vec![note]))
            }
            Way::Both => {
                let notes = vec![self.unreachable(self.policy?), self.unreachable(self.milter?)];
                let why = "Postfix, both together: a session is counted once";
                Some(postfix(why, vec![self.rcpt()?, self.milter()?], notes))
            }
            Way::Sendmail => self.milter.map(sendmail),
        }
    }

    fn present(&self, parameter: &str) -> &str {
        self.postfix
            .ok()
            .filter(|postfix| postfix.sets(parameter))
            .map_or("", |postfix| postfix.written(parameter))
    }

    fn milter(&self) -> Option<Change> {
        let own = endpoint(self.milter?, self.queue);
        let present = words(self.present("smtpd_milters"));
        let ours = |word: &&str| is_ours(Asked::of(word).endpoint, &self.config.milter.listen, self.queue);
        let others = present.into_iter().filter(|word| !ours(word));
        let others = others.collect::<Vec<_>>().join(", ");
        Some(Change::new("smtpd_milters", others, &lines::milter(&own), ""))
    }

    fn rcpt(&self) -> Option<Change> {
        self.service("smtpd_recipient_restrictions", "rcpt", BEFORE_RCPT)
    }

    fn data(&self) -> Option<Change> {
        self.service("smtpd_data_restrictions", "data", BEFORE_DATA)
    }

    fn service(&self, parameter: &'static str, context: &str, before: &'static str) -> Option<Change> {
        let own = endpoint(self.policy?, self.queue);
        let (_, others) = self.without_ours(self.present(parameter));
        Some(Change::new(parameter, others, &lines::policy_service(&own, context), before))
    }

    /// Whether a list of restrictions names us, and the list without it.
    fn without_ours(&self, list: &str) -> (bool, String) {
        let present = words(list);
        let ours: Vec<usize> = policy_services(&present)
            .into_iter()
            .filter(|(_, asked)| is_ours(asked.endpoint, &self.config.policy_service.listen, self.queue))
            .flat_map(|(place, _)| [place, place + 1])
            .collect();
        let others = present.iter().enumerate().filter(|(place, _)| !ours.contains(place));
        let others: Vec<&str> = others.map(|(_, word)| *word).collect();
        (!ours.is_empty(), restrictions(&others))
    }

    /// What takes tempfail out of the lists and classes that no way of ours writes to, and where only the operator can.
    fn elsewhere(&self, changes: &[Change]) -> (Vec<String>, Vec<String>) {
        let Ok(postfix) = self.postfix else { return Default::default() };
        let (mut undo, mut left) = (Vec::new(), Vec::new());
        for parameter in postfix.restriction_lists() {
            let own = postfix
                .services
                .iter()
                .filter(|service| service.own(parameter).is_some_and(|list| self.without_ours(list).0));
            left.extend(own.map(|service| {
                format!("take it out of {parameter} of the SMTP service {} in master.cf too", service.name)
            }));
            let (named, others) = self.without_ours(postfix.written(parameter));
            if !named || changes.iter().any(|change| change.parameter == parameter) {
                continue;
            }
            if others.is_empty() && postfix.classes().contains(&parameter) {
                left.push(format!(
                    "the class {parameter} is nothing but tempfail: take it out of the lists and tables that name it"
                ));
            } else {
                undo.push(without(parameter, &others));
            }
        }
        (undo, left)
    }

    /// A socket that a mail server in a chroot cannot see.
    fn unreachable(&self, address: &Address) -> Option<String> {
        let Address::Unix(path) = address else { return None };
        (!path.starts_with(self.queue)).then(|| {
            format!(
                "{} lies outside of {}: a Postfix in a chroot, Debian's by default, does not see it",
                path.display(),
                self.queue.display()
            )
        })
    }

    fn placeholder(&self) -> Option<String> {
        let why = self.postfix.err()?;
        Some(format!(
            "{why}: name what you have before tempfail in each list (postconf smtpd_milters \
             smtpd_recipient_restrictions smtpd_data_restrictions shows it)"
        ))
    }
}

/// Restrictions with commas between them, an argument's word with the one that it belongs to.
fn restrictions(words: &[&str]) -> String {
    let takes_argument = |word: &str| {
        let word = word.to_ascii_lowercase();
        let lists = ["check_", "reject_rbl_", "reject_rhsbl_", "permit_dnswl_", "permit_rhswl_"];
        lists.iter().any(|begin| word.starts_with(begin))
            || matches!(word.as_str(), "sleep" | "warn_if_reject")
    };
    let mut list = String::new();
    let mut after_argument = true;
    for word in words {
        list.push_str(if list.is_empty() {
            ""
        } else if after_argument {
            " "
        } else {
            ", "
        });
        list.push_str(word);
        after_argument = takes_argument(word);
    }
    list
}

/// A change of one parameter.
struct Change {
    parameter: &'static str,
    /// What others have there.
    others: String,
    with: String,
    /// What stands before ours where there is nothing.
    before: &'static str,
}

impl Change {
    /// Ours goes last, but before a word that ends the list for everybody.
    fn new(parameter: &'static str, others: String, ours: &str, before: &'static str) -> Self {
        let rest = if others.is_empty() { before } else { &others };
        let ends = |word: &str| ["permit", "reject", "defer"].contains(&word);
        let (head, tail) = match rest.rsplit_once(", ") {
            Some((head, tail)) if ends(tail) => (head, tail),
            _ => (rest, ""),
        };
        let parts = [head, ours, tail].into_iter().filter(|part| !part.is_empty());
        let with = parts.collect::<Vec<_>>().join(", ");
        Self { parameter, others, with, before }
    }

    fn line(&self) -> String {
        format!("postconf -e {}", quoted(&format!("{} = {}", self.parameter, self.with)))
    }

    fn undo(&self) -> String {
        without(self.parameter, if self.others == self.before { "" } else { &self.others })
    }
}

/// The line that leaves a parameter with what others have there; without anything it is no longer set.
fn without(parameter: &str, others: &str) -> String {
    match others {
        "" => format!("postconf -X {parameter}"),
        others => format!("postconf -e {}", quoted(&format!("{parameter} = {others}"))),
    }
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn sendmail(address: &Address) -> Lines {
    let lines = lines::sendmail(address);
    let undo = lines.iter().map(|line| format!("dnl remove: {line}")).collect();
    let notes = vec![
        "in sendmail.mc, before the MAILER lines and after other filters; then build the .cf (Debian: make -C \
         /etc/mail) and restart Sendmail"
            .to_owned(),
    ];
    let why = "Sendmail, as a milter";
    Lines { way: Way::Sendmail, why, lines: lines.to_vec(), undo, notes, left: Vec::new() }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Lines { way, why, lines, undo, notes, left } in &self.ways {
            let told_left =
                |f: &mut fmt::Formatter<'_>| left.iter().try_for_each(|note| writeln!(f, "# Note: {note}."));
            if self.bare {
                // A shell passes over it; in sendmail.mc it would be no comment.
                let note = self.placeholder.iter().filter(|_| *way != Way::Sendmail);
                note.into_iter().try_for_each(|note| writeln!(f, "# Note: {note}."))?;
                let lines = if self.undo { undo } else { lines };
                lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
                if self.undo {
                    told_left(f)?;
                }
                continue;
            }
            writeln!(f, "# {why}.")?;
            notes.iter().try_for_each(|note| writeln!(f, "# Note: {note}."))?;
            if !self.undo {
                lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
                writeln!(f, "# To undo it:")?;
            }
            undo.iter().try_for_each(|line| writeln!(f, "#   {line}"))?;
            told_left(f)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(document: &str, mark: &str) -> String {
        let (_, after) = document.split_once(&format!("<!-- {mark} -->\n```\n")).unwrap();
        after.split_once("```").unwrap().0.to_owned()
    }

    fn lines(config: &Config, way: Way) -> Lines {
        Desk::of(config, Err(&Unread::NotHere)).lines(way).unwrap()
    }

    #[test]
    fn the_documents_have_the_same_lines() {
        let config = Config::default();
        let postfix = include_str!("../../docs/postfix.md");
        for (way, mark) in [(Way::Milter, "milter"), (Way::Policy, "policy"), (Way::Both, "both")] {
            let told = lines(&config, way).lines;
            let (reload, told) = told.split_last().unwrap();
            assert_eq!(reload, "postfix reload");
            assert_eq!(told.join("\n") + "\n", block(postfix, &format!("postconf: {mark}")), "{mark}");
        }
        let sendmail = include_str!("../../docs/sendmail.md");
        assert_eq!(lines(&config, Way::Sendmail).lines.join("\n") + "\n", block(sendmail, "mc"));
    }

    #[test]
    fn what_is_there_stays_before_ours_and_comes_back() {
        let change = Change::new("smtpd_milters", "inet:localhost:11332".to_owned(), "{ ours }", "");
        assert_eq!(change.line(), "postconf -e 'smtpd_milters = inet:localhost:11332, { ours }'");
        assert_eq!(change.undo(), "postconf -e 'smtpd_milters = inet:localhost:11332'");
        let ending = Change::new("x", "reject_unauth_destination, permit".to_owned(), "ours", "");
        assert_eq!(ending.line(), "postconf -e 'x = reject_unauth_destination, ours, permit'");
        let quote = Change::new("x", "check_client_access inline:{a='b'}".to_owned(), "ours", "");
        assert!(quote.line().contains(r"inline:{a='\''b'\''}, ours"), "{}", quote.line());
        let alone = Change::new("x", String::new(), "ours", "before");
        assert_eq!(
            (alone.line().as_str(), alone.undo().as_str()),
            ("postconf -e 'x = before, ours'", "postconf -X x")
        );
    }

    #[test]
    fn what_asks_by_another_name_or_socket_of_ours_is_replaced() {
        let listen = "milter.listen = [\"unix:/var/spool/postfix/tempfail/m\", \"127.0.0.1:10422\"]\n";
        let config = Config::parse("t", listen).unwrap().config;
        let postfix = Postfix::with(&[
            ("smtpd_milters", "inet:localhost:11332, { inet:127.0.0.1:10422, default_action=accept }"),
            ("smtpd_recipient_restrictions", "permit_mynetworks, check_policy_service inet:localhost:10421"),
        ]);
        let desk = Desk::of(&config, Ok(&postfix));
        let milter = desk.lines(Way::Milter).unwrap();
        assert!(milter.lines[0].contains("= inet:localhost:11332, { unix:tempfail/m, "), "{milter:?}");
        assert_eq!(milter.undo[0], "postconf -e 'smtpd_milters = inet:localhost:11332'");
        let policy = desk.lines(Way::Policy).unwrap();
        assert!(
            policy.lines[0].contains("= permit_mynetworks, check_policy_service { inet:127.0.0.1:10421, ")
        );
    }

    #[test]
    fn undoing_leaves_no_list_or_class_that_asks() {
        let ours = "check_policy_service inet:127.0.0.1:10421";
        let postfix = Postfix::with(&[
            ("smtpd_relay_restrictions", &format!("reject_unauth_destination, {ours}")),
            ("smtpd_client_restrictions", ours),
            ("smtpd_restriction_classes", "alone, some"),
            ("alone", ours),
            ("some", &format!("reject_unlisted_sender {ours}")),
            ("smtpd_helo_restrictions", "check_policy_service inet:127.0.0.1:1"),
        ]);
        let lines = Desk::of(&Config::default(), Ok(&postfix)).lines(Way::Policy).unwrap();
        assert_eq!(
            lines.undo,
            [
                "postconf -X smtpd_recipient_restrictions",
                "postconf -X smtpd_data_restrictions",
                "postconf -X smtpd_client_restrictions",
                "postconf -e 'smtpd_relay_restrictions = reject_unauth_destination'",
                "postconf -e 'some = reject_unlisted_sender'",
                "postfix reload",
            ]
        );
        assert!(lines.left.len() == 1 && lines.left[0].starts_with("the class alone "), "{lines:?}");
        let args = SetupArgs { way: Some(Way::Policy), undo: true, config: None, json: false };
        let shown = Setup::of(&Config::default(), Ok(&postfix), &args).to_string();
        assert!(shown.contains("# Note: the class alone "), "{shown}");
    }

    #[test]
    fn lines_that_begin_from_nothing_say_so_to_a_shell_too() {
        let fails = Unread::Fails("fatal: open /none/main.cf".to_owned());
        let shown = |postfix, way, undo| {
            let args = SetupArgs { way: Some(way), undo, config: None, json: false };
            Setup::of(&Config::default(), postfix, &args).to_string()
        };
        for (way, undo) in [(Way::Milter, false), (Way::Milter, true), (Way::Policy, false)] {
            let failed = shown(Err(&fails), way, undo);
            let note =
                "# Note: postconf fails: fatal: open /none/main.cf: name what you have before tempfail";
            assert!(failed.starts_with(note) && failed.contains("\npostconf -"), "{failed}");
        }
        assert!(shown(Err(&Unread::NotHere), Way::Both, false).starts_with("# Note: no postconf here: "));
        assert!(!shown(Err(&fails), Way::Sendmail, false).contains("# Note"));
        assert!(shown(Ok(&Postfix::with(&[])), Way::Milter, false).starts_with("postconf -e"));
    }

    #[test]
    fn an_argument_stays_with_its_restriction() {
        let list = "permit_mynetworks check_client_access hash:/x,reject_rbl_client  a.example, \
                    reject_rhsbl_sender b.example reject";
        assert_eq!(
            restrictions(&words(list)),
            "permit_mynetworks, check_client_access hash:/x, reject_rbl_client a.example, \
             reject_rhsbl_sender b.example, reject"
        );
    }

    #[test]
    fn a_socket_that_a_chroot_hides_is_told() {
        let listens = |path: &str| {
            let text = format!("policy.listen = []\nmilter.listen = [\"unix:{path}\"]\n");
            Config::parse("t", &text).unwrap().config
        };
        let hidden = lines(&listens("/run/tempfail/m"), Way::Milter);
        assert!(hidden.notes[0].contains("does not see it"), "{hidden:?}");
        let within = lines(&listens("/var/spool/postfix/tempfail/m"), Way::Milter);
        assert!(within.lines[0].contains("{ unix:tempfail/m, ") && within.notes.len() == 1, "{within:?}");
        assert!(
            Desk::of(&listens("/run/x"), Err(&Unread::NotHere)).lines(Way::Policy).is_none(),
            "it listens nowhere for it"
        );
    }
}
