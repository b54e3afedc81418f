//! What the configuration of the Postfix on this host says: whether it asks, what it does when nobody answers, and
//! whether it can reach the daemon at all.

use super::Finding;
use super::socket::{self, Caller};
use crate::address::Address;
use crate::config::Config;
use crate::mta::lines::{is_ours, unix_path};
use crate::mta::list::{Asked, policy_services, words};
use crate::mta::postfix::Postfix;
use std::net::IpAddr;

/// A mail server that waits longer than this for us keeps its clients waiting.
const LONGEST_WAIT: u64 = 10;
const MILTERS: &str = "smtpd_milters";
const RELAY: &str = "smtpd_relay_restrictions";
const RECIPIENT: &str = "smtpd_recipient_restrictions";
/// What keeps strangers from relaying.
const RELAY_CHECKS: [&str; 2] = ["reject_unauth_destination", "defer_unauth_destination"];
const SETUP: &str = "compare with the lines of \"tempfail setup\"";

/// Everything.
pub(crate) fn findings(postfix: &Postfix, config: &Config) -> Vec<Finding> {
    let look = Look { postfix, config };
    let mut found = look.milters();
    found.extend(postfix.restriction_lists().flat_map(|parameter| look.services(parameter)));
    found.extend(look.lists().flat_map(|parameter| look.outdone(parameter)));
    if !look.is_asked() {
        let what = "Postfix names tempfail in no list of milters or restrictions";
        found.push(Finding::new("not-configured", what, "put the lines of \"tempfail setup\" in force"));
    }
    found.extend(look.processes());
    let mut told = Vec::new();
    found.retain(|finding| {
        let new = !told.contains(finding);
        told.push(finding.clone());
        new
    });
    found
}

struct Look<'a> {
    postfix: &'a Postfix,
    config: &'a Config,
}

