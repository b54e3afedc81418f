//! Why a server or the wait for it failed, with what a reader needs to see in a failed test.

use std::io;
use std::time::Duration;

/// A failure of the test support itself, or of a server it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The machine lacks something.
    #[error("{0}")]
    Missing(String),
    /// A command ended with a failure.
    #[error("{command} failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its standard output and standard error.
        output: String,
    },
    /// A server ended although nobody stopped it.
    #[error("{server} ended by itself; its log:\n{log}")]
    Died {
        /// Which server.
        server: &'static str,
        /// The end of what it logged.
        log: String,
    },
    /// Something awaited did not come.
    #[error("{what} did not come within {within:?}; the log:\n{log}")]
    Deadline {
        /// What was awaited.
        what: String,
        /// How long.
        within: Duration,
        /// The end of the log that was watched.
        log: String,
    },
}

impl Error {
    /// For `map_err` on input and output.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
