//! The log: one line a decision, one line an event, whatever the peer sends.
//!
//! Invariant: a line never holds a control character, so nobody outside can begin a line of their own; and
//! writing one never waits, so a log that nobody reads cannot hold a decision up (see `sink`).
//!
//! Text lines are `key=value` as mail operators know them; JSON lines are flat objects with the same keys.
//! Under systemd a text line bears its priority as `<6>` and leaves the time to the journal.

mod decision;
mod line;
mod sink;

pub(crate) use decision::{decision, mode, protocol};
pub(crate) use line::moment;
pub use sink::Flush;

use crate::clock::system_now;
use line::{Line, Value};
use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value`.
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    /// The formats by their names in the configuration.
    pub const WORDS: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];

    pub(crate) fn render(self, line: &Line<'_>, stamp: Stamp) -> String {
        match self {
            Self::Text => line.text(stamp),
            Self::Json => line.json(),
        }
    }
}

/// How a text line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// The time and the level.
    Time,
    /// The priority, for the journal, which knows the time.
    Priority,
}

/// Where lines go. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    sink: sink::Sink,
    format: Format,
    stamp: Stamp,
    level: LevelFilter,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("format", &self.format)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// A log on standard error. The second part writes out what is left, at the end of the program.
    ///
    /// # Errors
    ///
    /// The writing thread cannot be started.
    pub fn stderr(format: Format, level: LevelFilter) -> std::io::Result<(Self, Flush)> {
        let stamp = if sink::is_journal() { Stamp::Priority } else { Stamp::Time };
        let (sink, flush) = sink::start(std::io::stderr(), move |lines| format.render(&lost(lines), stamp))?;
        Ok((Self { sink, format, stamp, level }, flush))
    }

    /// A log whose lines, without line feed, go to `sink`, which must not wait.
    pub fn to(format: Format, level: LevelFilter, sink: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), format, stamp: Stamp::Time, level }
    }

    /// A log that nobody reads.
    pub fn discard() -> Self {
        Self::to(Format::Text, LevelFilter::OFF, drop)
    }

    /// Whether lines of this level are written.
    pub(crate) fn enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        (self.sink)(self.format.render(line, self.stamp));
    }

    /// The log as a layer for the events of all crates.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> + use<S> {
        Events(self.clone()).with_filter(self.level)
    }
}

/// Writes events.
struct Events(Log);

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::event(system_now(), *event.metadata().level());
        event.record(&mut Fields(&mut line));
        self.0.write(&line);
    }
}

/// The line that says that lines are missing.
pub(crate) fn lost(lines: u64) -> Line<'static> {
    let mut line = Line::event(system_now(), Level::WARN);
    line.push("message", Value::Text("log lines lost, nobody read them".into()));
    line.push("lines", Value::Integer(i64::try_from(lines).unwrap_or(i64::MAX)));
    line
}

/// Takes an event's fields into a line.
struct Fields<'l>(&'l mut Line<'static>);

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push(field.name(), Value::Number(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push(field.name(), Value::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push(field.name(), Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push(field.name(), Value::Flag(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push(field.name(), Value::Text(value.to_owned().into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(field.name(), Value::Text(format!("{value:?}").into()));
    }
}