impl Look<'_> {
    /// What a parameter is in `main.cf`, and what it is for the services that have it of their own.
    fn values(&self, parameter: &str) -> Vec<&str> {
        let own = self.postfix.services.iter().filter_map(|service| service.own(parameter));
        std::iter::once(self.postfix.value(parameter)).chain(own).collect()
    }

    fn milters(&self) -> Vec<Finding> {
        self.values(MILTERS).into_iter().flat_map(|value| self.milters_of(value)).collect()
    }

    fn milters_of(&self, value: &str) -> Vec<Finding> {
        let list = words(value);
        let ours = |word: &str| self.is_our_milter(word);
        let mut found: Vec<Finding> =
            list.iter().filter(|word| ours(word)).flat_map(|word| self.milter(&Asked::of(word))).collect();
        let is_last = list.last().is_none_or(|last| ours(last));
        if !is_last && list.iter().any(|word| ours(word)) {
            let what =
                "other milters come after tempfail: it sees nothing of what they write into the message";
            found.push(Finding::new("not-last", what, "put tempfail last in smtpd_milters"));
        }
        if list.iter().any(|word| ours(word)) {
            found.extend(self.judged_own_networks());
        }
        found
    }

    /// A milter is asked about Postfix's own networks too. Loopback is left to the check of the configuration.
    fn judged_own_networks(&self) -> Option<Finding> {
        let own = &self.config.policy.exempt.own_networks;
        let list = words(self.postfix.value("mynetworks"));
        let judged = list.into_iter().filter(|word| {
            begin_of_network(word).is_some_and(|begin| !begin.is_loopback() && !own.contains(begin))
        });
        let judged = judged.collect::<Vec<_>>().join(" ");
        (!judged.is_empty()).then(|| {
            let what =
                format!("Postfix's mynetworks has {judged}, whose mail the milter judges as a stranger's");
            Finding::new("own-networks", what, "name it in [exempt] own_networks too, if it is yours")
        })
    }

    fn milter(&self, milter: &Asked<'_>) -> Vec<Finding> {
        let action = milter.option("default_action").unwrap_or(self.postfix.value("milter_default_action"));
        let timeout =
            milter.option("command_timeout").unwrap_or(self.postfix.value("milter_command_timeout"));
        let stops = !action.eq_ignore_ascii_case("accept");
        let stops = stops.then(|| {
            let what = format!("with tempfail away Postfix does as its milter default action says, {action}");
            Finding::new("default-action", what, format!("set default_action=accept; {SETUP}"))
        });
        let slow = slow("the milter's command_timeout", timeout);
        [stops, slow, self.unreachable(milter.endpoint)].into_iter().flatten().collect()
    }

    fn services(&self, parameter: &str) -> Vec<Finding> {
        self.values(parameter).into_iter().flat_map(|value| self.services_of(parameter, value)).collect()
    }

    fn services_of(&self, parameter: &str, value: &str) -> Vec<Finding> {
        let (list, all) = (words(value), self.postfix.with_classes(value));
        let ours = self.our_services(&list);
        let found = ours.iter().flat_map(|(_, service)| self.service(parameter, service));
        let late = self.our_services(&all).into_iter().any(|(place, _)| {
            relay_check_is_late(parameter, &all[..place]) && !self.relaying_is_checked_before(parameter)
        });
        let late = late.then(|| {
            let what = "the policy service is asked before reject_unauth_destination, about relaying too";
            Finding::new("order", what, "put reject_unauth_destination before it")
        });
        found.chain(late).collect()
    }

    fn our_services<'l>(&self, list: &[&'l str]) -> Vec<(usize, Asked<'l>)> {
        let services = policy_services(list).into_iter();
        services
            .filter(|(_, asked)| self.is_ours(asked.endpoint, &self.config.policy_service.listen))
            .collect()
    }

    fn service(&self, parameter: &str, service: &Asked<'_>) -> Vec<Finding> {
        let default = self.postfix.value("smtpd_policy_service_default_action");
        let action = service.option("default_action").unwrap_or(default);
        let word = action.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let stops = !["DUNNO", "OK", "PERMIT"].contains(&word.as_str());
        let stops = stops.then(|| {
            let what = format!("with tempfail away {parameter} answers \"{action}\" to everybody");
            Finding::new("default-action", what, format!("set default_action=DUNNO; {SETUP}"))
        });
        let timeout = service.option("timeout").unwrap_or(self.postfix.value("smtpd_policy_service_timeout"));
        let slow = slow(&format!("the policy service's timeout in {parameter}"), timeout);
        [stops, slow, self.unreachable(service.endpoint)].into_iter().flatten().collect()
    }

    fn is_ours(&self, named: &str, listen: &[Address]) -> bool {
        is_ours(named, listen, self.postfix.queue_directory())
    }

    /// Postfix asks the relay restrictions before those of recipients, unless it is told otherwise or behaves as
    /// before 3.6; then it asks them after.
    fn relaying_is_checked_before(&self, parameter: &str) -> bool {
        let relay_first = self.postfix.value("smtpd_relay_before_recipient_restrictions") == "yes";
        let before = match parameter {
            RECIPIENT if relay_first => RELAY,
            RELAY if !relay_first => RECIPIENT,
            _ => return false,
        };
        self.postfix.with_classes(self.postfix.value(before)).iter().any(|word| RELAY_CHECKS.contains(word))
    }

    fn is_our_milter(&self, word: &str) -> bool {
        self.is_ours(Asked::of(word).endpoint, &self.config.milter.listen)
    }

    /// Every parameter that may name tempfail.
    fn lists(&self) -> impl Iterator<Item = &str> {
        std::iter::once(MILTERS).chain(self.postfix.restriction_lists())
    }

    /// Whether a list of milters or restrictions names us, or a class that does.
    fn names_us(&self, parameter: &str, value: &str) -> bool {
        match parameter {
            MILTERS => words(value).iter().any(|word| self.is_our_milter(word)),
            _ => !self.our_services(&self.postfix.with_classes(value)).is_empty(),
        }
    }

    fn is_asked(&self) -> bool {
        let asked = |parameter: &&str| {
            self.values(parameter).into_iter().any(|value| self.names_us(parameter, value))
        };
        // A class alone will do: tables, which are not read, may lead to it.
        self.lists().any(|parameter| asked(&parameter))
    }

    /// Services that strangers come to whose own list does not name us, where that of `main.cf` does.
    fn outdone(&self, parameter: &str) -> Vec<Finding> {
        if !self.names_us(parameter, self.postfix.value(parameter)) {
            return Vec::new();
        }
        let public = self.postfix.services.iter().filter(|service| service.public);
        let outdone = public
            .filter(|service| service.own(parameter).is_some_and(|value| !self.names_us(parameter, value)));
        outdone
            .map(|service| {
                let what = format!(
                    "the SMTP service {} has {parameter} of its own in master.cf, without tempfail",
                    service.name
                );
                Finding::new("outdone", what, "name it there too, or take that -o out")
            })
            .collect()
    }

    /// What keeps Postfix from a unix socket.
    fn unreachable(&self, named: &str) -> Option<Finding> {
        let queue = self.postfix.queue_directory();
        let path = unix_path(named, queue)?;
        let absolute = named.split_once(':').is_some_and(|(_, path)| path.starts_with('/'));
        match self.postfix.services.iter().find(|service| service.chroot && absolute) {
            Some(service) => Some(Finding::new(
                "chroot",
                format!(
                    "the SMTP service {} runs in a chroot at {}, where {named} does not exist",
                    service.name,
                    queue.display()
                ),
                "listen below the queue directory and name the socket relatively, or use a TCP port",
            )),
            None => socket::finding(&path, &Caller::named(self.postfix.value("mail_owner"))?),
        }
    }

    /// Each SMTP server process opens a connection of its own.
    fn processes(&self) -> Vec<Finding> {
        let default = self.postfix.value("default_process_limit").parse().unwrap_or(100);
        let most: u32 =
            self.postfix.services.iter().map(|service| service.processes.unwrap_or(default)).sum();
        let (policy, milter) = (&self.config.policy_service, &self.config.milter);
        let connections = [
            ("policy", &policy.listen, policy.limits.connections),
            ("milter", &milter.listen, milter.options.limits.connections),
        ];
        let few = connections
            .into_iter()
            .filter(|(_, listen, most_of_ours)| !listen.is_empty() && *most_of_ours < most as usize);
        few.map(|(section, _, connections)| {
            let what = format!(
                "Postfix may have {most} SMTP server processes, and [{section}] connections is {connections}"
            );
            Finding::new("connections", what, "raise it above that, or lower the processes in master.cf")
        })
        .collect()
    }
}

