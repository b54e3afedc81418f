//! `allow`, `block`, `forget` and `overrides`: by the real program, on the real daemon, over a restart.

use super::{Administered, complained, json, said};
use serde_json::Value;

/// No stranger is suspicious, whatever it looks like.
const ENFORCE: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\n";

fn overrides(daemon: &Administered) -> Vec<Value> {
    json(&daemon.run(&["overrides", "--json"]))["overrides"].as_array().unwrap().clone()
}

fn audit(daemon: &Administered) -> Vec<(String, String)> {
    let trail = json(&daemon.run(&["overrides", "--audit", "--json"]));
    let word = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
    let changes = trail["changes"].as_array().unwrap().iter();
    changes.map(|change| (word(change, "what"), word(change, "key"))).collect()
}

#[test]
fn a_block_acts_at_once_and_survives_kill_9() {
    let mut daemon = Administered::start(ENFORCE);
    assert_eq!(daemon.served.policy().ask("192.0.2.7", 1001, 1), "DUNNO");
    let blocked = daemon.run(&["block", "192.0.2.0/24", "--for", "30d", "--note", "harvester"]);
    assert!(said(&blocked).starts_with("192.0.2.0/24: block until 20"), "{}", complained(&blocked));
    daemon
        .served
        .wait_for("changed by hand or by the ladder what=block key=192.0.2.0/24 until=20 ... harvester");
    let answer = daemon.served.policy().ask("192.0.2.7", 1002, 2);
    assert!(answer.starts_with("421 4.7.0 [192.0.2.7] ") && answer.contains("(blocked "), "{answer}");
    let mut daemon = daemon.killed_and_restarted();
    assert!(daemon.served.policy().ask("192.0.2.7", 1003, 3).starts_with("421 4.7.0 "));
    let held = overrides(&daemon);
    assert_eq!((held.len(), held[0]["note"].as_str()), (1, Some("harvester")));
    assert_eq!(audit(&daemon), [("block".to_owned(), "192.0.2.0/24".to_owned())]);
    assert!(daemon.run(&["block", "192.0.2.7", "--reject"]).status.success());
    assert!(daemon.served.policy().ask("192.0.2.7", 1004, 4).starts_with("550 5.7.1 [192.0.2.7] "));
    let told = |key: &str| String::from_utf8(daemon.run(&["allow", key]).stdout).unwrap();
    assert!(told("example.com").contains("it holds where SPF or DKIM proves the sender"));
    assert_eq!(told("192.0.2.7").lines().next(), Some("192.0.2.7: allow until you remove it"));
    assert!(!told("192.0.2.7").contains("SPF"));
    assert_eq!(daemon.served.policy().ask("192.0.2.7", 1005, 5), "DUNNO");
    assert!(daemon.run(&["overrides", "--remove", "192.0.2.7"]).status.success());
    assert!(daemon.served.policy().ask("192.0.2.7", 1006, 6).starts_with("421 "), "the network's holds");
    let gone = daemon.run(&["overrides", "--remove", "192.0.2.7"]);
    assert_eq!(
        (gone.status.code(), complained(&gone).as_str()),
        (Some(1), "there is no override of 192.0.2.7\n")
    );
}

#[test]
fn what_is_forgotten_is_gone_from_the_disk_and_from_the_latest_decisions() {
    let mut daemon = Administered::start(ENFORCE);
    daemon.served.policy().ask("192.0.2.7", 1001, 1);
    daemon.served.policy().ask("192.0.2.8", 1002, 2);
    assert!(daemon.run(&["block", "192.0.2.7"]).status.success());
    let gone = json(&daemon.run(&["forget", "192.0.2.7", "--json"]));
    assert_eq!((gone["overrides"].as_u64(), gone["decisions"].as_u64()), (Some(1), Some(1)));
    assert!(gone["entries"].as_u64() > Some(0) && gone["kept"] == true, "{gone}");
    assert!(overrides(&daemon).is_empty());
    let trail = audit(&daemon);
    assert!(trail.iter().all(|(_, key)| key.starts_with('#')), "nobody is named: {trail:?}");
    let directory = daemon.path("state").display().to_string();
    let daemon = daemon.killed();
    let export = super::program(&["export", &directory], &[]);
    let lines = said(&export);
    assert!(!lines.contains("c0000207") && !lines.contains("192.0.2.7"), "{lines}");
    assert!(lines.contains("c0000208"), "{lines}");
    drop(daemon);
}

#[test]
fn nonsense_is_told_and_observe_says_that_nothing_is_answered() {
    let mut daemon = Administered::start("");
    for (args, told) in [
        (&["block", "0.0.0.0/0"][..], "0.0.0.0/0 is a large part of all addresses; say --force"),
        (&["allow", "com"], "com is no domain of one organisation"),
        (&["block", "192.0.2.7/24"], "has bits set behind its prefix length: 192.0.2.0/24 or 192.0.2.7?"),
        (&["forget", "what ever"], "is neither an address, a network, a domain nor a mailbox"),
        (&["allow", "192.0.2.7", "--for", "soon"], "for \"soon\": expected a duration"),
        (&["allow", "192.0.2.7", "--for", "99years"], "is longer than ten years"),
    ] {
        let output = daemon.run(args);
        assert!(complained(&output).contains(told), "{args:?}: {}", complained(&output));
        assert_eq!(output.status.code(), Some(64), "{args:?}");
    }
    let blocked = daemon.run(&["block", "192.0.2.7"]);
    assert!(said(&blocked).contains("the mode is observe: a block is only logged"), "{}", said(&blocked));
    assert_eq!(daemon.served.policy().ask("192.0.2.7", 1001, 1), "DUNNO");
    daemon.served.wait_for("action=pass, reason=blocked ... would=defer");
}

#[test]
fn a_change_over_tcp_needs_the_token() {
    let daemon = Administered::start("");
    let token = daemon.path("state/admin.token").display().to_string();
    assert!(daemon.run_over_tcp(&["allow", "example.com"], &token).status.success());
    assert_eq!(daemon.run_over_tcp(&["allow", "example.com"], "/nonexistent").status.code(), Some(77));
    let (status, body) = daemon.ask("POST", "/v1/forget", "", "{\"key\":\"example.com\"}");
    assert_eq!(status, 401, "{body}");
    let header = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", daemon.token());
    for (body, status) in [
        ("{\"key\":\"192.0.2.7\",\"effect\":\"block\",\"for\":\"1h\"}", 200),
        ("{\"key\":\"192.0.2.7\",\"effect\":\"hug\"}", 422),
        ("{\"key\":\"192.0.2.7\",\"effect\":\"block\",\"unheard\":1}", 422),
        ("{", 400),
    ] {
        assert_eq!(daemon.ask("POST", "/v1/overrides", &header, body).0, status, "{body}");
    }
    assert_eq!(overrides(&daemon).len(), 2);
}
