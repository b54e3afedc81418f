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
fn aged(desk: &Desk, name: &str, content: &[u8]) -> PathBuf {
    let path = desk.write(name, content);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + CHANGED).unwrap();
    path
}

fn replay(desk: &Desk, files: &[&Path]) -> Value {
    let config = desk.write("all-wait.toml", "[first_contact]\nsuspicious = 0.0\n");
    timeless(report(&["--format", "maillog", "--config", config.to_str().unwrap()], files))
}

#[test]
fn a_rotated_log_is_read_in_order_of_time_with_the_year_that_it_does_not_name() {
    let desk = Desk::new();
    let [older, newer] = ["postfix.log.1", "postfix.log"].map(|name| std::fs::read(fixture(name)).unwrap());
    let packed = aged(&desk, "mail.log.2.gz", &gzip(&older));
    let plain = aged(&desk, "mail.log.1", &newer);
    let report = replay(&desk, &[&plain, &packed]);
    assert_eq!(report, replay(&desk, &[&packed, &plain]), "in any order");
    assert_eq!((&report["messages"], &report["from"]), (&3.into(), &FIRST.into()));
    assert_eq!(report["to"], FIRST + 24 * 60, "one message is after the turn of the year");
    let joined = aged(&desk, "joined.log", &[older, newer].concat());
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
    let zoned = replay(&desk, &[&fixture("rfc3339.log")]);
    assert_eq!((&zoned["messages"], &zoned["from"]), (&3.into(), &1_774_746_002u64.into()), "{zoned}");
    assert_eq!(zoned["would_defer"]["came_back"], 1, "{zoned}");
    let sendmail = replay(&desk, &[&fixture("sendmail.log")]);
    assert_eq!(sendmail["messages"], 3, "{sendmail}");
    assert_eq!(sendmail["log"]["unknown_recipients"], 1, "{sendmail}");
    assert_eq!(sendmail["log"]["authenticated"], 1, "{sendmail}");
}

#[test]
fn a_torn_last_line_is_counted_and_what_is_no_log_is_an_error() {
    let desk = Desk::new();
    let whole = std::fs::read_to_string(fixture("rfc3339.log")).unwrap();
    let torn = replay(&desk, &[&desk.write("torn.log", whole.clone() + "2026-03-29T0")]);
    assert_eq!((&torn["messages"], &torn["log"]["torn_lines"]), (&3.into(), &1.into()));
    let packed = gzip(&whole);
    let cut = replay(&desk, &[&desk.write("cut.log.gz", &packed[..packed.len() - 20])]);
    assert_eq!((&cut["log"]["torn_lines"], &cut["log"]["cut_files"]), (&1.into(), &1.into()), "{cut}");
    assert_eq!(torn["log"]["cut_files"], 0);
    let none = desk.write("none.log.gz", gzip(""));
    assert_eq!(
        replay(&desk, &[&none, &desk.write("whole.log", whole.clone())])["messages"],
        3,
        "a rotated file may be empty"
    );
    let error = |name: &str, content: String| {
        let output = tempfail(&["--format", "maillog"], &[&desk.write(name, content)]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let first = whole.lines().next().unwrap();
    let holes = whole.replacen('\n', &format!("\n{}", "\0".repeat(4096)), 2);
    let holed = replay(&desk, &[&desk.write("holes.log", holes)]);
    assert_eq!(holed["messages"], 3, "a hole that a loss of power left: {holed}");
    let middle = error("middle.log", format!("{first}\nno stamp here\n{first}\n"));
    assert!(
        middle.contains("middle.log:2: no line of a mail log (of a journal")
            && middle.contains("\"no stamp here\"")
    );
    let trace = error("trace.tsv", crate::run::trace(3));
    assert!(trace.contains("trace.tsv:1: ") && trace.contains("no mail log"), "{trace}");
    assert!(error("empty.log", String::new()).contains("no message"));
}