/// A verdict before the relay check hides it, and is given to whom only `relay access denied` is due.
fn relay_check_is_late(parameter: &str, before: &[&str]) -> bool {
    [RECIPIENT, RELAY].contains(&parameter) && !before.iter().any(|word| RELAY_CHECKS.contains(word))
}

/// The first address of a network as `mynetworks` has it; tables and exceptions are none.
fn begin_of_network(word: &str) -> Option<IpAddr> {
    let address = word.split_once('/').map_or(word, |(address, _)| address);
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    Some(address.parse::<IpAddr>().ok()?.to_canonical())
}

fn slow(what: &str, timeout: &str) -> Option<Finding> {
    (seconds(timeout)? > LONGEST_WAIT).then(|| {
        let what = format!("{what} is {timeout}: when tempfail hangs, each client waits as long");
        Finding::new("timeout", what, format!("set it to 10s or less; {SETUP}"))
    })
}

/// A time as Postfix writes it: seconds without a unit.
fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_postfix_writes_them() {
        let times =
            [("10", Some(10)), ("30s", Some(30)), ("2m", Some(120)), ("1x", None), ("", None), ("s", None)];
        times.into_iter().for_each(|(text, read)| assert_eq!(seconds(text), read, "{text}"));
        assert!(slow("x", "10s").is_none() && slow("x", "11").is_some() && slow("x", "").is_none());
    }

    #[test]
    fn own_networks_that_the_milter_would_judge_are_told() {
        let told = |mynetworks: &str, text: &str| {
            let milter = "{ inet:127.0.0.1:10422, default_action=accept, command_timeout=10s }";
            let postfix = Postfix::with(&[("smtpd_milters", milter), ("mynetworks", mynetworks)]);
            let found = findings(&postfix, &Config::parse("t", text).unwrap().config);
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let loopback = "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128, !10.9.9.9, hash:/etc/postfix/networks";
        assert_eq!(told(loopback, ""), "");
        let all = format!("{loopback} 10.0.0.0/8 [2001:db8::]/32");
        let found = told(&all, "");
        assert!(
            found.starts_with("own-networks: Postfix's mynetworks has 10.0.0.0/8 [2001:db8::]/32, "),
            "{found}"
        );
        let named = "[exempt]\nown_networks = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"2001:db8::/32\"]\n";
        assert_eq!(told(&all, named), "");
    }

    #[test]
    fn relaying_may_be_checked_before_the_recipient_restrictions() {
        let list = "permit_mynetworks, check_policy_service { inet:127.0.0.1:10421, timeout=5s, default_action=DUNNO }";
        let codes = |relay: &str, first: &str| {
            let postfix = Postfix::with(&[
                ("smtpd_recipient_restrictions", list),
                ("smtpd_relay_restrictions", relay),
                ("smtpd_relay_before_recipient_restrictions", first),
            ]);
            let found = findings(&postfix, &Config::default());
            found.iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("permit_mynetworks, defer_unauth_destination", "yes"), [""; 0]);
        assert_eq!(codes("permit_mynetworks, defer_unauth_destination", "no"), ["order"]);
        assert_eq!(codes("permit_mynetworks", "yes"), ["order"]);
        assert_eq!(codes("", ""), ["order"], "a Postfix that knows neither");
    }

    #[test]
    fn relay_restrictions_and_classes_are_looked_at_as_the_other_lists() {
        let codes = |set: &[(&str, &str)]| {
            let found = findings(&Postfix::with(set), &Config::default());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let first = ("smtpd_relay_before_recipient_restrictions", "yes");
        let bare = "check_policy_service inet:127.0.0.1:10421";
        let stops = ("smtpd_policy_service_default_action", "451 4.3.5 Server configuration problem");
        let relay = format!("reject_unauth_destination, {bare}");
        let found = codes(&[(RELAY, &relay), first, stops]);
        assert!(
            found.len() == 1 && found[0].starts_with("default-action: with tempfail away smtpd_relay"),
            "{found:?}"
        );
        let dunno = ("smtpd_policy_service_default_action", "DUNNO");
        let early = codes(&[(RELAY, bare), first, dunno]);
        assert!(early.len() == 1 && early[0].starts_with("order: "), "{early:?}");
        let after = [(RELAY, bare), (RECIPIENT, "reject_unauth_destination"), dunno];
        assert_eq!(codes(&after), [""; 0], "the recipient restrictions are asked first");
        let class = |list| [("smtpd_restriction_classes", "ask"), ("ask", bare), (RECIPIENT, list), stops];
        let found = codes(&class("reject_unauth_destination, ask"));
        assert!(
            found.len() == 1 && found[0].starts_with("default-action: with tempfail away ask "),
            "{found:?}"
        );
        let found = codes(&class("ask"));
        assert!(found.len() == 2 && found[0].starts_with("order: "), "{found:?}");
        let found = codes(&class("check_client_access cidr:/some/table"));
        assert!(found.len() == 1 && found[0].starts_with("default-action: "), "{found:?}");
    }
}
