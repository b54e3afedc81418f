//! Mail logs: what is read of them, in which order, and what is told.

use crate::run::{Desk, gzip, printed, report, tempfail, timeless};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// 2 January 2026: a log that was written over the turn of that year was changed last the day before.
const CHANGED: Duration = Duration::from_secs(1_767_312_000);
/// 31 December 2025, 23:41:02.
const FIRST: u64 = 1_767_224_462;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/maillog").join(name)
}

/// The fixture as a file of its own, changed last when a log of that time would have been.
fn aged(desk: &Desk, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    changed(desk, name, content, CHANGED)
}

fn changed(desk: &Desk, name: &str, content: impl AsRef<[u8]>, since_1970: Duration) -> PathBuf {
    let path = desk.write(name, content);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + since_1970).unwrap();
    path
}

/// The fixture of 29 March 2026, and what else a log of then may hold, written an hour after its last line.
fn march(desk: &Desk, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    changed(desk, name, content, Duration::from_secs(1_774_746_002 + 2 * 3600))
}

fn replay(desk: &Desk, files: &[&Path]) -> Value {
    let config = desk.write("all-wait.toml", "[first_contact]\nsuspicious = 0.0\n");
    timeless(report(&["--format", "maillog", "--config", config.to_str().unwrap()], files))
}

#[test]
fn a_rotated_log_is_read_in_order_of_time_with_the_year_that_it_does_not_name() {
    let desk = Desk::new();
    let [older, newer] = ["postfix.log.1", "postfix.log"].map(|name| std::fs::read(fixture(name)).unwrap());
    let packed = aged(&desk, "mail.log.2.gz", gzip(&older));
    let plain = aged(&desk, "mail.log.1", &newer);
    let report = replay(&desk, &[&plain, &packed]);
    assert_eq!(report, replay(&desk, &[&packed, &plain]), "in any order");
    assert_eq!((&report["messages"], &report["from"]), (&3.into(), &FIRST.into()));
    assert_eq!(report["to"], FIRST + 24 * 60, "one message is after the turn of the year");
    // A host without a clock of its own, at its start.
    let (one, two) = newer.split_at(newer.iter().position(|octet| *octet == b'\n').unwrap() + 1);
    let unset = b"Mar 22 17:17:01 mx2 kernel: the clock is not set yet\n";
    let started = aged(&desk, "started.log", [one, unset, two].concat());
    let mut with_start = replay(&desk, &[&started, &packed]);
    assert_eq!(with_start["log"]["unreadable_lines"], 1, "{with_start}");
    with_start["log"] = report["log"].clone();
    assert_eq!(with_start, report);
    let joined = aged(&desk, "joined.log", [older, newer].concat());
    assert_eq!(report, replay(&desk, &[&joined]));
}

#[test]
fn what_is_not_judged_is_counted() {
    let report = replay(&Desk::new(), &[&fixture("postfix.log.1"), &fixture("postfix.log")]);
    let log = &report["log"];
    let counted = ["authenticated", "local", "unfinished", "unknown_recipients", "refused", "torn_lines"];
    assert_eq!(counted.map(|what| log[what].as_u64().unwrap()), [1, 1, 1, 1, 1, 0], "{log}");
    assert!(report["ham"].is_null() && report["spam"].is_null());
}

#[test]
fn who_would_have_been_deferred_why_and_who_came_back() {
    let desk = Desk::new();
    let report = replay(&desk, &[&fixture("postfix.log.1"), &fixture("postfix.log")]);
    let all = &report["would_defer"];
    assert_eq!((&all["deferred"], &all["came_back"]), (&2.into(), &1.into()), "{report}");
    assert_eq!(report["reasons"]["first-contact"]["deferred"], 2);
    let host = |place: usize| ["who", "name", "came_back"].map(|key| report["hosts"][place][key].clone());
    assert_eq!(host(0), [json!("192.0.2.7"), json!("mail.src.example"), json!(1)]);
    assert_eq!(host(1), [json!("198.51.100.9"), json!("pc9.isp.example"), json!(0)]);
    assert_eq!(report["domains"][0]["reasons"]["first-contact"], 1);
    let config = desk.path("all-wait.toml");
    let options = ["--format", "maillog", "--config", config.to_str().unwrap()];
    let text = printed(&options, &[&fixture("postfix.log.1"), &fixture("postfix.log")]);
    assert!(text.contains("Enforcing would have deferred 2 of them") && text.contains("[exempt]"), "{text}");
}

