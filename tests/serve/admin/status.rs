//! `status`, and how the daemon is found.

use super::{Administered, complained, json, said};
use crate::support::{Served, Start};
use std::process::Command;

#[test]
fn status_tells_over_both_sockets_what_was_decided() {
    let mut daemon = Administered::start("");
    let before = json(&daemon.run(&["status", "--json"]));
    assert_eq!(before["front_ends"][0]["last_asked"], serde_json::Value::Null);
    daemon.served.policy().ask("192.0.2.7", 1001, 1);
    let status = json(&daemon.run(&["status", "--json"]));
    assert_eq!((status["mode"].as_str(), status["decisions"]["total"].as_u64()), (Some("observe"), Some(1)));
    assert_eq!(status["front_ends"][0]["protocol"], "policy");
    assert_eq!(status["front_ends"][0]["questions"], 1);
    assert!(status["front_ends"][0]["last_asked"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        (status["clients"]["addresses"].as_u64(), status["clients"]["or_more"].as_bool()),
        (Some(1), Some(false))
    );
    assert_eq!(status["state"]["durable"], true);
    assert_eq!(status["listening"].as_array().unwrap().len(), 4);
    let over_tcp = daemon.run_over_tcp(&["status"], "/nonexistent");
    assert!(over_tcp.status.success(), "reading needs no token: {}", complained(&over_tcp));
    let text = said(&over_tcp);
    for part in [
        "mode       observe since ",
        "decisions  1: 1 passed",
        "policy             1 questions, the last at ",
        "state      kept in ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn a_reload_that_failed_is_told_until_one_goes_well() {
    let mut daemon = Administered::start("");
    let good = daemon.config.clone();
    let metric = |daemon: &Administered| {
        let page = daemon.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let line = page.lines().find_map(|line| line.strip_prefix("tempfail_config_last_reload_successful "));
        line.unwrap().to_owned()
    };
    assert_eq!(metric(&daemon), "1.0");
    std::fs::write(daemon.served.path("t.toml"), format!("{good}[[list]]\nzone = \"secret key.example\"\n"))
        .unwrap();
    daemon.served.signal(rustix::process::Signal::HUP);
    daemon.served.wait_for("error configuration not reloaded");
    let text = said(&daemon.run_over_tcp(&["status"], "/nonexistent"));
    assert!(text.contains("NOT RELOADED at ") && text.contains("1 errors, the first at /"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(metric(&daemon), "0.0");
    std::fs::write(daemon.served.path("t.toml"), &good).unwrap();
    daemon.served.signal(rustix::process::Signal::HUP);
    daemon.served.wait_for("configuration reloaded");
    assert_eq!(metric(&daemon), "1.0");
    let status = json(&daemon.run(&["status", "--json"]));
    assert_eq!(status["configuration"]["not_reloaded"], serde_json::Value::Null);
}

#[test]
fn a_mode_that_is_set_holds_until_a_reload_and_for_who_begins_from_now_on() {
    let mut daemon = Administered::start("mode = \"enforce\"\nfirst_contact.suspicious = 0.8\n");
    let mut client = daemon.served.policy();
    assert!(client.ask("192.0.2.7", 1001, 1).starts_with("421 "));
    // A file that is broken is no obstacle.
    std::fs::write(daemon.path("broken.toml"), "mode = \n").unwrap();
    let broken = daemon.path("broken.toml").display().to_string();
    let set = daemon.run(&["mode", "observe", "--config", &broken]);
    let text = said(&set);
    assert!(set.status.success() && text.starts_with("observe since "), "{text} {}", complained(&set));
    assert!(text.contains(", set by unix:uid=") && text.contains("brings back enforce"), "{text}");
    assert!(complained(&set).contains("broken.toml:1:"), "{}", complained(&set));
    assert_eq!(client.ask("198.51.100.7", 1002, 1), "DUNNO");
    let status = json(&daemon.run(&["status", "--json"]));
    assert_eq!((&status["mode"], &status["mode_configured"]), (&"observe".into(), &"enforce".into()));
    assert!(status["mode_set_by"].as_str().unwrap().starts_with("unix:uid="), "{status}");
    assert!(said(&daemon.run(&["mode"])).starts_with("observe since "));
    let refused = daemon.run_over_tcp(&["mode", "enforce"], "/nonexistent");
    assert_eq!(refused.status.code(), Some(77), "{}", complained(&refused));
    daemon.served.signal(rustix::process::Signal::HUP);
    daemon
        .served
        .wait_for("warn the mode that was set is over, the configuration's is in force ... mode=enforce");
    daemon.served.wait_for("configuration reloaded");
    assert!(client.ask("203.0.113.7", 1003, 1).starts_with("421 "));
    let status = json(&daemon.run(&["status", "--json"]));
    assert_eq!((&status["mode"], &status["mode_set_by"]), (&"enforce".into(), &serde_json::Value::Null));
}

#[test]
fn a_daemon_that_is_not_there_has_a_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", dir.path().join("s").display());
    let output =
        Command::new(env!("CARGO_BIN_EXE_tempfail")).args(["status", "--admin", &nobody]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let told = complained(&output);
    assert!(told.starts_with("cannot reach the daemon: unix:") && told.contains("No such file"), "{told}");
}

#[test]
fn what_listens_there_may_be_no_daemon() {
    let mut daemon = Administered::start("");
    let policy = daemon.served.address("policy").to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_tempfail")).args(["status", "--admin", &policy]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complained(&output).starts_with("the daemon's answer broke off: "), "{}", complained(&output));
}

#[test]
fn mail_flows_without_an_admin_interface() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "policy.listen = [\"127.0.0.1:0\"]\nmilter.listen = []\nsignals.enabled = false\n\
         admin.listen = [\"{}\", \"unix:/nonexistent/admin.sock\"]\n",
        taken.local_addr().unwrap()
    );
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for("error the admin interface is not there ... another process is listening there");
    served.wait_for("error the admin interface is not there ... /nonexistent/admin.sock");
    assert_eq!(served.policy().ask("192.0.2.7", 1001, 1), "DUNNO");
}

#[test]
fn the_token_is_for_the_owner_alone_and_survives_a_restart() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Administered::start("");
    let path = daemon.path("state/admin.token");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(daemon.token().len(), 64);
}

#[test]
fn metrics_say_what_status_says() {
    let mut daemon = Administered::start("first_contact.suspicious = 1.0\n");
    daemon.served.policy().ask("192.0.2.7", 1001, 1);
    let answer = daemon.raw(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    for line in [
        "tempfail_mode{mode=\"observe\"} 1.0",
        "tempfail_questions_total{protocol=\"policy\"} 1",
        "tempfail_decisions_total{protocol=\"policy\",action=\"pass\",verdict=\"pass\",reason=\"allowed\"} 1",
        "tempfail_state_durable 1.0",
        concat!("tempfail_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "tempfail_decisions_total{protocol=\"milter\",action=\"pass\",verdict=\"pass\",reason=\"failsafe\"} 0",
        "tempfail_decisions_total{protocol=\"policy\",action=\"pass\",verdict=\"defer\",reason=\"blocked\"} 0",
        "tempfail_answer_duration_seconds_bucket{le=\"+Inf\",protocol=\"policy\"} 1",
        "tempfail_answer_duration_seconds_count{protocol=\"milter\"} 0",
        "tempfail_connections_max{protocol=\"policy\"} 1000.0",
        "# TYPE tempfail_memory_bytes gauge",
        "# TYPE tempfail_resident_memory_bytes gauge",
        "# EOF",
    ] {
        assert!(answer.lines().any(|said| said == line), "{line:?} in {answer}");
    }
    assert!(!answer.contains("tempfail_dns"), "nothing is looked up in this test");
}
