//! A server's log file, read and awaited while the server writes it.
//!
//! Only whole lines count. A file that is not there yet reads as empty.

use crate::Error;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long [`Log::wait_for`] waits: ample for a loaded machine, as a pass never takes it.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of a log shown in an error.
const SHOWN: usize = 60;

/// A log file from some point on.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// The whole of the file at `path`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), from: 0 }
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same file, from where it ends now: only what is logged later.
    pub fn from_here(&self) -> Self {
        let from = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        Self { path: self.path.clone(), from }
    }

    /// All text logged so far.
    pub fn text(&self) -> Result<String, Error> {
        self.read_from(self.from).map_err(Error::io(self.path.display().to_string()))
    }

    /// The last lines, for a report.
    pub(crate) fn tail(&self) -> String {
        let text = self.text().unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// The first line that contains `needle`, awaited for up to 30 seconds.
    pub async fn wait_for(&self, needle: &str) -> Result<String, Error> {
        self.wait_until(&format!("the log line {needle:?}"), PATIENCE, |line| line.contains(needle)).await
    }

    /// The first line that `wanted` accepts. `what` names it in the error when it does not come.
    pub async fn wait_until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, Error> {
        match timeout(within, self.watch(wanted)).await {
            Ok(line) => line.map_err(Error::io(self.path.display().to_string())),
            Err(_) => Err(Error::Deadline { what: what.to_owned(), within, log: self.tail() }),
        }
    }

    async fn watch(&self, wanted: impl Fn(&str) -> bool) -> io::Result<String> {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut from = self.from;
        loop {
            ticks.tick().await;
            let text = self.read_from(from)?;
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            if let Some(line) = whole.lines().find(|line| wanted(line)) {
                return Ok(line.to_owned());
            }
            from += whole.len() as u64;
        }
    }

    /// What follows byte `from`. Bytes that are not ASCII become `?`, so that text and file keep the
    /// same length.
    fn read_from(&self, from: u64) -> io::Result<String> {
        let mut file = match std::fs::File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            file => file?,
        };
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes.into_iter().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_line_is_found_only_once_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "first\nsecond is cut").unwrap();
        let log = Log::at(file.path());
        let short = Duration::from_millis(50);
        assert_eq!(log.wait_for("first").await.unwrap(), "first");
        assert!(log.wait_until("a cut line", short, |line| line.contains("second")).await.is_err());
        let (line, ()) = tokio::join!(log.wait_for("second"), async {
            writeln!(file, " short").unwrap();
        });
        assert_eq!(line.unwrap(), "second is cut short");
    }

    #[tokio::test]
    async fn from_here_sees_only_what_follows() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "caf\u{e9} old").unwrap();
        let log = Log::at(file.path()).from_here();
        writeln!(file, "new").unwrap();
        assert_eq!(log.text().unwrap(), "new\n");
        assert_eq!(log.wait_for("").await.unwrap(), "new");
    }

    #[tokio::test]
    async fn a_missing_file_is_an_empty_log() {
        assert_eq!(Log::at("/nonexistent/log").text().unwrap(), "");
    }
}
