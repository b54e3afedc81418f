//! A progress bar on standard error, when that is a terminal.

use std::io::{IsTerminal, Write};

const WIDTH: usize = 40;

/// How far a run has come.
pub(super) struct Progress {
    what: &'static str,
    all: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, all: usize) -> Self {
        Self { what, all, done: 0, shown: std::io::stderr().is_terminal() }
    }

    /// One more is done; drawn a hundred times a run.
    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.shown && self.done.is_multiple_of((self.all / 100).max(1)) {
            let full = "#".repeat(WIDTH * self.done / self.all.max(1));
            self.write(&format!("\r{:<9} [{full:<WIDTH$}] {} of {}", self.what, self.done, self.all));
        }
    }

    /// Clears the line.
    pub(super) fn done(&self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }

    /// A terminal that has gone away is no reason to stop.
    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