#[test]
fn stamps_with_a_zone_and_sendmails_lines_are_read() {
    let desk = Desk::new();
    let zoned =
        replay(&desk, &[&march(&desk, "rfc3339.log", std::fs::read(fixture("rfc3339.log")).unwrap())]);
    assert_eq!((&zoned["messages"], &zoned["from"]), (&3.into(), &1_774_746_002u64.into()), "{zoned}");
    assert_eq!(zoned["would_defer"]["came_back"], 1, "{zoned}");
    let sendmail = replay(&desk, &[&fixture("sendmail.log")]);
    assert_eq!(sendmail["messages"], 3, "{sendmail}");
    assert_eq!(sendmail["log"]["unknown_recipients"], 1, "{sendmail}");
    assert_eq!(sendmail["log"]["authenticated"], 1, "{sendmail}");
}

#[test]
fn a_torn_last_line_is_counted() {
    let desk = Desk::new();
    let whole = std::fs::read_to_string(fixture("rfc3339.log")).unwrap();
    let torn = replay(&desk, &[&march(&desk, "torn.log", whole.clone() + "2026-03-29T0")]);
    assert_eq!((&torn["messages"], &torn["log"]["torn_lines"]), (&3.into(), &1.into()));
    let packed = gzip(&whole);
    let cut = replay(&desk, &[&march(&desk, "cut.log.gz", &packed[..packed.len() - 20])]);
    assert_eq!((&cut["log"]["torn_lines"], &cut["log"]["cut_files"]), (&1.into(), &1.into()), "{cut}");
    assert_eq!(torn["log"]["cut_files"], 0);
    let none = desk.write("none.log.gz", gzip(""));
    let whole = march(&desk, "whole.log", whole);
    for (name, begun, cut) in [("begun.log.gz", &packed[..10], 1), ("begun.log", b"2026-0".as_slice(), 0)] {
        let report = replay(&desk, &[&whole, &march(&desk, name, begun)]);
        let log = ["torn_lines", "cut_files"].map(|what| report["log"][what].as_u64().unwrap());
        assert_eq!((&report["messages"], log), (&3.into(), [1, cut]), "hardly begun: {report}");
    }
    assert_eq!(replay(&desk, &[&none, &whole])["messages"], 3, "a rotated file may be empty");
}

