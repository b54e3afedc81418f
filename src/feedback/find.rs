//! Which message feedback is about.
//!
//! In a delivered message the uppermost mark that holds; else the border server's Received line, and behind it the
//! decision, where that is still among the latest. In a report only a mark counts, or a line whose decision is
//! remembered: above that line others have written, whose word proves nothing.

use super::header::Header;
use super::received::Border;
use super::report::Report;
use super::{Found, FoundBy, LONGEST_MESSAGE, LONGEST_REPORT, Refused};
use crate::engine::Engine;
use crate::mark::Unmarked;
use crate::recent::Record;
use policy_core::answer::DecisionId;
use policy_core::feedback::Subject;

/// The message of a text that begins with its header.
pub(super) fn in_message(engine: &Engine, text: &str) -> Result<Found, Refused> {
    let header = Header::read(cut(text, LONGEST_MESSAGE));
    let why = match by_mark(engine, &header) {
        Ok(found) => return Ok(found),
        Err(why) => why,
    };
    let policy = engine.policy();
    let border = Border::of(&header, &policy.exempt.own_networks);
    let border = border.ok_or_else(|| Refused::NotFound(not_found(why)))?;
    Ok(decided(engine, &border).unwrap_or_else(|| received(engine, &header, &border)))
}

/// The message that a report includes.
pub(super) fn in_report(engine: &Engine, report: &Report) -> Result<Found, Refused> {
    let mut why = None;
    let own_networks = &engine.policy().exempt.own_networks;
    for candidate in &report.candidates {
        let header = Header::read(cut(candidate, LONGEST_REPORT));
        match by_mark(engine, &header) {
            Ok(found) => return Ok(found),
            Err(unmarked) => why = why.or(unmarked),
        }
        if let Some(found) = Border::of(&header, own_networks).and_then(|border| decided(engine, &border)) {
            return Ok(found);
        }
    }
    let mark = why.map_or_else(|| "it has no mark of ours".to_owned(), |why| format!("of its mark: {why}"));
    Err(Refused::NotFound(format!("the report includes none, {mark}")))
}

/// The message that this decision let in.
pub(super) fn by_id(engine: &Engine, id: &str) -> Result<Found, Refused> {
    let unknown = || Refused::NotFound(format!("no decision {id:?} among the latest"));
    let record = DecisionId::parse(id).and_then(|id| engine.recent(id)).ok_or_else(unknown)?;
    remembered(&record).ok_or_else(unknown)
}

/// The message of this queue id.
pub(super) fn by_queue_id(engine: &Engine, id: &str) -> Result<Found, Refused> {
    let unknown = || Refused::NotFound(format!("no message {id:?} among the latest decisions"));
    let record = engine.recent_queue_id(id, None).ok_or_else(unknown)?;
    remembered(&record).ok_or_else(unknown)
}

/// By its mark; else why the uppermost is none.
fn by_mark(engine: &Engine, header: &Header) -> Result<Found, Option<Unmarked>> {
    let mut why = None;
    for mark in &header.marks {
        match engine.marker().read(mark, &header.anchor) {
            Ok(marked) => {
                let client = engine.recent(marked.id).map(|record| record.facts.client.address);
                return Ok(Found { subject: marked.subject, by: FoundBy::Mark, client, id: Some(marked.id) });
            }
            Err(unmarked) => why = why.or(Some(unmarked)),
        }
    }
    Err(why)
}

fn decided(engine: &Engine, border: &Border) -> Option<Found> {
    let record = engine.recent_queue_id(border.queue_id.as_deref()?, Some(border.client.address))?;
    remembered(&record)
}

fn remembered(record: &Record) -> Option<Found> {
    let subject = record.subject.clone().or_else(|| Subject::of_verdict(&record.verdict, record.at))?;
    let client = Some(record.facts.client.address);
    Some(Found { subject, by: FoundBy::Decision, client, id: Some(record.verdict.id) })
}

/// The message as its Received line tells of it.
fn received(engine: &Engine, header: &Header, border: &Border) -> Found {
    let now = engine.clock().now();
    let at = border.at.unwrap_or(now).min(now);
    let queue_id = border.queue_id.as_deref().unwrap_or_default();
    let fields = header.anchor.text(header.anchor.present()).unwrap_or_default();
    // A mail server uses a queue id again, but not within the same day.
    let day = border.at.map_or_else(String::new, |at| (at.as_millis() / 86_400_000).to_string());
    let subject = engine.state().subject(&border.facts(), &[&border.by, queue_id, &day, &fields], at);
    Found { subject, by: FoundBy::Received, client: Some(border.client.address), id: None }
}

fn not_found(why: Option<Unmarked>) -> String {
    let line = "no Received field tells of a client outside";
    why.map_or_else(|| line.to_owned(), |why| format!("{line}, and of its mark: {why}"))
}

/// At most so many octets of a text.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
