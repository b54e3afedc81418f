//! What is wrong with a configuration, and where.
//!
//! The first line of each finding is `file:line:column: error: what`, as compilers write it, so that editors
//! and `grep` find the place; the line of the file follows with the place underlined. Lines and columns count
//! from one, columns in characters.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use thiserror::Error;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is used, but likely not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// The line, from one.
    pub line: usize,
    /// The column in characters, from one.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what was expected.
    pub message: String,
    /// What was likely meant.
    pub suggestion: Option<String>,
    /// The line's text.
    source: String,
    /// How many characters of it are meant; at least one.
    width: usize,
}

/// A finding before its place is worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Octets of the file.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

impl Diagnostic {
    /// Works out the place of a finding in `text`.
    pub(super) fn locate(file: &str, text: &str, finding: Finding) -> Self {
        let start = text.floor_char_boundary(finding.span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let source = text[line_start..].lines().next().unwrap_or_default();
        let in_line = start - line_start;
        let end = text.floor_char_boundary(finding.span.end).saturating_sub(line_start).min(source.len());
        let width = source.get(in_line..end).map_or(0, |meant| meant.chars().count());
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            severity: finding.severity,
            message: finding.message,
            suggestion: finding.suggestion,
            source: source.to_owned(),
            width: width.max(1),
        }
    }

    /// What is wrong, with the suggestion, without the place.
    pub fn summary(&self) -> String {
        match &self.suggestion {
            Some(suggestion) => format!("{}; did you mean {suggestion}?", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, .. } = self;
        writeln!(f, "{file}:{line}:{column}: {severity}: {}", self.summary())?;
        let gutter = " ".repeat(line.to_string().len());
        writeln!(f, "  {line} | {}", self.source)?;
        let before: String =
            self.source.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "  {gutter} | {before}{}", "^".repeat(self.width))
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file could be read, and this is wrong with it: errors, and warnings beside them, in the order of
    /// the file.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, span: Range<usize>) -> Diagnostic {
        let finding = Finding { severity: Severity::Error, span, message: "wrong".into(), suggestion: None };
        Diagnostic::locate("a.toml", text, finding)
    }

    #[test]
    fn places_count_from_one_in_characters() {
        let text = "x = 1\n\tß = \"é\"\r\n";
        let place = at(text, 12..16);
        assert_eq!((place.line, place.column), (2, 6));
        assert_eq!(place.to_string(), "a.toml:2:6: error: wrong\n  2 | \tß = \"é\"\n    | \t    ^^^");
        assert_eq!((at(text, 0..1).line, at(text, 0..1).column), (1, 1));
    }

    #[test]
    fn a_place_at_or_behind_the_end_is_no_failure() {
        for text in ["", "x", "x\n"] {
            for span in [0..0, 1..1, 1..9, 7..9] {
                assert!(!at(text, span).to_string().is_empty());
            }
        }
    }
}
