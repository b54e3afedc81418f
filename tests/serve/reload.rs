//! SIGHUP: a new policy without a dropped connection or a reset counter, and what becomes of a bad one.

use crate::support::{PORTS, Served, Start};
use rustix::process::Signal;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

/// Two messages an hour for a stranger, who is not suspicious whatever it looks like.
const TWO: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\n\
                   limits.cold = { messages = \"2/h\" }\nlimits.floor = { messages = \"1/h\" }\n";

#[test]
fn a_good_configuration_keeps_connections_and_counters() {
    let mut served = Served::start(TWO);
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    served.reload(&format!("{TWO}help = \"as of the reload\"\n"));
    served.wait_for("configuration reloaded");
    assert_eq!(client.ask("192.0.2.7", 1002, 1), "DUNNO");
    let third = client.ask("192.0.2.7", 1003, 1);
    assert!(
        third.starts_with("421 4.7.0 [192.0.2.7] Too much mail from this host: limit of 2 messages"),
        "{third}"
    );
    assert!(third.ends_with("as of the reload"), "{third}");
}

#[test]
fn a_session_keeps_the_policy_that_it_began_with() {
    let mut served = Served::start("mode = \"observe\"\n");
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    // What it has let in speaks for its HELO name already.
    served.reload("mode = \"enforce\"\nfirst_contact.suspicious = 0.8\n");
    served.wait_for("configuration reloaded ... mode=enforce");
    assert_eq!(client.ask("192.0.2.7", 1001, 2), "DUNNO");
    let next = client.ask("198.51.100.7", 1002, 1);
    assert!(next.starts_with("421 4.7.0 "), "{next}");
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_told() {
    let mut served = Served::start(TWO);
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    served.reload("mode = \"of\"\n[limits]\ngrowht = 3\n");
    served.wait_for("error mode: expected \"off\", \"observe\" or \"enforce\", found \"of\"; did you mean \"off\"? ... t.toml line=5 column=8");
    served.wait_for("error unknown key \"growht\" in [limits] ... line=7 column=1");
    served.wait_for("error configuration not reloaded, the one before stays in force errors=2");
    assert_eq!(client.ask("192.0.2.7", 1002, 1), "DUNNO");
    assert!(client.ask("192.0.2.7", 1003, 1).starts_with("421 4.7.0 "));
    std::fs::remove_file(served.path("t.toml")).unwrap();
    served.signal(Signal::HUP);
    served.wait_for("error configuration not reloaded, the one before stays in force ... No such file");
    assert!(client.ask("192.0.2.7", 1004, 1).starts_with("421 4.7.0 "));
}

#[test]
fn a_file_that_was_cut_off_is_taken_over_and_told() {
    let mut served = Served::start(&format!("{TWO}[exempt]\nauthenticated = true\n"));
    served.reload(&format!("{TWO}help = \"call us\"\n"));
    let told = "the configuration says less than before: was its file cut off? section=exempt before=1 now=0";
    served.wait_for(&format!("warn {told}"));
    served.wait_for("info the configuration says more than before section=help before=0 now=1");
    served.wait_for("configuration reloaded");
    served.reload(&format!("{TWO}help = \"call us\"\n"));
    served.wait_for("configuration reloaded");
    assert_eq!(served.seen().iter().filter(|line| line.contains("says less")).count(), 1);
}

#[test]
fn what_only_a_restart_changes_is_told() {
    let mut served = Served::start("");
    served.reload(
        "memory.max = \"64MiB\"\nshutdown.grace = \"1s\"\nmode = \"enforce\"\nfirst_contact.suspicious = 0.8\n\
         feedback.users = [\"root\"]\n",
    );
    served.wait_for("warn a change that only a restart brings into force key=feedback.users");
    served.wait_for("warn a change that only a restart brings into force key=memory.max");
    served.wait_for("warn a change that only a restart brings into force key=shutdown.grace");
    served.wait_for("configuration reloaded mode=enforce");
    let told = served.seen().iter().filter(|line| line.contains("only a restart")).count();
    assert_eq!(told, 3);
    assert!(served.policy().ask("192.0.2.7", 1001, 1).starts_with("421 4.7.0 "));
}

#[test]
fn systemd_is_told_of_start_reload_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::support::LONG)).unwrap();
    let next = || {
        let mut message = [0; 500];
        // A process that is stopped and goes on loses a wait that has a timeout.
        let length = loop {
            match socket.recv(&mut message) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let start = Start { config: PORTS, args: &[], env: Some(("NOTIFY_SOCKET", &path)) };
    let mut served = Served::start_with(&start);
    assert_eq!(next().trim_end(), "READY=1");
    served.reload("mode = \"enforce\"\n");
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(next().trim_end(), "READY=1");
    served.signal(Signal::TERM);
    assert_eq!(next().trim_end(), "STOPPING=1");
    assert!(served.ended().success());
}
