//! `tempfail doctor`: what is wrong with a running system, one finding a line, each with what to do.
//!
//! It looks at the configuration, asks the daemon for its status, and reads the configuration of the mail server on
//! this host. Each check is a function from what was seen to findings; nothing is changed anywhere.
//!
//! Known limits: it sees the mail server of this host alone, and of the clock only what the daemon's says differently.

pub(crate) mod daemon;
pub(crate) mod postfix;
pub(crate) mod sendmail;
mod socket;

use serde::Serialize;
use std::fmt;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A stable word for it.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) todo: String,
}

impl Finding {
    pub(crate) fn new(code: &'static str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { code, what: what.into(), todo: todo.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.code, self.what, self.todo)
    }
}
