//! rspamd: its limits and its greylisting, as far as they have a counterpart here.
//!
//! A limit by the client's address becomes what a stranger may send in an hour. rspamd counts recipients, and lets
//! a burst come at once; an hour's worth here comes at once too, so the larger of both is taken: nobody may send less
//! than before. What limits recipients, users or messages alike has no counterpart: this is about who sends.
//!
//! Files are read as rspamd merges them: what `override.d` says outranks `local.d`, and that `modules.d`.

use super::places::{self, name_of};
use super::ucl::{self, Node};
use super::whitelist;
use super::{Carried, MigrateError};
use std::path::{Path, PathBuf};

/// Where its files usually are: `/etc/rspamd`.
const NAMES: [&str; 8] = [
    "modules.d/ratelimit.conf",
    "modules.d/greylist.conf",
    "ratelimit.conf",
    "greylist.conf",
    "local.d/ratelimit.conf",
    "local.d/greylist.conf",
    "override.d/ratelimit.conf",
    "override.d/greylist.conf",
];
/// The longest that a stranger waits here, in seconds.
const LONGEST_WAIT: f64 = 300.0;

/// A file that is being read.
struct Source<'a> {
    path: &'a Path,
    carried: &'a mut Carried,
}

/// Reads a place.
pub(super) fn read(place: &Path, carried: &mut Carried) -> Result<(), MigrateError> {
    for path in places::files(place, &NAMES)? {
        let (root, macros) = ucl::parse(&places::text(&path)?)
            .map_err(|(line, what)| MigrateError::Line { path: path.clone(), line, what })?;
        for (line, text) in macros {
            let why = "macro, which is not followed; name the file it includes, if that says anything";
            carried.left.note(why, format_args!("{}:{line} {text}", path.display()));
        }
        let mut source = Source { path: &path, carried };
        let sections = [("ratelimit", Source::ratelimit as fn(&mut _, &_)), ("greylist", Source::greylist)];
        let mut found = false;
        for (section, take) in sections {
            // In local.d a file is the inside of its section.
            let inside =
                Some(&root).filter(|_| name_of(&path).contains(section) && root.get(section).is_none());
            for node in
                root.pairs().iter().filter(|(name, _)| name == section).map(|(_, node)| node).chain(inside)
            {
                found = true;
                take(&mut source, node);
            }
        }
        if !found {
            let what = "has no section ratelimit and no section greylist".to_owned();
            return Err(MigrateError::NotOurs { path, what });
        }
        carried.read.push(path);
    }
    Ok(())
}

