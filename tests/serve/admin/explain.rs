//! `explain` and `top`: what is held of somebody, and who is first.

use super::{Administered, complained, json, said};
use crate::support::question;

/// Two messages an hour for a stranger, who is not suspicious whatever it looks like.
const TWO: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\n\
                   limits.cold = { messages = \"2/h\" }\nlimits.floor = { messages = \"1/h\" }\n";

/// A daemon that has let in two messages of a client and deferred the third; and that one's reply.
fn used_up() -> (Administered, String) {
    let mut daemon = Administered::start(TWO);
    let mut client = daemon.served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    assert_eq!(client.ask("192.0.2.7", 1002, 1), "DUNNO");
    client.send(&question("192.0.2.7", 1003, 1).replace("queue_id=\n", "queue_id=4AbCd\n"));
    let reply = client.answer().unwrap();
    assert!(reply.starts_with("421 4.7.0 "), "{reply}");
    (daemon, reply)
}

#[test]
fn an_address_is_explained_with_what_is_left_and_what_would_change_it() {
    let (daemon, _) = used_up();
    let text = said(&daemon.run(&["explain", "192.0.2.7"]));
    for part in [
        "standing   New - spam with a chance of ",
        "because (log-odds",
        "suspicious no - ",
        " % certain, and from 100.0 % on a message waits\n",
        "limits (whose, of what; at once, by the hour, left now)",
        "  host     messages an hour ",
        "  network  messages an hour ",
        "what would change it",
        "that a person or filter calls good",
        "the host's limit of messages an hour is used up: there is one again at 20",
        "\"tempfail allow 192.0.2.7\" lets it in now",
        "latest decisions",
        "rate-messages",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let explained = json(&daemon.run(&["explain", "--json", "192.0.2.7"]));
    let sum: f64 =
        explained["contributions"].as_array().unwrap().iter().map(|c| c["log_odds"].as_f64().unwrap()).sum();
    let log_odds = explained["standing"]["log_odds"].as_f64().unwrap();
    assert!((sum - log_odds).abs() < 1e-3, "{sum} {log_odds}");
    let limit = |n: usize| &explained["limits"][n];
    assert!(limit(1)["left"].as_f64().unwrap() < 1.0, "{}", explained["limits"]);
    assert_eq!((&limit(1)["whose"], &limit(6)["whose"]), (&"host".into(), &"network".into()));
    // Two of four, and what has come back meanwhile.
    assert!((2.0..2.5).contains(&limit(6)["left"].as_f64().unwrap()), "{}", explained["limits"]);
    let suspicion = &explained["suspicion"];
    assert_eq!((&suspicion["suspicious"], &suspicion["at_least"]), (&false.into(), &1.0.into()));
    assert!((0.0..1.0).contains(&suspicion["certainty"].as_f64().unwrap()), "{suspicion}");
    assert_eq!(explained["last"].as_array().unwrap().len(), 3);
    assert_eq!(explained["remembered"][0]["name"], "192.0.2.7/32");
}

#[test]
fn a_decision_is_explained_by_the_id_in_its_reply_and_by_its_queue_id() {
    let (daemon, reply) = used_up();
    let id = reply.trim_end_matches(')').rsplit(' ').next().unwrap();
    for about in [id, &id.to_lowercase(), "4AbCd"] {
        let explained = json(&daemon.run(&["explain", "--json", about]));
        assert_eq!(explained["decision"]["id"], id, "{about}");
        assert_eq!(explained["decision"]["reply"], reply.as_str());
        assert_eq!(explained["decision"]["reason"], "rate-messages");
        assert!(explained["standing"]["word"].is_string());
    }
    let text = said(&daemon.run(&["explain", id]));
    assert!(text.contains(&format!("decision   {id} at ")) && text.contains(&reply), "{text}");
    assert!(!text.contains("dest.example"), "no recipient: {text}");
}

#[test]
fn a_domain_is_explained_by_what_is_remembered_of_it() {
    let (daemon, _) = used_up();
    let explained = json(&daemon.run(&["explain", "--json", "src.example"]));
    assert_eq!(explained["standing"], serde_json::Value::Null);
    assert_eq!(explained["last"].as_array().unwrap().len(), 3);
    let mailbox = json(&daemon.run(&["explain", "--json", "A@src.example"]));
    assert_eq!(mailbox["last"].as_array().unwrap().len(), 3);
    let other = json(&daemon.run(&["explain", "--json", "b@src.example"]));
    assert_eq!(other["last"].as_array().unwrap().len(), 0, "its domain is known, itself is not");
    assert_eq!(daemon.run(&["explain", "b@nowhere.example"]).status.code(), Some(1));
}

#[test]
fn a_network_is_explained_by_itself_and_by_its_hosts() {
    let (mut daemon, _) = used_up();
    assert_eq!(daemon.served.policy().ask("192.0.3.1", 1004, 1), "DUNNO");
    assert!(daemon.run(&["block", "192.0.2.128/25"]).status.success());
    let explained = json(&daemon.run(&["explain", "--json", "192.0.2.0/24"]));
    let remembered: Vec<_> =
        explained["remembered"].as_array().unwrap().iter().map(|of| &of["name"]).collect();
    assert_eq!(remembered, ["192.0.2.0/24", "192.0.2.7/32"]);
    assert_eq!(explained["remembered"][0]["kind"], "prefix");
    assert_eq!(
        (&explained["about"], &explained["standing"]),
        (&"192.0.2.0/24".into(), &serde_json::Value::Null)
    );
    assert_eq!(explained["last"].as_array().unwrap().len(), 3);
    assert_eq!(explained["overrides"][0]["key"], "192.0.2.128/25");
    let wider = json(&daemon.run(&["explain", "--json", "192.0.0.0/16"]));
    let (all, last) = (wider["remembered"].as_array().unwrap(), wider["last"].as_array().unwrap());
    assert_eq!((all.len(), all[0]["kind"].as_str(), last.len()), (3, Some("network"), 4), "{wider}");
    let empty = daemon.run(&["explain", "198.51.100.0/24"]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(said(&empty).contains("\"tempfail allow 198.51.100.0/24\" lets in what comes from there"));
}

#[test]
fn an_allowance_that_nothing_proves_is_told_and_does_not_hold() {
    let (daemon, _) = used_up();
    assert!(daemon.run(&["allow", "src.example"]).status.success());
    let text = said(&daemon.run(&["explain", "192.0.2.7"]));
    assert!(text.contains("override   allow src.example since "), "{text}");
    assert!(text.contains("does not hold here: nothing that is known shows it to be from there"), "{text}");
    assert!(text.contains("\"tempfail allow 192.0.2.7\" lets it in now"), "{text}");
    let explained = json(&daemon.run(&["explain", "--json", "192.0.2.7"]));
    assert_eq!(explained["overrides"][0]["unproven"], true);
    let domain = json(&daemon.run(&["explain", "--json", "src.example"]));
    assert_eq!(domain["overrides"][0].get("unproven"), None, "of the domain itself it is in force");
}

#[test]
fn what_an_operator_said_is_explained() {
    let (daemon, _) = used_up();
    assert!(daemon.run(&["allow", "192.0.2.7", "--for", "1h", "--note", "a partner"]).status.success());
    let text = said(&daemon.run(&["explain", "192.0.2.7"]));
    assert!(text.contains("override   allow 192.0.2.7 since ") && text.contains(" a partner\n"), "{text}");
    assert!(text.contains("\"tempfail overrides --remove 192.0.2.7\" ends the allow, at 20"), "{text}");
}

#[test]
fn what_nobody_knows_has_a_status_of_its_own() {
    let daemon = Administered::start("");
    let stranger = daemon.run(&["explain", "198.51.100.1"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(said(&stranger).contains("nothing is held of it\nstanding   New"), "{}", said(&stranger));
    let id = daemon.run(&["explain", "00000000"]);
    assert_eq!(id.status.code(), Some(1));
    assert!(
        complained(&id).starts_with("no decision \"00000000\" is among the latest ones"),
        "{}",
        complained(&id)
    );
    for nothing in ["", "a b", "@", "\u{1b}[2J", "x@"] {
        let output = daemon.run(&["explain", nothing]);
        assert_eq!(output.status.code(), Some(64), "{nothing:?}");
        assert!(!complained(&output).contains('\u{1b}'), "{nothing:?}");
    }
    assert_eq!(daemon.run(&["top"]).status.code(), Some(1), "nobody");
}

#[test]
fn the_first_are_ranked() {
    let (mut daemon, _) = used_up();
    let mut client = daemon.served.policy();
    client.ask("198.51.100.1", 1001, 1);
    client.ask("2001:db8::1", 1001, 1);
    let top = |args: &[&str]| json(&daemon.run(&[&["top", "--json"], args].concat()));
    let deferred = top(&[]);
    assert_eq!(deferred["rows"].as_array().unwrap().len(), 1);
    assert_eq!(deferred["rows"][0]["address"], "192.0.2.7");
    assert_eq!((&deferred["rows"][0]["deferred"], &deferred["rows"][0]["decisions"]), (&1.into(), &3.into()));
    assert_eq!(daemon.ask("GET", "/v1/top?by=age", "", "").0, 400);
    assert_eq!(daemon.ask("GET", "/v1/top?n=0", "", "").0, 400);
    assert_eq!(daemon.ask("GET", "/v1/top?by=volume&n=1000", "", "").0, 200);
    let text = said(&daemon.run(&["top", "--by", "deferred"]));
    assert!(text.contains("its allowance is used up"), "{text}");
}