#[test]
fn an_odd_line_is_left_out_and_the_first_is_named() {
    let desk = Desk::new();
    let whole = std::fs::read_to_string(fixture("rfc3339.log")).unwrap();
    let (first, rest) = whole.split_once('\n').unwrap();
    let expected = replay(&desk, &[&march(&desk, "even.log", &whole)]);
    assert!(expected["log"]["first_unreadable"].is_null() && expected["log"]["unreadable_lines"] == 0);
    let (long, hole) = ("x".repeat(70_000), "\0".repeat(128 << 10));
    let stamp = first.split_once(' ').unwrap().0;
    for (odd, why) in [
        ("no stamp here", "no stamp at its begin: \"no stamp here\""),
        ("\tgoes on", "no stamp at its begin: \"\\tgoes on\""),
        (&format!("2026-03-29T03:0{first}"), "no stamp at its begin: \"2026-03-29T03:02026"),
        ("Feb 30 12:00:00 mx postfix/smtpd[7]: x", "no stamp at its begin: \"Feb 30"),
        ("9999-12-31T23:59:59Z mx postfix/smtpd[7]: x", "a stamp of after the file's last change: \"9999-"),
        (&format!("{stamp} mx {long}"), "a line of more than 65536 octets"),
        (&format!("{stamp} mx postf{}{first}", &hole[..4096]), "NULs within the line"),
    ] {
        let file = march(&desk, "odd.log", format!("{first}\n{odd}\n{rest}"));
        let mut report = replay(&desk, &[&file]);
        assert_eq!(report["log"]["first_unreadable"]["file"], file.to_str().unwrap(), "{odd:.60}");
        assert_eq!(report["log"]["first_unreadable"]["line"], 2, "{odd:.60}");
        let said = report["log"]["first_unreadable"]["why"].as_str().unwrap();
        assert!(said.starts_with(why), "{said}");
        assert_eq!(report["log"]["unreadable_lines"], 1, "{odd:.60}");
        report["log"] = expected["log"].clone();
        assert_eq!(report, expected, "nothing else changes by {odd:.60}");
        let text = printed(&["--format", "maillog"], &[&file]);
        assert!(
            text.contains("       1 lines that cannot be read") && text.contains("odd.log:2: "),
            "{text}"
        );
    }
    for (name, same) in [
        ("priority.log", whole.lines().map(|line| format!("<22>{line}\n")).collect::<String>()),
        ("holes.log", whole.replacen('\n', &format!("\n{}", &hole[..4096]), 2)),
    ] {
        assert_eq!(replay(&desk, &[&march(&desk, name, same)]), expected, "{name}");
    }
    let mut holed = replay(&desk, &[&march(&desk, "hole.log", format!("{first}\n{hole}{rest}"))]);
    assert_eq!(holed["log"]["first_unreadable"]["why"], "a hole of more than 65536 NULs");
    holed["log"] = expected["log"].clone();
    assert_eq!(holed, expected, "the line behind the hole is read");
}

#[test]
fn logs_of_two_hosts_are_read_side_by_side() {
    let desk = Desk::new();
    let whole = std::fs::read_to_string(fixture("rfc3339.log")).unwrap();
    let host = whole.split(' ').nth(1).unwrap();
    let one = march(&desk, "one.log", &whole);
    let two = march(&desk, "two.log", whole.replace(&format!(" {host} "), " mx9 "));
    let both = replay(&desk, &[&one, &two]);
    assert_eq!((&both["messages"], &both["to"]), (&6.into(), &replay(&desk, &[&one])["to"]), "{both}");
    let mut lines: Vec<String> = [&one, &two]
        .iter()
        .flat_map(|file| {
            std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    assert_eq!(both, replay(&desk, &[&march(&desk, "merged.log", lines.join("\n") + "\n")]));
}

#[test]
fn what_is_no_mail_log_is_an_error() {
    let desk = Desk::new();
    let whole = std::fs::read_to_string(fixture("rfc3339.log")).unwrap();
    let error = |name: &str, content: &str| {
        let output = tempfail(&["--format", "maillog"], &[&march(&desk, name, content)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let trace = error("trace.tsv", &crate::run::trace(3));
    assert!(trace.contains("trace.tsv:1: ") && trace.contains("no mail log (of a journal"), "{trace}");
    let late = error("late.log", &format!("{}{whole}", "no stamp here\n".repeat(100)));
    assert!(late.contains("late.log:1: its first lines have no stamp"), "{late}");
    let half = error("half.log", &format!("{whole}{}", "no stamp here\n".repeat(11)));
    let line = whole.lines().count() + 1;
    let said =
        format!("half.log:{line}: no stamp at its begin: \"no stamp here\"; 11 of {} lines", line + 10);
    assert!(half.contains(&said), "{half}");
    let restored = desk.write("restored.log", &whole);
    let touched = File::options().append(true).open(&restored).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    let output = tempfail(&["--format", "maillog"], &[&restored]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("restored.log:1: a stamp of after the file's last change")
    );
    assert!(error("empty.log", "").contains("no message"));
}