impl Source<'_> {
    fn at(&self, node: &Node) -> String {
        format!("{}:{}", self.path.display(), node.line)
    }

    fn leave(&mut self, why: &str, node: &Node, what: &str) {
        let place = self.at(node);
        self.carried.left.note(why, format_args!("{place} {what}"));
    }

    fn ratelimit(&mut self, section: &Node) {
        for (key, node) in section.pairs() {
            match key.as_str() {
                "rates" => node.pairs().iter().for_each(|(name, limit)| self.limit(name, limit)),
                "whitelisted_rcpts" => self.recipients(node),
                "whitelisted_ip" => self.map(node, Self::client),
                "whitelisted_user" => {
                    self.leave("list of users; who has authenticated is exempt anyway", node, key);
                }
                "max_rate_mult" | "max_bucket_mult" | "ham_factor_rate" | "spam_factor_rate"
                | "ham_factor_burst" | "spam_factor_burst" => {
                    self.leave(
                        "setting of how limits grow; here a sender's quota follows its good mail",
                        node,
                        key,
                    );
                }
                _ => self.leave(NO_COUNTERPART, node, &format!("ratelimit {key}")),
            }
        }
    }

    fn limit(&mut self, name: &str, limit: &Node) {
        let by = limit.get("selector").and_then(Node::text).unwrap_or(name);
        if !matches!(by, "ip" | "rip") {
            let why = match by {
                by if by.contains("user") => "limit by user; who has authenticated is exempt here",
                _ => "limit by something else than the client's address",
            };
            return self.leave(why, limit, &format!("{name}, by {by}"));
        }
        let buckets: Option<Vec<f64>> =
            limit.get("bucket").unwrap_or(limit).elements_of_buckets().into_iter().map(hourly).collect();
        let Some(least) = buckets.and_then(|hourly| hourly.into_iter().reduce(f64::min)) else {
            return self.leave("limit that rspamd would not take either", limit, name);
        };
        // Of several limits the strictest binds, wherever it stands.
        let set = self
            .carried
            .settings
            .value(RECIPIENTS)
            .and_then(|value| value.trim_matches('"').strip_suffix("/h"));
        let least = set.and_then(|set| set.parse().ok()).map_or(least, |set: f64| set.min(least));
        let least = least.clamp(1.0, 1e9).round();
        let place = self.at(limit);
        self.carried.settings.key(RECIPIENTS, format!("\"{least}/h\""), place);
    }

    fn greylist(&mut self, section: &Node) {
        for (key, node) in section.pairs() {
            match key.as_str() {
                "timeout" => self.wait(node),
                "enabled" if node.text().is_some_and(is_false) => {
                    let place = self.at(node);
                    self.carried.settings.key(WAIT, "\"0s\"".to_owned(), place);
                }
                "enabled" => {}
                "whitelisted_ip" => self.map(node, Self::client),
                "whitelist_domains_url" => self.map(node, Self::client),
                "expire" | "ipv4_mask" | "ipv6_mask" | "max_data_len" => self.leave(
                    "setting of how a retry is known; here it is known by verified domain, host name or prefix, for its time",
                    node,
                    key,
                ),
                _ => self.leave(NO_COUNTERPART, node, &format!("greylist {key}")),
            }
        }
    }

    fn wait(&mut self, node: &Node) {
        let Some(secs) = node.text().and_then(seconds) else {
            return self.leave("time that rspamd would not take either", node, "greylist timeout");
        };
        if secs > LONGEST_WAIT {
            let why = "longer than the five minutes that anybody waits here at most";
            self.leave(why, node, &format!("greylist timeout, {secs} seconds"));
        }
        let place = self.at(node);
        let value = format!("\"{}s\"", secs.clamp(0.0, LONGEST_WAIT).round());
        // What the module ships with does not outrank a module that is switched off.
        if self.carried.settings.value(WAIT) != Some("\"0s\"") {
            self.carried.settings.key(WAIT, value, place);
        }
    }

    /// Local parts or addresses, in a row with commas between them or one by one.
    fn recipients(&mut self, node: &Node) {
        for element in node.elements() {
            for name in
                element.text().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
            {
                if is_place(name) {
                    self.map(element, Self::recipient);
                } else {
                    let place = self.at(element);
                    self.recipient(name, place);
                }
            }
        }
    }

    fn recipient(&mut self, name: &str, place: String) {
        let value = if name.contains('@') { name.to_owned() } else { format!("{name}@") };
        match whitelist::recipient(&value) {
            Ok(recipient) => self.carried.settings.recipient(recipient, place),
            Err(why) => self.carried.left.note(why, format_args!("{place} {name}")),
        }
    }

    fn client(&mut self, text: &str, place: String) {
        match whitelist::client(text) {
            Ok(client) => self.carried.settings.client(client, place),
            Err(why) => self.carried.left.note(why, format_args!("{place} {text}")),
        }
    }

    /// Entries that stand here, or in files that are named here.
    fn map(&mut self, node: &Node, take: fn(&mut Self, &str, String)) {
        for element in node.elements() {
            let Some(text) = element.text() else {
                self.leave("map in a form of its own", element, "");
                continue;
            };
            match self.file(text) {
                Named::Nothing => take(self, text, self.at(element)),
                Named::Elsewhere => self.leave("map that lies elsewhere", element, text),
                Named::File(path) => match places::list(&path) {
                    // A value behind a key says how much it counts.
                    Ok(lines) => lines.into_iter().for_each(|(place, line)| {
                        let key = line.split_whitespace().next().unwrap_or_default();
                        take(self, key, place);
                    }),
                    Err(error) => self.leave("map that cannot be read", element, &error.to_string()),
                },
            }
        }
    }

    /// What a map's name stands for.
    fn file(&self, text: &str) -> Named {
        if !is_place(text) {
            return Named::Nothing;
        }
        let path = text.rsplit_once("file://").map_or(text, |(_, path)| path);
        let path = path.strip_prefix("fallback+").unwrap_or(path);
        if path.contains("://") {
            return Named::Elsewhere;
        }
        let root = self.root();
        let names = ["${LOCAL_CONFDIR}", "$LOCAL_CONFDIR", "${CONFDIR}", "$CONFDIR"];
        let rest = names.iter().find_map(|name| path.strip_prefix(name));
        match rest.map(|rest| root.join(rest.trim_start_matches('/'))) {
            Some(path) => Named::File(path),
            None if path.contains('$') => Named::Elsewhere,
            None => Named::File(path.into()),
        }
    }

    /// The directory that has `local.d`.
    fn root(&self) -> PathBuf {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let inside = ["local.d", "override.d", "modules.d"].contains(&name_of(parent));
        if inside { parent.parent().unwrap_or(parent).to_owned() } else { parent.to_owned() }
    }
}

