//! What is wrong is named with file and line, and the status says whose fault it is.

use crate::run::{Desk, HEADER, gzip, report, rows, tempfail, trace};
use std::path::Path;

/// The status and what it says.
fn refused(arguments: &[&str], file: &Path) -> (i32, String) {
    let output = tempfail(arguments, &[file]);
    assert!(output.stdout.is_empty());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_recording_that_cannot_be_read_is_named_with_its_line() {
    let desk = Desk::new();
    let bad = |row: &str| [HEADER, &rows(2), row].concat();
    let mut broken = gzip(trace(100));
    let checksum = broken.len() - 8;
    broken[checksum] ^= 1;
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty.tsv", vec![], "empty.tsv:1: empty"),
        ("header.tsv", trace(1).replace("label", "class").into(), "header.tsv:1: no column \"label\""),
        ("columns.tsv", bad("9\t1800000000\n").into(), "columns.tsv:4: 2 columns instead of 11"),
        (
            "label.tsv",
            bad(&rows(4).lines().last().unwrap().replace("spam", "Spam\n")).into(),
            "label.tsv:4: label",
        ),
        ("order.tsv", bad(&rows(1)).into(), "order.tsv:4: not sorted by time"),
        ("text.tsv", [bad("").as_bytes(), b"\xff\xfe\n"].concat(), "text.tsv:4: not UTF-8"),
        ("long.tsv", [HEADER, &"x".repeat(100_000)].concat().into(), "long.tsv:2: a line of more than"),
        ("broken.tsv.gz", broken, "broken.tsv.gz:102: the compressed stream is broken"),
    ];
    for (name, content, said) in cases {
        let (status, error) = refused(&[], &desk.write(name, content));
        assert_eq!(status, 1, "{name}: {error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{name}: {error}");
    }
}

#[test]
fn files_that_are_no_recordings_are_named() {
    let desk = Desk::new();
    for format in ["trace", "maillog"] {
        let said = |path: &Path| refused(&["--format", format], path).1;
        let missing = said(&desk.path("missing"));
        assert!(missing.contains("missing: ") && missing.contains("No such file"), "{missing}");
        let directory = said(desk.path("").as_path());
        assert!(directory.contains("Is a directory"), "{directory}");
        let packed = said(&desk.write("log.xz", b"\xfd7zXZ\0\0"));
        assert!(packed.contains("compressed with xz"), "{packed}");
    }
    let nothing = refused(&[], &desk.write("nothing.tsv", HEADER)).1;
    assert!(nothing.contains("no message"), "{nothing}");
}

#[test]
fn a_torn_last_line_is_counted_and_left_out() {
    let desk = Desk::new();
    let whole = trace(400);
    let torn = report(&[], &[&desk.write("torn.tsv", &whole[..whole.len() - 20])]);
    assert_eq!((&torn["messages"], &torn["torn_lines"]), (&399.into(), &1.into()));
    let packed = gzip(&whole);
    let cut = report(&[], &[&desk.write("cut.tsv.gz", &packed[..packed.len() * 3 / 4])]);
    let messages = cut["messages"].as_u64().unwrap();
    assert!((1..400).contains(&messages), "{messages}");
    assert_eq!(
        (&cut["torn_lines"], &cut["cut_files"], &torn["cut_files"]),
        (&1.into(), &1.into(), &0.into())
    );
}

#[test]
fn a_wrong_command_line_and_a_wrong_configuration_have_statuses_of_their_own() {
    let desk = Desk::new();
    let file = desk.write("t.tsv", trace(2));
    for wrong in [
        ["--feedback-delay", "soon"],
        ["--feedback-share", "1.5"],
        ["--label-noise", "-0.1"],
        ["--spam-retries", "NaN"],
        ["--seed", "x"],
        ["--format", "pcap"],
    ] {
        assert_eq!(refused(&wrong, &file).0, 64, "{wrong:?}");
    }
    assert_eq!(tempfail(&[], &[]).status.code(), Some(64), "no file");
    let config = desk.write("bad.toml", "mode = \"perhaps\"\n");
    let (status, error) = refused(&["--config", config.to_str().unwrap()], &file);
    assert_eq!(status, 78, "{error}");
    assert!(error.contains("bad.toml"), "{error}");
}
