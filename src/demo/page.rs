//! What the reader sees: readable on a terminal, plain in a pipe.

use crate::explain::because;
use crate::recent::Record;
use owo_colors::{OwoColorize, Style};
use policy_core::verdict::Action;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How many columns text takes.
const WIDTH: usize = 100;
/// Columns before a verdict's text: when, through which protocol, on whom.
const MARGIN: usize = 41;

/// Standard output, coloured when it is a terminal and nobody has asked for none (no-color.org).
#[derive(Debug)]
pub(super) struct Page {
    colour: bool,
}

impl Page {
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && io::stdout().is_terminal() }
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    fn line(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{text}")
    }

    /// A heading.
    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        self.line("")?;
        self.line(&self.paint(text, Style::new().bold()))
    }

    /// Prose, wrapped.
    pub(super) fn prose(&self, text: &str) -> io::Result<()> {
        wrapped(text, WIDTH).iter().try_for_each(|line| self.line(line))
    }

    /// Text as it stands.
    pub(super) fn verbatim(&self, text: &str) -> io::Result<()> {
        self.line(text.trim_end())
    }

    /// A verdict: when, through which protocol, on whom, what was said on the wire, and why.
    pub(super) fn verdict(&self, since: Duration, over: &str, said: &str, record: &Record) -> io::Result<()> {
        let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let clock = format!("day {:>2} {:02}:{:02}", days + 1, secs / 3600, secs / 60 % 60);
        let style = match record.verdict.action {
            Action::Accept => Style::new().green(),
            Action::Defer => Style::new().yellow(),
            Action::Reject => Style::new().red(),
        };
        let client = record.facts.client.address;
        let mut margin = format!("  {clock}  {over:<6}  {client:<15}");
        let texts = [(said.to_owned(), style), (why(record), Style::new().dimmed())];
        for (text, style) in texts {
            for line in wrapped(&text, WIDTH - MARGIN) {
                self.line(&format!("{margin:<MARGIN$}{}", self.paint(&line, style)))?;
                margin.clear();
            }
        }
        Ok(())
    }
}

/// The text in lines of at most `width`, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The reason in plain words.
fn why(record: &Record) -> String {
    let verdict = &record.verdict;
    let reason = because(&verdict.reason);
    let Some(standing) = &verdict.standing else { return reason };
    let strongest = standing.contributions.iter().take(2).map(|c| c.source.to_string());
    format!(
        "{reason}. Standing {}, {:.0} % spam, mostly by: {}",
        standing.word,
        100.0 * standing.judged,
        strongest.collect::<Vec<_>>().join(", ")
    )
}
