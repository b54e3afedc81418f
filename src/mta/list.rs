//! Postfix's lists: words apart by commas and white space, of which one in braces is a word whole.
//!
//! Invariant: no text panics; braces that do not close are a word to the end, as they stand.

/// The words of a list.
pub(crate) fn words(list: &str) -> Vec<&str> {
    let (mut words, mut start, mut depth) = (Vec::new(), None, 0usize);
    for (at, c) in list.char_indices() {
        match c {
            ',' | ' ' | '\t' | '\r' | '\n' if depth == 0 => {
                words.extend(start.take().map(|from| &list[from..at]))
            }
            _ => {
                depth = match c {
                    '{' => depth + 1,
                    '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                start.get_or_insert(at);
            }
        }
    }
    words.extend(start.map(|from| &list[from..]));
    words
}

/// A milter or policy service of a list: its endpoint, and the options in its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'l> {
    pub(crate) endpoint: &'l str,
    options: Vec<(&'l str, &'l str)>,
}

impl<'l> Asked<'l> {
    /// Reads `{ inet:127.0.0.1:10422, default_action=accept }`, or the endpoint alone.
    pub(crate) fn of(word: &'l str) -> Self {
        let inside = word.strip_prefix('{').and_then(|word| word.strip_suffix('}')).unwrap_or(word);
        let mut words = self::words(inside).into_iter();
        let endpoint = words.next().unwrap_or_default();
        let bare = |text: &'l str| text.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
        let options = words.filter_map(|word| bare(word).split_once('='));
        Self { endpoint, options: options.map(|(name, value)| (name.trim(), value.trim())).collect() }
    }

    /// The value of an option, if it is set here.
    pub(crate) fn option(&self, name: &str) -> Option<&'l str> {
        self.options.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

/// The policy services of a list of restrictions, each with the places of its two words.
pub(crate) fn policy_services<'l>(words: &[&'l str]) -> Vec<(usize, Asked<'l>)> {
    let is_service = |word: &str| word.eq_ignore_ascii_case("check_policy_service");
    let places = words.iter().enumerate().filter(|(_, word)| is_service(word)).map(|(place, _)| place);
    places.filter_map(|place| Some((place, Asked::of(words.get(place + 1)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn braces_hold_a_word_together() {
        let list = "inet:a:1, { inet:b:2, x = { 451 4.3.5 no } },unix:c  d";
        assert_eq!(words(list), ["inet:a:1", "{ inet:b:2, x = { 451 4.3.5 no } }", "unix:c", "d"]);
        let asked = Asked::of("{ inet:127.0.0.1:1, default_action=accept, command_timeout=10s }");
        assert_eq!(asked.endpoint, "inet:127.0.0.1:1");
        assert_eq!(asked.option("default_action"), Some("accept"));
        assert_eq!(asked.option("timeout"), None);
        assert_eq!(Asked::of("unix:x").endpoint, "unix:x");
    }

    #[test]
    fn policy_services_are_found_among_restrictions() {
        let words =
            words("permit_mynetworks, check_policy_service { inet:h:1, timeout=5s }, check_policy_service");
        let services = policy_services(&words);
        assert_eq!(services.len(), 1);
        assert_eq!((services[0].0, services[0].1.option("timeout")), (1, Some("5s")));
    }

    proptest! {
        #[test]
        fn no_list_panics(list in "[a-z{}, =:\\PC]{0,60}") {
            let words = words(&list);
            words.iter().for_each(|word| drop(Asked::of(word)));
            let _ = policy_services(&words);
        }
    }
}
