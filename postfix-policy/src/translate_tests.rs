use super::*;
use crate::wire::{Bounds, Parser};

const BOUNDS: Bounds = Bounds { line: 8192, request: 65536, attributes: 100 };

/// The facts in a request made of these lines; `None` when the engine is not to be asked.
fn read(lines: &str) -> Option<Facts> {
    let bytes = format!("request=smtpd_access_policy\n{lines}\n\n");
    let mut parser = Parser::new(BOUNDS);
    let request = parser.parse(bytes.as_bytes()).unwrap().unwrap();
    let (end, stage) = (ClientEnd::of(&request)?, stage(&request)?);
    let session = end.session().unwrap_or(SessionId::Connection(FrontEnd::Policy, 0));
    Some(facts(&request, stage, end, session))
}

fn rcpt(lines: &str) -> Facts {
    read(&format!("protocol_state=RCPT\nclient_address=192.0.2.7\n{lines}")).unwrap()
}

#[test]
fn every_state_has_its_stage() {
    let stage = |state| read(&format!("protocol_state={state}\nclient_address=192.0.2.7")).map(|f| f.stage);
    for (state, expected) in [
        ("CONNECT", Stage::Connect),
        ("XCLIENT", Stage::Connect),
        ("EHLO", Stage::Helo),
        ("HELO", Stage::Helo),
        ("MAIL", Stage::Mail),
        ("RCPT", Stage::Rcpt),
        ("DATA", Stage::Data),
        ("END-OF-MESSAGE", Stage::EndOfMessage),
    ] {
        assert_eq!(stage(state), Some(expected), "{state}");
    }
    for state in ["VRFY", "ETRN", "", "rcpt", "AUTH"] {
        assert_eq!(stage(state), None, "{state}");
    }
}

#[test]
fn the_port_names_the_session() {
    let session = |lines: &str| read(&format!("protocol_state=RCPT\n{lines}")).unwrap().session;
    let tcp = SessionId::Tcp("192.0.2.7:25".parse().unwrap());
    assert_eq!(session("client_address=192.0.2.7\nclient_port=25"), tcp);
    assert_eq!(session("client_address=::ffff:192.0.2.7\nclient_port=25"), tcp);
    let connection = SessionId::Connection(FrontEnd::Policy, 0);
    for port in ["", "client_port=", "client_port=0", "client_port=unknown", "client_port=65536"] {
        assert_eq!(session(format!("client_address=192.0.2.7\n{port}").trim_end()), connection, "{port}");
    }
}

#[test]
fn without_an_address_nothing_is_asked() {
    for address in ["", "client_address=", "client_address=unknown", "client_address=192.0.2"] {
        assert_eq!(read(format!("protocol_state=RCPT\n{address}").trim_end()), None, "{address}");
    }
}

#[test]
fn instances_name_transactions() {
    let transaction = |lines| rcpt(lines).transaction;
    assert_eq!(transaction("instance="), None);
    assert_eq!(transaction("sender=a@x"), None);
    assert_eq!(transaction("instance=1.2.3.0"), transaction("instance=1.2.3.0"));
    assert_ne!(transaction("instance=1.2.3.0"), transaction("instance=1.2.3.1"));
}

#[test]
fn encryption_is_yes_no_or_not_told() {
    assert_eq!(rcpt("encryption_protocol=TLSv1.3").client.tls, Some(true));
    assert_eq!(rcpt("encryption_protocol=").client.tls, Some(false));
    assert_eq!(rcpt("encryption_keysize=0").client.tls, None);
}

#[test]
fn an_empty_sender_is_null_only_after_mail() {
    let sender = |state| {
        read(&format!("protocol_state={state}\nclient_address=192.0.2.7\nsender=")).unwrap().envelope.sender
    };
    assert_eq!(sender("EHLO"), None);
    assert_eq!(sender("MAIL"), Some(Sender::Null));
    assert_eq!(rcpt("recipient=a@x").envelope.sender, None);
}

#[test]
fn what_a_client_writes_stays_within_bounds() {
    let long = "ä".repeat(1000);
    let facts = rcpt(&format!("helo_name={long}\nsasl_username={long}\nqueue_id={long}\nsender={long}@x"));
    assert_eq!(facts.client.helo.unwrap().len(), 254);
    assert_eq!(facts.client.authenticated.unwrap().len(), 254);
    assert_eq!(facts.message.queue_id.unwrap().len(), 254);
    let Some(Sender::Mailbox(sender)) = facts.envelope.sender else { panic!("a long sender is one, too") };
    assert_eq!((sender.local_part.len(), sender.domain.unwrap().as_str()), (256, "x"));
}

#[test]
fn numbers_that_are_none_tell_nothing() {
    for value in ["0", "", "-1", "x", "99999999999999999999"] {
        let facts = rcpt(&format!("size={value}\nrecipient_count={value}"));
        assert_eq!((facts.message.size, facts.envelope.accepted_recipients), (None, None), "{value}");
    }
    let facts = rcpt("size=5000000000\nrecipient_count=3");
    assert_eq!((facts.message.size, facts.envelope.accepted_recipients), (Some(5_000_000_000), Some(3)));
}
