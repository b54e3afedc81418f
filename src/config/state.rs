//! The section of the state: where it is kept, and for how long.

use super::reader::{Section, Value};
use super::values;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The directory that "auto" finds if it exists.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/tempfail";
const AUTO: &str = "auto";

/// Where the state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateDirectory {
    /// Where the system has made a place for it: what systemd names, or [`DEFAULT_DIRECTORY`] if it exists. The
    /// program resolves it when it starts; a daemon that is started with it keeps its state in memory.
    #[default]
    Auto,
    /// Nowhere: a restart begins anew.
    Memory,
    /// There.
    At(PathBuf),
}

impl StateDirectory {
    /// What was written, as in the file: "auto", nothing, or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            AUTO => Self::Auto,
            "" => Self::Memory,
            path => Self::At(path.into()),
        }
    }

    /// The place that "auto" stands for. `systemd` is what `STATE_DIRECTORY` says: one directory, or several with
    /// a colon between them.
    pub fn resolved(self, systemd: Option<&str>, default: &Path) -> Self {
        let first = systemd.and_then(|list| list.split(':').next()).filter(|path| !path.is_empty());
        match self {
            Self::Auto => match first.map(Path::new).or(default.is_dir().then_some(default)) {
                Some(path) => Self::At(path.to_owned()),
                None => Self::Memory,
            },
            decided => decided,
        }
    }

    /// The directory, if there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::At(path) => Some(path),
            Self::Auto | Self::Memory => None,
        }
    }
}

/// Reads the section.
pub(super) fn section(mut section: Section<'_>, directory: &mut StateDirectory, retention: &mut Duration) {
    section.set("directory", directory, |value: Value<'_>| {
        let text = value.text("\"auto\", a directory, or \"\" for memory only")?;
        match StateDirectory::parse(text) {
            StateDirectory::At(path) if !path.is_absolute() => {
                Err(value.unexpected("\"auto\", \"\" or a path that begins with /"))
            }
            parsed => Ok(parsed),
        }
    });
    let why = "what is known of a sender of a weekly letter should outlast a missed one";
    section.set("retention", retention, |value| values::duration(value, 14 * DAY..=3650 * DAY, why));
    section.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_what_systemd_names_or_what_exists() {
        let (there, absent) = (std::env::temp_dir(), Path::new("/nowhere/at/all"));
        let auto = |systemd, default: &Path| StateDirectory::Auto.resolved(systemd, default);
        assert_eq!(auto(Some("/a:/b"), &there), StateDirectory::At("/a".into()));
        assert_eq!(auto(None, &there), StateDirectory::At(there.clone()));
        assert_eq!(auto(Some(""), absent), StateDirectory::Memory);
        let explicit = StateDirectory::parse("/x").resolved(Some("/a"), &there);
        assert_eq!(explicit.path(), Some(Path::new("/x")));
        assert_eq!(StateDirectory::parse("").resolved(Some("/a"), &there), StateDirectory::Memory);
    }
}
