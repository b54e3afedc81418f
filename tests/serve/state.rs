//! The state on the disk: what a restart keeps, and what becomes of a place that cannot be used.

use crate::support::{PORTS, Served, Start};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

/// Two messages an hour for a stranger, who is not suspicious whatever it looks like.
const TWO: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\n\
                   limits.cold = { messages = \"2/h\" }\nlimits.floor = { messages = \"1/h\" }\n";

fn kept_at(directory: &Path) -> String {
    format!("{TWO}state.directory = \"{}\"\n", directory.display())
}

#[test]
fn a_restart_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(&kept_at(dir.path()));
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    assert_eq!(client.ask("192.0.2.7", 1002, 1), "DUNNO");
    drop(client);
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let mut served = Served::start(&kept_at(dir.path()));
    let third = served.policy().ask("192.0.2.7", 1003, 1);
    assert!(third.starts_with("421 4.7.0 [192.0.2.7] Too much mail from this host: limit of 2"), "{third}");
}

#[test]
fn the_command_line_outranks_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, line) = (dir.path().join("file"), dir.path().join("line"));
    let config = format!("{PORTS}{}", kept_at(&file));
    let args = ["--state-dir", line.to_str().unwrap()];
    let mut served = Served::start_with(&Start { config: &config, args: &args, env: None });
    served.wait_for("starting ... state=");
    served.wait_for("listening protocol=milter");
    assert!(line.join("head").exists() && !file.exists());
    let none = ["--state-dir", ""];
    let mut served = Served::start_with(&Start { config: &config, args: &none, env: None });
    served.wait_for("starting ... state=memory");
    served.wait_for("listening protocol=milter");
    assert!(!file.exists());
}

#[test]
fn the_directory_that_systemd_made_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let start = Start { config: PORTS, args: &[], env: Some(("STATE_DIRECTORY", dir.path())) };
    let _served = Served::start_with(&start).listening();
    assert!(dir.path().join("head").exists());
}

#[test]
fn a_second_daemon_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = Served::start(&kept_at(dir.path()));
    let config = format!("{PORTS}{}", kept_at(dir.path()));
    let mut second = Served::start_with(&Start { config: &config, args: &[], env: None });
    let holder = format!("lock is held by process {}", first.pid().as_raw_nonzero());
    second.wait_for(&format!("error cannot start: ... {holder}: a state has one daemon"));
    assert_eq!(second.ended().code(), Some(1));
}

#[test]
fn a_place_that_cannot_be_used_stops_no_mail() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let mut served = Served::start(&kept_at(&file.join("state")));
    let told = served.seen().iter().any(|line| line.contains("error state cannot be kept"));
    assert!(told, "{:?}", served.seen());
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    std::fs::remove_file(&file).unwrap();
    served.wait_for("info state is kept again");
    assert_eq!(client.ask("192.0.2.7", 1002, 1), "DUNNO");
    drop(client);
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let mut served = Served::start(&kept_at(&file.join("state")));
    assert!(served.policy().ask("192.0.2.7", 1003, 1).starts_with("421 4.7.0 "));
}

#[test]
fn damage_is_told_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    drop(Served::start(&kept_at(dir.path())));
    std::fs::write(dir.path().join("pages/version"), "nonsense").unwrap();
    let config = format!("{PORTS}{}", kept_at(dir.path()));
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for("error state cannot be read, set aside; this one begins empty ... /corrupt-");
    served.wait_for("listening protocol=milter");
    assert_eq!(served.policy().ask("192.0.2.7", 1001, 1), "DUNNO");
}

#[test]
fn another_version_is_told_and_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    drop(Served::start(&kept_at(dir.path())));
    std::fs::write(dir.path().join("head"), "tempfail-state 77 of later\n").unwrap();
    let config = format!("{PORTS}{}", kept_at(dir.path()));
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for("error state is of another version, set aside; this one begins empty ... /version-77-");
    served.wait_for("listening protocol=milter");
}

#[test]
fn a_state_moves_by_export_and_import() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let mut served = Served::start(&kept_at(&old));
    let mut client = served.policy();
    (0..2).for_each(|n| assert_eq!(client.ask("192.0.2.7", 1001 + n, 1), "DUNNO"));
    drop(client);
    let run =
        |args: &[&std::ffi::OsStr]| Command::new(env!("CARGO_BIN_EXE_tempfail")).args(args).output().unwrap();
    let busy = run(&["export".as_ref(), old.as_ref()]);
    let error = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(error.contains("is held by process") && busy.status.code() == Some(1), "{error}");
    served.signal(Signal::TERM);
    assert!(served.ended().success());
    let lines = dir.path().join("lines");
    let exported = run(&["export".as_ref(), "--to".as_ref(), lines.as_ref(), old.as_ref()]);
    assert!(exported.status.success() && exported.stdout.is_empty(), "{exported:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&lines).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let imported = run(&["import".as_ref(), "--from".as_ref(), lines.as_ref(), new.as_ref()]);
    let told = String::from_utf8(imported.stdout).unwrap();
    assert!(told.ends_with(" entries taken over\n"), "{told}");
    let mut served = Served::start(&kept_at(&new));
    assert!(served.policy().ask("192.0.2.7", 1003, 1).starts_with("421 4.7.0 "));
}
