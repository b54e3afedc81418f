//! What a `sendmail.cf` says of our filter.

use super::Finding;
use crate::address::Address;
use crate::config::Config;
use crate::mta::lines;
use crate::mta::sendmail::{Filter, filters};

/// Everything.
pub(crate) fn findings(cf: &str, config: &Config) -> Vec<Finding> {
    let filters = filters(cf);
    let ours: Vec<&Filter> = filters.iter().filter(|filter| is_ours(filter, &config.milter.listen)).collect();
    if ours.is_empty() {
        let what = "sendmail.cf names no filter that is this daemon";
        return vec![Finding::new("not-configured", what, "add the lines of \"tempfail setup sendmail\"")];
    }
    ours.into_iter().flat_map(of_filter).collect()
}

fn of_filter(filter: &Filter) -> Vec<Finding> {
    let Filter { name, failure, timeouts, used, .. } = filter;
    let mut found = Vec::new();
    if !used {
        let what = format!("sendmail.cf defines the filter {name} and does not use it");
        found.push(Finding::new("not-configured", what, "define it with INPUT_MAIL_FILTER, not MAIL_FILTER"));
    }
    if !failure.is_empty() {
        let what = format!("with tempfail away Sendmail takes no mail (F={failure})");
        found.push(Finding::new("default-action", what, "write F=, which lets it in"));
    }
    if timeouts.is_empty() {
        let what = "sendmail.cf has no T= for tempfail: Sendmail waits for minutes for one that hangs";
        found.push(Finding::new("timeout", what, "write T=C:10s;S:10s;R:10s;E:60s"));
    }
    found
}

fn is_ours(filter: &Filter, listen: &[Address]) -> bool {
    listen.iter().any(|address| match address {
        Address::Unix(path) => {
            let named = filter.socket.strip_prefix("unix:").or_else(|| filter.socket.strip_prefix("local:"));
            named.unwrap_or(&filter.socket) == path.display().to_string()
        }
        Address::Tcp(tcp) => {
            let own = lines::reachable(*tcp);
            let (kind, rest) = filter.socket.split_once(':').unwrap_or_default();
            let (port, host) = rest.split_once('@').unwrap_or((rest, ""));
            let here = host == "localhost" || host.trim_matches(['[', ']']) == own.ip().to_string();
            kind.starts_with("inet") && here && port == own.port().to_string()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(cf: &str) -> Vec<&'static str> {
        findings(cf, &Config::default()).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_fault_has_its_finding() {
        let used = "O InputMailFilters=tempfail\n";
        let good = "Xtempfail, S=inet:10422@127.0.0.1, F=, T=C:10s;S:10s;R:10s;E:60s\n";
        assert_eq!(codes(&format!("{used}{good}")), [""; 0]);
        assert_eq!(codes(good), ["not-configured"]);
        assert_eq!(codes(used), ["not-configured"]);
        assert_eq!(codes(&format!("{used}{}", good.replace("F=", "F=T"))), ["default-action"]);
        let bare = "Xtempfail, S=inet:10422@localhost, F=R\n";
        assert_eq!(codes(&format!("{used}{bare}")), ["default-action", "timeout"]);
    }
}
