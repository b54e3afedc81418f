//! The section of the content filter: which header fields its verdict is read from, and whose word counts.

use super::reader::Section;
use super::values;
use compact_str::CompactString;
use milter::{FilterHeader, Forgeries, Options, Reading};

/// How a field is read, before its threshold is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    YesNo,
    Flag,
    Score,
}

const KINDS: [(&str, Kind); 3] = [("yes-no", Kind::YesNo), ("flag", Kind::Flag), ("score", Kind::Score)];
const FORGERIES: [(&str, Forgeries); 2] =
    [("possible", Forgeries::Possible), ("removed", Forgeries::Removed)];

/// Reads the section.
pub(super) fn section(mut section: Section<'_>, options: &mut Options) {
    if let Some(headers) = section.sections("headers") {
        options.filter_headers = headers.into_iter().filter_map(header).collect();
    }
    section.set("trusted_authserv_ids", &mut options.trusted_authserv_ids, values::domains);
    section.finish();
}

fn header(mut section: Section<'_>) -> Option<FilterHeader> {
    let name = section.require("name", |value| values::parsed(value, "a header field's name", field_name));
    let kind = section.require("reading", |value| values::one_of(value, &KINDS));
    let (mut threshold, mut forgeries) = (None, Forgeries::Possible);
    section.set("threshold", &mut threshold, |value| values::number(value, -1e6..=1e6).map(Some));
    section.set("forgeries", &mut forgeries, |value| values::one_of(value, &FORGERIES));
    let reading = kind.and_then(|kind| reading(&section, kind, threshold));
    section.finish();
    Some(FilterHeader { name: name?, reading: reading?, forgeries })
}

fn reading(section: &Section<'_>, kind: Kind, threshold: Option<f64>) -> Option<Reading> {
    match (kind, threshold) {
        (Kind::YesNo, None) => Some(Reading::YesNo),
        (Kind::Flag, None) => Some(Reading::Flag),
        (Kind::Score, Some(threshold)) => Some(Reading::Score { threshold: threshold as f32 }),
        (Kind::Score, None) => {
            section.object("reading", "\"score\" needs a threshold");
            None
        }
        (_, Some(_)) => {
            section.object("threshold", "only reading = \"score\" has one");
            None
        }
    }
}

/// A field's name (RFC 5322 section 3.6.8), as long as a line has room for.
fn field_name(text: &str) -> Option<CompactString> {
    let fits = (1..=76).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    fits.then(|| CompactString::new(text))
}
