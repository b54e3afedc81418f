//! What is answered, and what the log says of it.

use crate::support::{LONG, PORTS, PolicyClient, Served, Start, question};
use indymilter_test::{MacroStage, Status, TestConnection};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

#[test]
fn observing_is_the_default_and_says_what_enforcing_would_do() {
    let mut served = Served::start("first_contact.suspicious = 0.8\n");
    served.policy();
    assert_eq!(served.policy().ask("192.0.2.7", 4321, 1), "DUNNO");
    let line = served.wait_for("action=pass, reason=first-contact, ");
    let keys = "client_name=unknown, client_address=192.0.2.7, sender=a@src.example, recipient=b@dest.example, would=defer, mode=observe, id=";
    assert!(line.contains(keys), "{line}");
    assert!(line.ends_with(", helo=pc.local, protocol=policy, stage=rcpt"), "{line}");
}

#[test]
fn enforcing_answers_as_it_is_logged() {
    let mut served = Served::start(
        "mode = \"enforce\"\nfirst_contact.suspicious = 0.8\nhelp = \"see https://dest.example\"",
    );
    let action = served.policy().ask("192.0.2.7", 4321, 1);
    assert!(action.starts_with("421 4.7.0 [192.0.2.7] This host is new to us"), "{action}");
    assert!(action.ends_with(" see https://dest.example"), "{action}");
    let line = served.wait_for("action=defer, reason=first-contact, ... code=421");
    let id = line.split_once(", id=").unwrap().1.split_once(", ").unwrap().0;
    assert!(action.contains(&format!("(first-contact {id})")), "{action} {line}");
    assert!(line.contains(", retry_after=180, "), "{line}");
}

#[test]
fn both_protocols_hear_the_same_of_the_same_session() {
    let mut served = Served::start("mode = \"enforce\"\nfirst_contact.suspicious = 0.8\n");
    let (mut policy, milter) = (served.policy(), served.address("milter"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (action, status) = runtime.block_on(async {
        let mut connection = TestConnection::open(milter).await.unwrap();
        let client =
            [("{client_addr}", "192.0.2.7"), ("{client_port}", "4321"), ("{client_name}", "unknown")];
        connection.macros(MacroStage::Helo, client).await.unwrap();
        connection.helo("pc.local").await.unwrap();
        connection.mail(["<a@src.example>"]).await.unwrap();
        // Postfix asks its policy service first, then the milter.
        let action = policy.ask("192.0.2.7", 4321, 1);
        (action, connection.rcpt(["<b@dest.example>"]).await.unwrap())
    });
    let Status::Tempfail { message: Some(message) } = status else { panic!("{status:?}") };
    assert_eq!(message.to_str().unwrap(), action);
    served.wait_for("action=defer");
    let decisions = served.seen().iter().filter(|line| line.contains("action=")).count();
    assert_eq!(decisions, 1, "one decision, one line");
}

#[test]
fn json_lines_are_objects_and_hostile_names_do_not_break_them() {
    let start = Start { config: PORTS, args: &["--log-format", "json"], env: None };
    let mut served = Served::start_with(&start);
    let line = served.wait_for(r#""message":"listening","protocol":"policy""#);
    let address =
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["address"].as_str().unwrap().parse();
    let hostile = "x\u{1b}[2J\"}, action=\\ü";
    let text = question("192.0.2.7", 4321, 1).replace("helo_name=pc.local", &format!("helo_name={hostile}"));
    let mut client = PolicyClient::connect(address.unwrap());
    client.send(&text);
    assert_eq!(client.answer().as_deref(), Some("DUNNO"));
    served.wait_for(r#""action":"pass""#);
    let lines: Vec<serde_json::Value> =
        served.seen().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decision = lines.iter().find(|line| line["action"] == "pass").unwrap();
    assert_eq!(decision["client_address"], "192.0.2.7");
    assert!(decision["helo"].as_str().unwrap().starts_with('x'), "{decision}");
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.sock");
    let config = format!(
        "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"unix:{}\"]\npolicy.socket_mode = \"0600\"\nmilter.listen = []\n",
        path.display()
    );
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for("listening protocol=policy address=unix:");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(question("192.0.2.7", 4321, 1).as_bytes()).unwrap();
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"action=DUNNO\n\n");
    drop(stream);
    served.signal(rustix::process::Signal::TERM);
    assert!(served.ended().success());
    assert!(!path.exists());
}

#[test]
fn an_address_in_use_ends_the_start_with_a_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!(
        "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"{address}\"]\nmilter.listen = [\"127.0.0.1:0\"]\n"
    );
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for(&format!(
        "error cannot start: cannot listen on {address}: another process is listening there"
    ));
    assert_eq!(served.ended().code(), Some(1));
}
