use super::*;
use crate::config::{self, Config};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Files in a directory of their own.
fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn carried(program: Program, dir: &tempfile::TempDir) -> Carried {
    carry(program, &[dir.path().to_owned()], NOW).unwrap()
}

fn reasons(carried: &Carried) -> Vec<String> {
    carried.left.reasons().map(|(why, count, _)| format!("{count} {why}")).collect()
}

/// The shipped configuration, with each line under its section.
fn pasted(settings: &Settings) -> String {
    settings.to_string().split("\n# [").skip(1).fold(config::SAMPLE.to_owned(), |text, lines| {
        let (section, lines) = lines.split_once("]\n").unwrap();
        let header = format!("\n[{section}]\n");
        assert_eq!(text.matches(&header).count(), 1, "{section}");
        text.replace(&header, &format!("{header}{lines}"))
    })
}

/// The policy that the lines make, which the configuration takes without a word.
fn policy(carried: &Carried) -> std::sync::Arc<policy_core::policy::Policy> {
    let text = pasted(&carried.settings);
    let checked = Config::parse("carried.toml", &text).unwrap();
    // Alone they are no less.
    let alone = Config::parse("alone.toml", &carried.settings.to_string().replace("\n# [", "\n[")).unwrap();
    assert_eq!(alone.config, checked.config);
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    checked.config.policy
}

#[test]
fn postgreys_lists_become_exemptions() {
    let dir = place(&[
        (
            "whitelist_clients",
            "# greylisting.org\ndebian.org\n/^ms-smtp.*\\.rr\\.com$/\n195.235.39 # three octets\n66.216.126.174\n\
             10.1\n2001:db8::/32\n192.0.2.77/24\n0.0.0.0/0\nlocalhost\n\"quoted\\\"\n",
        ),
        ("whitelist_recipients.local", "postmaster@\nAnna@Example.Org\nexample.net\n/^no/\n"),
    ]);
    let carried = carried(Program::Postgrey, &dir);
    let policy = policy(&carried);
    let clients = &policy.exempt.clients;
    for address in ["195.235.39.200", "66.216.126.174", "2001:db8::9", "192.0.2.1"] {
        assert!(clients.contains(address.parse().unwrap()), "{address}");
    }
    assert_eq!(policy.exempt.client_names.len(), 1);
    for recipient in ["postmaster@dest.example", "anna@example.org", "b@example.net"] {
        assert!(
            policy.exempt.recipients.contains(&policy_core::name::Mailbox::new(recipient).unwrap()),
            "{recipient}"
        );
    }
    assert_eq!(
        reasons(&carried),
        [
            "2 no network and no name of a host",
            "1 regular expression; name the domains it stands for under [exempt] clients",
            "1 regular expression; name the recipients under [exempt] recipients",
            "1 the whole internet",
            "1 two octets, which postgrey documents as a /16 and takes for a /24; write the network",
        ]
    );
    let all = carried.left.to_string();
    assert!(all.contains("whitelist_clients:3 /^ms-smtp"), "{all}");
}

#[test]
fn sqlgreys_lists_become_exemptions() {
    let dir = place(&[
        ("clients_ip_whitelist", "64.12.137       # AOL\n12.5.136.141\n198.51.100.0/22\n"),
        ("clients_fqdn_whitelist.local", "*.southwest.com\nmail.hhlaw.com\n/^x/\n"),
    ]);
    let carried = carried(Program::Sqlgrey, &dir);
    let policy = policy(&carried);
    assert!(policy.exempt.clients.contains("198.51.103.255".parse().unwrap()));
    assert_eq!(policy.exempt.client_names.len(), 2);
    assert_eq!(carried.left.count(), 1);
}

#[test]
fn rspamds_settings_become_keys() {
    let dir = place(&[
        (
            "modules.d/ratelimit.conf",
            "ratelimit {\n  whitelisted_rcpts = \"postmaster,mailer-daemon\";\n  .include(try=true) \"x\"\n}\n",
        ),
        (
            "local.d/ratelimit.conf",
            "rates {\n  ip = { bucket = { burst = 50; rate = \"20 / 1m\"; } }\n  strict = { selector = \"ip\"; bucket = \
             [ { burst = 90; rate = \"90 / 1h\" }, { burst = 500; rate = 1 } ] }\n  to = { bucket = { burst = 1; rate = 1 \
             } }\n  users = { selector = \"user.lower\"; bucket = \"1 / 1s\" }\n}\nwhitelisted_ip = \
             \"$LOCAL_CONFDIR/local.d/ips.map\";\nprefix = \"RL\";\n",
        ),
        ("local.d/ips.map", "192.0.2.0/24 5.0\n198.51.100.7\n# none\nnot an address\n"),
        (
            "local.d/greylist.conf",
            "timeout = 10min;\nexpire = 1d;\nwhitelist_domains_url = [\"file://$LOCAL_CONFDIR/domains\", \
             \"https://maps.example/x\"];\nwhitelisted_ip = [\"203.0.113.0/24\"];\n",
        ),
        ("domains", "example.org\n"),
    ]);
    let carried = carried(Program::Rspamd, &dir);
    let lines = carried.settings.to_string();
    assert!(lines.contains("\n# [first_contact]\nwait = \"300s\" # "), "{lines}");
    assert!(lines.contains("\n# [limits.cold]\nrecipients = \"90/h\" # "), "{lines}");
    let policy = policy(&carried);
    for address in ["192.0.2.9", "198.51.100.7", "203.0.113.200"] {
        assert!(policy.exempt.clients.contains(address.parse().unwrap()), "{address}");
    }
    assert_eq!(policy.exempt.client_names.len(), 1);
    assert_eq!(
        reasons(&carried),
        [
            "1 key without a counterpart",
            "1 limit by something else than the client's address",
            "1 limit by user; who has authenticated is exempt here",
            "1 longer than the five minutes that anybody waits here at most",
            "1 macro, which is not followed; name the file it includes, if that says anything",
            "1 map that lies elsewhere",
            "1 no network and no name of a host",
            "1 setting of how a retry is known; here it is known by verified domain, host name or prefix, for its time",
        ]
    );
    let off = place(&[
        ("modules.d/greylist.conf", "greylist { timeout = 5min }"),
        ("override.d/greylist.conf", "enabled = false;"),
    ]);
    let off = super::carry(Program::Rspamd, &[off.path().to_owned()], NOW).unwrap();
    assert!(off.settings.to_string().contains("\n# [first_contact]\nwait = \"0s\""));
}

#[test]
fn what_is_not_there_or_not_theirs_is_told_by_name() {
    let dir = place(&[
        ("empty/x", ""),
        ("a.db", "no database"),
        ("text", "hello\n"),
        ("broken.conf", "ratelimit {\n rates {\n"),
        ("binary", "a\0b"),
    ]);
    let told = |program, name: &str| carry(program, &[dir.path().join(name)], NOW).unwrap_err().to_string();
    for program in [Program::Postgrey, Program::Sqlgrey, Program::Rspamd] {
        assert!(told(program, "nowhere").contains("nowhere: No such file"), "{program}");
        assert!(told(program, "empty").contains("empty: has none of "), "{program}");
    }
    assert!(told(Program::Postgrey, "a.db").contains("a.db: damaged, or no database: it begins neither"));
    assert!(told(Program::Postgrey, "binary").contains("binary: is no text"));
    assert!(told(Program::Sqlgrey, "text").contains("text: is no database of SQLite"));
    assert!(told(Program::Rspamd, "broken.conf").contains("broken.conf:3: an object without its end"));
    assert!(told(Program::Rspamd, "text").contains("text:"));
}