enum Named {
    /// It is an entry itself.
    Nothing,
    File(PathBuf),
    Elsewhere,
}

const RECIPIENTS: &str = "limits.cold.recipients";
const WAIT: &str = "first_contact.wait";
const NO_COUNTERPART: &str = "key without a counterpart";

fn is_place(text: &str) -> bool {
    text.starts_with(['/', '$']) || text.contains("://")
}

fn is_false(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "off")
}

impl Node {
    /// The buckets of a limit: one, several, or of old a burst and a rate.
    fn elements_of_buckets(&self) -> Vec<&Self> {
        let elements = self.elements();
        let pair = elements.len() == 2
            && elements.iter().all(|element| element.text().is_some_and(|t| number(t).is_some()));
        if pair { vec![self] } else { elements.iter().collect() }
    }
}

/// What comes in by the hour through a bucket, or at once.
fn hourly(bucket: &Node) -> Option<f64> {
    let (burst, by_second) = match (bucket.text(), bucket.elements()) {
        (Some(text), _) => {
            let (count, over) = rate(text)?;
            (count, count / over)
        }
        (None, [burst, rate]) => (number(burst.text()?)?, number(rate.text()?)?),
        (None, _) => {
            let text = bucket.get("rate")?.text()?;
            let by_second = rate(text).map(|(count, over)| count / over).or_else(|| number(text))?;
            (number(bucket.get("burst")?.text()?)?, by_second)
        }
    };
    let hourly = burst.max(by_second * 3600.0);
    (hourly.is_finite() && hourly > 0.0).then_some(hourly)
}

/// "20 / 1m": how many, over how many seconds.
fn rate(text: &str) -> Option<(f64, f64)> {
    let (count, over) = text.split_once('/')?;
    let over = over.trim();
    let unit = over.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let length: f64 = over.strip_suffix(unit)?.parse().ok()?;
    let over = match unit {
        "" | "s" => length,
        "m" | "min" => length * 60.0,
        "h" => length * 3600.0,
        "d" => length * 86_400.0,
        _ => return None,
    };
    Some((number(count.trim())?, over)).filter(|(count, over)| *count > 0.0 && *over > 0.0)
}

/// A number that may end in k, m or g.
fn number(text: &str) -> Option<f64> {
    let (digits, factor) = match text.trim().strip_suffix(['k', 'm', 'g']) {
        Some(digits) if text.trim().ends_with('k') => (digits, 1e3),
        Some(digits) if text.trim().ends_with('m') => (digits, 1e6),
        Some(digits) => (digits, 1e9),
        None => (text.trim(), 1.0),
    };
    digits.parse().ok().map(|number: f64| number * factor).filter(|number| number.is_finite())
}

/// Seconds; a suffix is one of UCL's for times.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_read_as_rspamd_reads_them() {
        let hour = |text: &str| hourly(ucl::parse(&format!("a = {text}")).unwrap().0.get("a").unwrap());
        assert_eq!(hour("\"20 / 1m\""), Some(1200.0));
        assert_eq!(hour("{ burst = 100; rate = 0.5 }"), Some(1800.0));
        assert_eq!(hour("{ burst = 2k; rate = \"1 / 1h\" }"), Some(2000.0));
        assert_eq!(hour("[ 30, 0.001 ]"), Some(30.0));
        for bad in ["\"20\"", "\"0 / 1m\"", "\"1 / 0\"", "{ burst = 1 }", "\"a / b\"", "[0, 0]", "\"1 / 1x\""]
        {
            assert_eq!(hour(bad), None, "{bad}");
        }
        assert_eq!(
            ["5min", "300", "1h", "90s", "5m", "x"].map(seconds),
            [Some(300.0), Some(300.0), Some(3600.0), Some(90.0), None, None]
        );
    }
}
