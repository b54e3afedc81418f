//! What is wrong with a file, where, and what was likely meant.
//!
//! Each `fixtures/config/NAME.toml` has beside it, in `NAME.txt`, what `check-config` says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config")
}

fn tempfail(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tempfail")).args(args).current_dir(fixtures()).output().unwrap()
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_was_expected() {
    let mut checked = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        let output = tempfail(&["check-config", name]);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(told, expected, "{name}");
        let bad = expected.contains(": error: ");
        assert_eq!(output.status.code(), Some(if bad { 78 } else { 0 }), "{name}");
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} fixtures");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    for command in [&["check-config", "no-such-file.toml"][..], &["serve", "--config", "no-such-file.toml"]] {
        let output = tempfail(command);
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        assert_eq!(
            text(&output.stderr),
            "no-such-file.toml: cannot be read: No such file or directory (os error 2)\n"
        );
    }
    let output = tempfail(&["check-config", "."]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stderr), ".: cannot be read: Is a directory (os error 21)\n");
}

#[test]
fn what_a_mail_server_runs_has_it_come_again_when_the_configuration_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let message = dir.path().join("message");
    fs::write(&message, "From: a@src.example\n\nx\n").unwrap();
    for command in [&["learn", "--spam"][..], &["feedback"]] {
        let message = fs::File::open(&message).unwrap();
        let tempfail = Command::new(env!("CARGO_BIN_EXE_tempfail"))
            .args(command)
            .args(["--config", "values.toml"])
            .current_dir(fixtures())
            .stdin(message)
            .output()
            .unwrap();
        assert_eq!(tempfail.status.code(), Some(75), "{command:?}");
        assert!(text(&tempfail.stderr).starts_with("values.toml:"), "{command:?}");
    }
}

#[test]
fn a_way_to_ask_that_the_configuration_has_not_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.toml");
    fs::write(&path, "milter.listen = []\n").unwrap();
    let setup = |way: &[&str]| tempfail(&[&["setup"], way, &["--config", path.to_str().unwrap()]].concat());
    for way in ["milter", "both", "sendmail"] {
        let output = setup(&[way]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{way}");
        assert_eq!(text(&output.stderr), "the configuration listens nowhere for this: see [milter] listen\n");
    }
    for way in [&["policy"][..], &[]] {
        assert!(setup(way).status.success(), "{way:?}");
    }
}

#[test]
fn a_file_that_is_no_text_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("binary.toml");
    fs::write(&path, b"mode = \"\xff\"\n").unwrap();
    let output = tempfail(&["check-config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("cannot be read: stream did not contain valid UTF-8"));
}

#[test]
fn the_file_may_be_named_as_for_other_commands() {
    let [named, bare] =
        [tempfail(&["check-config", "--config", "values.toml"]), tempfail(&["check-config", "values.toml"])];
    assert_eq!((named.status.code(), &named.stderr), (Some(78), &bare.stderr));
    assert_eq!(tempfail(&["check-config", "-c", "warnings.toml", "values.toml"]).status.code(), Some(64));
}

#[test]
fn serve_refuses_what_check_config_refuses() {
    let (served, checked) =
        (tempfail(&["serve", "--config", "values.toml"]), tempfail(&["check-config", "values.toml"]));
    assert_eq!(served.status.code(), Some(78));
    assert_eq!(served.stderr, checked.stderr);
}

#[test]
fn the_printed_configuration_passes_its_own_check() {
    let printed = tempfail(&["config"]);
    assert!(printed.status.success());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tempfail.toml");
    fs::write(&path, &printed.stdout).unwrap();
    let output = tempfail(&["check-config", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).ends_with(
            "tempfail.toml: ok, mode observe, policy service on 127.0.0.1:10421, milter on 127.0.0.1:10422\n"
        ),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_wrong_command_line_has_a_status_of_its_own() {
    assert_eq!(tempfail(&["serve", "--confg", "x"]).status.code(), Some(64));
    assert_eq!(tempfail(&[]).status.code(), Some(64));
}
