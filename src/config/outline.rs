//! How much a file says, to see that it was cut off: what is left of it is often a valid file.

use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The keys of a file, counted by their section: `mode` and `policy.listen` are one of `mode` and one of `policy`. Of an
/// array of tables those of all its tables are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline(BTreeMap<String, usize>);

/// A section that has fewer keys or more than it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its name; a key of no section is one by itself.
    pub section: String,
    /// Keys that it had; none when it was not there.
    pub before: usize,
    /// Keys that it has; none when it is gone.
    pub now: usize,
}

impl Outline {
    pub(super) fn of(document: &DeTable<'_>) -> Self {
        let sections = document.iter();
        Self(sections.map(|(name, value)| (name.get_ref().to_string(), keys(value.get_ref()))).collect())
    }

    /// What has fewer keys than before, or more, by name.
    pub fn changed_since(&self, before: &Self) -> Vec<Changed> {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let changed = names.into_iter().map(|section| {
            let [before, now] = [before, self].map(|outline| outline.0.get(section).copied().unwrap_or(0));
            Changed { section: section.clone(), before, now }
        });
        changed.filter(|changed| changed.before != changed.now).collect()
    }
}

fn keys(value: &DeValue<'_>) -> usize {
    match value {
        DeValue::Table(table) => table.iter().map(|(_, value)| keys(value.get_ref())).sum(),
        DeValue::Array(array) if array.iter().any(|element| element.get_ref().as_table().is_some()) => {
            array.iter().map(|element| keys(element.get_ref())).sum()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Outline {
        Outline::of(DeTable::parse_recoverable(text).0.get_ref())
    }

    #[test]
    fn a_cut_anywhere_is_seen() {
        let text = "mode = \"enforce\"\nspamtraps = [\"a@b.example\", \"c@b.example\"]\n[limits]\ngrowth = 3\n\
                    [limits.cold]\nmessages = \"9/h\"\n[[list]]\nzone = \"a.example\"\n[[list]]\nzone = \"b.example\"\n";
        let whole = outline(text);
        let seen = |text: &str| {
            let changed = outline(text).changed_since(&whole);
            changed.into_iter().map(|c| (c.section, c.before, c.now)).collect::<Vec<_>>()
        };
        assert_eq!(seen(text), []);
        let lines: Vec<&str> = text.lines().collect();
        for end in (0..lines.len()).filter(|end| !lines[*end].starts_with('[')) {
            assert!(!seen(&lines[..end].join("\n")).is_empty(), "cut before {:?}", lines[end]);
        }
        let cut = seen(&lines[..6].join("\n"));
        assert_eq!(cut, [("list".to_owned(), 2, 0)]);
        assert_eq!(seen(&format!("code = 421\n{text}")), [("code".to_owned(), 0, 1)]);
    }
}
