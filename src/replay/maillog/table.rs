//! What a replay of a mail log found, as a table for people.

use super::reader::Unreadable;
use super::report::{Deferrals, LogReport, Who};
use crate::replay::hints::hint;
use policy_core::verdict::in_words;
use std::fmt;
use std::time::Duration;

/// Hosts that are proposed for an exemption.
const PROPOSED: usize = 10;

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.would_defer;
        let time = in_words(Duration::from_secs(self.to - self.from));
        writeln!(f, "{} messages from outside in {time}", self.messages)?;
        self.left_out(f)?;
        let share = percent(all.deferred, all.messages);
        writeln!(f, "\nEnforcing would have deferred {} of them, {share:.2} %", all.deferred)?;
        if all.deferred > 0 {
            writeln!(f, "{} were followed by more of the same sender within a day", all.came_back)?;
            self.reasons(f)?;
            who(f, "Hosts", &self.hosts)?;
            who(f, "Domains of senders", &self.domains)?;
            self.proposal(f)?;
        }
        let (seconds, speed) = (self.seconds, self.decisions_per_second);
        writeln!(f, "\n{} decisions in {seconds:.1} s, {speed:.0} a second", self.messages)
    }
}

impl LogReport {
    fn left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = &self.log;
        for (count, what) in [
            (log.authenticated, "of authenticated clients, not judged"),
            (log.local, "from this host itself, not judged"),
            (log.unfinished, "never in the queue, or not whole in the log"),
            (log.unknown_recipients, "refused for an unknown recipient, which is held against the client"),
            (log.refused, "refused by the mail server for other reasons"),
            (log.unreadable_lines, "lines that cannot be read, left out"),
            (log.torn_lines, "left out as a last line that was torn"),
            (log.cut_files, "compressed files were cut off: what came after that is missing"),
        ] {
            if count > 0 {
                writeln!(f, "{count:>8} {what}")?;
            }
        }
        if let Some(Unreadable { file, line, why }) = &log.first_unreadable {
            writeln!(f, "The first line that cannot be read is {file}:{line}: {why}")?;
        }
        Ok(())
    }

    fn reasons(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<20} {:>9} {:>10}", "By reason", "deferred", "came back")?;
        for (reason, Deferrals { deferred, came_back, .. }) in &self.reasons {
            writeln!(f, "{reason:<20} {deferred:>9} {came_back:>10}  {}", hint(reason))?;
        }
        Ok(())
    }

    /// Hosts that came back are mail servers, and an operator may want to spare them the first wait.
    fn proposal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = |who: &&Who| who.deferrals.came_back > 0 && who.standing != Some("Bad");
        let hosts: Vec<String> =
            self.hosts.iter().filter(back).take(PROPOSED).map(|who| format!("\"{}\"", who.who)).collect();
        if hosts.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\nThese came back, so a wait would have cost them time alone. Who of them you know and"
        )?;
        writeln!(f, "want to spare it goes into the configuration, under [exempt]:\n")?;
        writeln!(f, "clients = [{}]", hosts.join(", "))
    }
}

fn percent(part: u64, all: u64) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

fn who(f: &mut fmt::Formatter<'_>, title: &str, list: &[Who]) -> fmt::Result {
    writeln!(f, "\n{title:<46} {:>8} {:>8} {:>9}  why", "messages", "deferred", "came back")?;
    for Who { who, name, deferrals, reasons, .. } in list {
        let who = name.as_ref().map_or_else(|| who.clone(), |name| format!("{who} {name}"));
        let why: Vec<&str> = reasons.keys().copied().collect();
        let Deferrals { messages, deferred, came_back } = deferrals;
        writeln!(f, "{who:<46} {messages:>8} {deferred:>8} {came_back:>9}  {}", why.join(", "))?;
    }
    Ok(())
}
