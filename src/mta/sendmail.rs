//! The mail filters of a `sendmail.cf`: lines of `Xname, S=..., F=..., T=...`, and the option that names those in use.

/// A filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) name: String,
    /// `S=`: where it listens.
    pub(crate) socket: String,
    /// `F=`: what becomes of mail without it; nothing lets mail in.
    pub(crate) failure: String,
    /// `T=`: how long it is waited for.
    pub(crate) timeouts: String,
    /// Whether `InputMailFilters` names it.
    pub(crate) used: bool,
}

/// The filters of a configuration.
pub(crate) fn filters(cf: &str) -> Vec<Filter> {
    let used = cf.lines().find_map(|line| line.strip_prefix("O InputMailFilters=")).unwrap_or_default();
    let uses = |name: &str| used.split(',').any(|used| used.trim() == name);
    let definitions = cf.lines().filter_map(|line| line.strip_prefix('X'));
    let filters = definitions.filter_map(|line| {
        let (name, rest) = line.split_once(',')?;
        let field = |key: &str| {
            let found = rest.split(',').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('='));
            found.unwrap_or_default().trim().to_owned()
        };
        let name = name.trim().to_owned();
        Some(Filter {
            used: uses(&name),
            name,
            socket: field("S"),
            failure: field("F"),
            timeouts: field("T"),
        })
    });
    filters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_with_what_becomes_of_mail_without_them() {
        let cf = "O InputMailFilters=other, tempfail\nXother, S=unix:/x\n\
            Xtempfail, S=inet:10422@127.0.0.1, F=T, T=C:10s;S:10s;R:10s;E:60s\nXbroken\n";
        let all = filters(cf);
        assert_eq!(all.len(), 2);
        let Filter { name, socket, failure, timeouts, used } = &all[1];
        assert_eq!(
            (name.as_str(), socket.as_str(), failure.as_str()),
            ("tempfail", "inet:10422@127.0.0.1", "T")
        );
        assert!(*used && timeouts == "C:10s;S:10s;R:10s;E:60s");
    }
}
