use super::*;
use policy_core::answer::DeferCode;
use policy_core::name::Mailbox;
use policy_core::policy::{CodeChoice, Mode};

fn parse(text: &str) -> Config {
    Config::parse("t.toml", text).unwrap_or_else(|error| panic!("{error}")).config
}

/// Summaries of what is found, with their places.
fn found(text: &str) -> Vec<String> {
    let list = match Config::parse("t.toml", text) {
        Ok(checked) => checked.warnings,
        Err(ConfigError::Invalid(list)) => list,
        Err(error) => panic!("{error}"),
    };
    list.iter().map(|d| format!("{}:{}: {}: {}", d.line, d.column, d.severity, d.summary())).collect()
}

/// What a commented key says; prose has a space behind its #.
fn setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))
}

/// The sample with every key in force.
fn uncommented() -> String {
    SAMPLE
        .lines()
        .map(|line| match setting(line) {
            Some(rest) if !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_sample_is_the_default_commented_and_uncommented() {
    assert_eq!(parse(SAMPLE), Config::default());
    assert_eq!(parse(""), Config::default());
    assert_eq!(found(&uncommented()), [""; 0]);
    assert_eq!(parse(&uncommented()), Config::default());
}

#[test]
fn the_sample_shows_every_key() {
    let text = uncommented();
    let (document, _) = DeTable::parse_recoverable(&text);
    let findings = Findings::default();
    sections::document(Section::top(&document, &findings));
    for key in findings.known() {
        let mut at = Some(document.get_ref());
        let present = key.split('.').all(|part| {
            let value = at.and_then(|table| table.get(part)).map(|value| value.get_ref());
            let first = value.and_then(|value| value.as_array()?.first()?.get_ref().as_table());
            at = value.and_then(|value| value.as_table()).or(first);
            value.is_some()
        });
        assert!(
            present
                || ["gateway", "list", "filter.headers.threshold", "filter.headers.forgeries"]
                    .contains(&key.as_str()),
            "{key} is not in the sample"
        );
    }
}

#[test]
fn the_samples_example_works() {
    let example: String =
        SAMPLE.lines().filter_map(|line| line.strip_prefix("#   ")).map(|line| format!("{line}\n")).collect();
    assert!(example.contains("[[gateway]]"));
    let config = parse(&example);
    let refuse = |client: &str| {
        config.policy.gateways.refuse(client.parse().unwrap(), Mailbox::new("a@example.com").as_ref())
    };
    assert!(refuse("198.51.100.1") && !refuse("192.0.2.1"));
    let lists = config.lookups.unwrap().gather.lists;
    assert_eq!((lists.len(), lists[3].weight, lists[4].codes.len()), (5, 0.5, 2));
}

#[test]
fn front_ends_wait_a_little_longer_than_the_engine() {
    let config = Config::default();
    assert_eq!(config.policy_service.limits, postfix_policy::Limits::default());
    assert_eq!(*config.milter.options, milter::Options::default());
    let config = parse("answer_within = \"5s\"");
    assert_eq!(config.policy_service.limits.answer, Duration::from_secs(6));
    assert_eq!(config.milter.options.limits.answer, Duration::from_secs(6));
}

#[test]
fn every_kind_of_value_is_read() {
    let config = parse(
        r#"
        mode = "enforce"
        code = 451
        help = "see https://dest.example/mail"
        spamtraps = ["Trap@Dest.example", "@traps.example", "honey@"]
        [policy]
        listen = ["unix:/run/tempfail/policy.sock", "[::1]:10421"]
        socket_mode = "0600"
        [milter]
        listen = []
        [memory]
        max = "64MiB"
        [exempt]
        own_networks = ["127.0.0.0/8", "10.0.0.0/8"]
        clients = ["198.51.100.7", "2001:db8::/32", "partner.example"]
        recipients = ["@open.example"]
        domains = ["bank.example"]
        [limits]
        cold = { messages = "50/h", bytes = "1GB/h" }
        [filter]
        headers = [{ name = "X-Junk", reading = "score", threshold = 5, forgeries = "removed" }]
        trusted_authserv_ids = ["mx.dest.example"]
        "#,
    );
    let policy = &config.policy;
    assert_eq!((policy.mode, policy.code), (Mode::Enforce, CodeChoice::Always(DeferCode::Local)));
    for recipient in ["trap@dest.example", "any@traps.example", "HONEY@x.example"] {
        assert!(policy.spamtraps.contains(&Mailbox::new(recipient).unwrap()), "{recipient}");
    }
    let exempt = &policy.exempt;
    for address in ["198.51.100.7", "2001:db8::1"] {
        assert!(exempt.clients.contains(address.parse().unwrap()), "{address}");
    }
    assert_eq!(exempt.client_names.len(), 1);
    for recipient in ["any@open.example", "postmaster@dest.example", "abuse@dest.example"] {
        assert!(exempt.recipients.contains(&Mailbox::new(recipient).unwrap()), "{recipient}");
    }
    assert!(exempt.own_networks.contains("10.1.2.3".parse().unwrap()));
    assert_eq!(policy.limits.cold.0, [120.0, 50.0, 120.0, 1e9]);
    assert_eq!(config.memory, 64 << 20);
    assert_eq!(config.policy_service.listen.len(), 2);
    assert_eq!(config.policy_service.access.mode, 0o600);
    let header = &config.milter.options.filter_headers[0];
    assert_eq!(header.reading, milter::Reading::Score { threshold: 5.0 });
    assert_eq!(config.milter.options.trusted_authserv_ids.len(), 1);
}

#[test]
fn postmaster_stays_exempt_until_the_operator_says_otherwise() {
    let exempt = |text: &str| {
        parse(text).policy.exempt.recipients.contains(&Mailbox::new("postmaster@dest.example").unwrap())
    };
    assert!(exempt("[exempt]\nrecipients = []"));
    assert!(!exempt("[exempt]\npostmaster_and_abuse = false"));
}

#[test]
fn groups_are_looked_up() {
    let root = parse("[policy]\nsocket_group = \"root\"").policy_service.access.group;
    assert_eq!(root, Some(Group { name: "root".into(), id: 0 }));
    assert_eq!(
        found("[milter]\nsocket_group = \"no such group\""),
        [
            r#"2:16: error: milter.socket_group: expected the name of a group of this system, found "no such group""#
        ]
    );
}

#[test]
fn what_is_likely_not_meant_is_a_warning() {
    let text = "reply_from = \"helo\"\n[policy]\nlisten = [\"0.0.0.0:10421\"]\nconnections = 20\nidle = \"60s\"\n\
                [exempt]\nown_networks = [\"10.0.0.0/8\"]\n[limits]\ngrowth = 1.2\ncold = { messages = \"10/h\" }\n";
    let found = found(text);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.iter().all(|line| line.contains(": warning: ")), "{found:#?}");
    assert!(found[0].starts_with("1:14: warning: reply_from: "), "{found:#?}");
}

#[test]
fn a_suffix_that_is_exempt_is_a_warning() {
    let text =
        "[exempt]\ndomains = [\"net\", \"example.com\", \"com\"]\nclients = [\"co.uk\", \"mx.example\"]\n";
    let below = "is no domain of one organisation, others have theirs below it";
    assert_eq!(
        found(text),
        [
            format!("2:11: warning: exempt.domains: com {below}"),
            format!("2:11: warning: exempt.domains: net {below}"),
            format!("3:11: warning: exempt.clients: co.uk {below}"),
        ]
    );
}

#[test]
fn a_file_of_operators_that_cannot_be_read_is_a_warning() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let named = |path: &str| found(&format!("[signals]\noperators = [\"{path}\"]\n"));
    assert_eq!(named(file.path().to_str().unwrap()), [""; 0]);
    for (path, why) in [("/nowhere/a.mmdb", "No such file"), ("/dev/zero", "not a regular file")] {
        let found = named(path);
        assert_eq!(found.len(), 1, "{found:?}");
        let begins = format!("2:13: warning: signals.operators: {path}: {why}");
        assert!(found[0].starts_with(&begins), "{found:?}");
    }
}

#[test]
fn a_key_that_stands_there_twice_is_named_once() {
    assert_eq!(
        found("[log]\nlevel = \"info\"\n[exempt]\n[log]\n"),
        [r#"4:2: error: duplicate key "log": each key and each section stands in a file once"#]
    );
    let extended = found("mode = \"observe\"\n[mode.more]\na = 1\n");
    assert_eq!(extended, ["2:2: error: cannot extend value of type string with a dotted key"]);
}

#[test]
fn a_time_out_of_bounds_is_told_in_days() {
    let found = found("[state]\nretention = \"1d\"\n");
    assert!(found[0].contains("expected at least 14 days and at most 3650 days ("), "{found:?}");
}

#[test]
fn nothing_to_listen_on_is_an_error() {
    let found = found("[policy]\nlisten = []\n[milter]\nlisten = []\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("there is nothing to do"), "{found:?}");
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(LONGEST + 1).unwrap();
    for path in [file.path(), Path::new("/dev/zero")] {
        let error = Config::load(path).unwrap_err().to_string();
        assert!(error.contains("longer than 16 MiB"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_checked(text: String, at: proptest::sample::Index, cut in 0usize..40) {
        let mut sample = uncommented();
        let start = sample.floor_char_boundary(at.index(sample.len()));
        let end = sample.floor_char_boundary((start + cut).min(sample.len()));
        sample.replace_range(start..end, &text);
        for text in [text, sample] {
            if let Err(error) = Config::parse("t.toml", &text) {
                proptest::prop_assert!(error.to_string().contains("t.toml:"));
            }
        }
    }
}
