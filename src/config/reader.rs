//! Reads a parsed TOML document key by key and gathers every mistake on the way, not just the first.
//!
//! A [`Section`] is told each key that it may hold. What is left over at its end is unknown, and is answered
//! with the nearest key of the section, or with the section that the key belongs to.

use super::diagnostic::{Diagnostic, Finding, Severity};
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with one value.
#[derive(Debug)]
pub(super) struct Fault {
    span: Range<usize>,
    message: String,
    suggestion: Option<String>,
}

impl Fault {
    /// The same, with what was likely meant.
    pub(super) fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }
}

/// What is wrong with a value: one thing, or one of each of a list's elements.
#[derive(Debug)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// One value and its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a Spanned<DeValue<'a>>);

impl<'a> Value<'a> {
    /// A fault of this value.
    pub(super) fn fault(self, message: impl Into<String>) -> Fault {
        Fault { span: self.0.span(), message: message.into(), suggestion: None }
    }

    /// The fault of being something else.
    pub(super) fn unexpected(self, expected: &str) -> Fault {
        self.fault(format!("expected {expected}, found {}", found(self.0.get_ref())))
    }

    /// Its text, if it is one.
    pub(super) fn text(self, expected: &str) -> Result<&'a str, Fault> {
        self.0.get_ref().as_str().ok_or_else(|| self.unexpected(expected))
    }

    /// The value without its place.
    pub(super) fn get(self) -> &'a DeValue<'a> {
        self.0.get_ref()
    }

    /// Its elements, if it is an array.
    pub(super) fn elements(self, expected: &str) -> Result<impl Iterator<Item = Self>, Fault> {
        let array = self.0.get_ref().as_array().ok_or_else(|| self.unexpected(expected))?;
        Ok(array.iter().map(Value))
    }
}

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", shortened(text)),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain("...".chars()).collect()
}

/// The nearest of `choices` to what was written, if one is near.
pub(super) fn nearest<'c>(written: &str, choices: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let written = written.to_lowercase().replace('-', "_");
    let distance = |choice: &str| strsim::osa_distance(&written, &choice.replace('-', "_"));
    let (distance, choice) = choices.into_iter().map(|choice| (distance(choice), choice)).min()?;
    (distance <= (choice.len() / 3).clamp(1, 3)).then_some(choice)
}

struct Unknown {
    section: String,
    key: String,
    span: Range<usize>,
}

/// Everything found so far.
#[derive(Default)]
pub(super) struct Findings {
    list: RefCell<Vec<Finding>>,
    unknown: RefCell<Vec<Unknown>>,
    /// Every key that exists, with its section.
    known: RefCell<Vec<(String, &'static str)>>,
}

impl Findings {
    fn push(&self, severity: Severity, fault: Fault) {
        let Fault { span, message, suggestion } = fault;
        self.list.borrow_mut().push(Finding { severity, span, message, suggestion });
    }

    /// An error of the syntax. Of a key that stands there twice the parser does not say which it is.
    pub(super) fn syntax(&self, error: &toml::de::Error, text: &str) {
        let span = error.span().unwrap_or_default();
        let message = match (error.message(), text.get(span.clone())) {
            ("duplicate key", Some(key)) => {
                format!("duplicate key {:?}: each key and each section stands in a file once", shortened(key))
            }
            (message, _) => message.replace('\n', ", "),
        };
        self.push(Severity::Error, Fault { span, message, suggestion: None });
    }

    /// All of it, in the order of the file. Where the syntax is broken, what else is said of that line would
    /// only confuse.
    pub(super) fn into_diagnostics(self, file: &str, text: &str, broken: &[Range<usize>]) -> Vec<Diagnostic> {
        for unknown in self.unknown.take() {
            let (message, suggestion) = self.explain(&unknown);
            self.push(Severity::Error, Fault { span: unknown.span, message, suggestion });
        }
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| finding.span.start);
        // The parser tells of a section when it begins and when it ends.
        list.dedup();
        let line = |at: usize| text[..text.floor_char_boundary(at)].matches('\n').count();
        let broken: Vec<(usize, usize)> = broken.iter().map(|span| (span.start, line(span.start))).collect();
        list.retain(|finding| {
            let start = finding.span.start;
            broken.iter().any(|&(at, _)| at == start) || broken.iter().all(|&(_, on)| on != line(start))
        });
        list.into_iter().map(|finding| Diagnostic::locate(file, text, finding)).collect()
    }

    /// The keys that exist, as `section.key`.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<String> {
        self.known.borrow().iter().map(|(section, key)| join(section, key)).collect()
    }

    fn explain(&self, unknown: &Unknown) -> (String, Option<String>) {
        let Unknown { section, key, .. } = unknown;
        let known = self.known.borrow();
        let here: Vec<&str> = known.iter().filter(|(s, _)| s == section).map(|(_, key)| *key).collect();
        let elsewhere = known.iter().filter(|(_, known)| known == key);
        let elsewhere: Vec<String> = elsewhere
            .map(|(section, key)| format!("{:?}{}", join(section, key), before_all(section)))
            .collect();
        let near = || nearest(key, here.iter().copied()).map(|near| format!("{near:?}"));
        let meant = if elsewhere.is_empty() { near() } else { Some(elsewhere.join(" or ")) };
        let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
        let expected: Vec<String> = here.iter().map(|key| format!("{key:?}")).collect();
        let message =
            format!("unknown key {:?}{place}, expected one of {}", shortened(key), expected.join(", "));
        (message, meant)
    }
}

