//! Lines for the configuration: what they are, and where each came from.

use std::collections::BTreeMap;
use std::fmt;

/// A value and where it came from.
type Values = BTreeMap<String, String>;

/// Lines for the configuration.
#[derive(Debug, Default)]
pub struct Settings {
    clients: Values,
    recipients: Values,
    /// Any other key, as `section.key`, with its value as it is written.
    keys: BTreeMap<&'static str, (String, String)>,
}

impl Settings {
    /// A client that is exempt.
    pub(super) fn client(&mut self, value: String, origin: String) {
        self.clients.entry(value).or_insert(origin);
    }

    /// A recipient that is exempt.
    pub(super) fn recipient(&mut self, value: String, origin: String) {
        self.recipients.entry(value).or_insert(origin);
    }

    /// A key with its value as it is written.
    pub(super) fn key(&mut self, key: &'static str, value: String, origin: String) {
        self.keys.insert(key, (value, origin));
    }

    /// Whether a key has a value already.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|(value, _)| value.as_str())
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.clients.len() + self.recipients.len() + self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Lines for the configuration, by section. The header of each is a comment: the operator's file has it as a rule, and a
/// second one would be an error.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (section, lines) in self.sections() {
            write!(f, "\n# [{section}]\n{lines}")?;
        }
        Ok(())
    }
}

impl Settings {
    fn sections(&self) -> BTreeMap<&str, String> {
        let mut sections: BTreeMap<&str, String> = BTreeMap::new();
        for (key, (value, origin)) in &self.keys {
            let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
            let line = format!("{key} = {value} # {}\n", comment(origin));
            sections.entry(section).or_default().push_str(&line);
        }
        let lists = [("clients", &self.clients), ("recipients", &self.recipients)];
        for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            sections.entry("exempt").or_default().push_str(&list(name, values));
        }
        sections
    }
}

fn list(name: &str, values: &Values) -> String {
    let value = |(value, origin): (&String, &String)| format!("  \"{value}\", # {}\n", comment(origin));
    format!("{name} = [\n{}]\n", values.iter().map(value).collect::<String>())
}

/// What a comment can hold: a file's name is whatever somebody called it.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