/// A key of no section is one of the section before it, unless none is.
fn before_all(section: &str) -> &'static str {
    if section.is_empty() { " at the top, before the first [section]" } else { "" }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// One table of the document, being read. [`Section::finish`] ends it.
#[must_use]
pub(super) struct Section<'a> {
    name: String,
    /// `None` when the file does not have it.
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    seen: Vec<&'static str>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(super) fn top(document: &'a Spanned<DeTable<'a>>, findings: &'a Findings) -> Self {
        Self { name: String::new(), table: Some(document.get_ref()), span: 0..0, seen: Vec::new(), findings }
    }

    /// Declares a key, and looks it up.
    fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.seen.push(key);
        let known = (self.name.clone(), key);
        if !self.findings.known.borrow().contains(&known) {
            self.findings.known.borrow_mut().push(known);
        }
        self.look_up(key).map(|(_, value)| value)
    }

    fn look_up(&self, key: &str) -> Option<(Range<usize>, Value<'a>)> {
        let (name, value) = self.table?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((name.span(), Value(value)))
    }

    fn object_all(&self, key: &str, faults: Faults) {
        for mut fault in faults.0 {
            fault.message = format!("{}: {}", join(&self.name, key), fault.message);
            self.findings.push(Severity::Error, fault);
        }
    }

    /// Reads a key into `target`, which keeps its default when the key is absent or wrong.
    pub(super) fn set<T, E: Into<Faults>>(
        &mut self,
        key: &'static str,
        target: &mut T,
        read: impl FnOnce(Value<'a>) -> Result<T, E>,
    ) {
        match self.take(key).map(read) {
            Some(Ok(value)) => *target = value,
            Some(Err(faults)) => self.object_all(key, faults.into()),
            None => {}
        }
    }

    /// Reads a key that must be there.
    pub(super) fn require<T, E: Into<Faults>>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value<'a>) -> Result<T, E>,
    ) -> Option<T> {
        let mut target = None;
        self.set(key, &mut target, |value| read(value).map(Some));
        if self.table.is_some() && self.look_up(key).is_none() {
            let message = format!("{}: missing key {key:?}", self.name);
            let span = self.span.clone();
            self.findings.push(Severity::Error, Fault { span, message, suggestion: None });
        }
        target
    }

    /// A table below this one; an empty one when the file does not have it.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let value = self.take(key);
        let table = value.and_then(|value| value.get().as_table());
        if let (Some(value), None) = (value, table) {
            self.object_all(key, value.unexpected(&format!("a table [{}]", join(&self.name, key))).into());
        }
        self.below(key, value, table)
    }

    /// The tables of an array of tables.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Self>> {
        let value = self.take(key)?;
        let expected = format!("an array of tables [[{}]]", join(&self.name, key));
        let elements = match value.elements(&expected) {
            Ok(elements) => elements,
            Err(fault) => {
                self.object_all(key, fault.into());
                return None;
            }
        };
        let section = |value: Value<'a>| match value.get().as_table() {
            Some(table) => Some(self.below(key, Some(value), Some(table))),
            None => {
                self.object_all(key, value.unexpected("a table").into());
                None
            }
        };
        Some(elements.filter_map(section).collect())
    }

    fn below(&self, key: &str, value: Option<Value<'a>>, table: Option<&'a DeTable<'a>>) -> Self {
        let span = value.map_or(0..0, |value| value.0.span());
        Self { name: join(&self.name, key), table, span, seen: Vec::new(), findings: self.findings }
    }

    /// Objects to what a key means beside others; said at the key, or at the section when it is not there.
    pub(super) fn object(&self, key: &str, message: impl Into<String>) {
        let fault = Fault { span: self.place(key), message: message.into(), suggestion: None };
        self.object_all(key, fault.into());
    }

    /// Warns of what a key means, if the file has it.
    pub(super) fn warn(&self, key: &str, message: &str) {
        if self.look_up(key).is_some() {
            let message = format!("{}: {message}", join(&self.name, key));
            self.findings.push(Severity::Warning, Fault { span: self.place(key), message, suggestion: None });
        }
    }

    /// Whether the file has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.look_up(key).is_some()
    }

    fn place(&self, key: &str) -> Range<usize> {
        self.look_up(key).map_or_else(|| self.span.clone(), |(_, value)| value.0.span())
    }

    /// Ends the section: what was not asked for is unknown.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (name, _) in table.iter().filter(|(name, _)| !self.seen.contains(&name.get_ref().as_ref())) {
            self.findings.unknown.borrow_mut().push(Unknown {
                section: self.name.clone(),
                key: name.get_ref().to_string(),
                span: name.span(),
            });
        }
    }
}
