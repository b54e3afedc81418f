use super::*;
use policy_core::answer::{DeferCode, ReplyText};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { line: 64, request: 256, attributes: 6 };

/// All that a sequence of bytes says: the attributes of each whole request, and how it ends.
type Reading = (Vec<Vec<Option<String>>>, Result<usize, Malformed>);

const ALL: [Attribute; Attribute::COUNT] = [
    Attribute::Request,
    Attribute::ProtocolState,
    Attribute::ClientAddress,
    Attribute::ClientPort,
    Attribute::ClientName,
    Attribute::ReverseClientName,
    Attribute::HeloName,
    Attribute::Sender,
    Attribute::Recipient,
    Attribute::RecipientCount,
    Attribute::QueueId,
    Attribute::Instance,
    Attribute::Size,
    Attribute::SaslUsername,
    Attribute::EncryptionProtocol,
];

/// Reads `bytes` as they arrive in `pieces`.
fn read(bytes: &[u8], pieces: &[usize]) -> Reading {
    let mut parser = Parser::new(BOUNDS);
    let (mut requests, mut start, mut arrived) = (Vec::new(), 0, 0);
    for piece in pieces.iter().copied().chain([usize::MAX]) {
        arrived = bytes.len().min(piece.saturating_add(arrived));
        loop {
            match parser.parse(&bytes[start..arrived]) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    start += request.wire_len();
                    requests.push(ALL.map(|a| request.get(a).map(Cow::into_owned)).to_vec());
                }
                Err(malformed) => return (requests, Err(malformed)),
            }
        }
    }
    (requests, Ok(bytes.len() - start))
}

fn fault(bytes: &[u8]) -> (Fault, usize, usize, String) {
    let Malformed { fault, line, offset, text } = read(bytes, &[]).1.unwrap_err();
    (fault, line, offset, text)
}

#[test]
fn attributes_split_at_the_first_equals_sign() {
    let mut parser = Parser::new(BOUNDS);
    let bytes = b"request=smtpd_access_policy\nsender=a=b@x\nhelo_name=\nfoo=1\n\nrequest=";
    let request = parser.parse(bytes).unwrap().unwrap();
    assert_eq!(request.get(Attribute::Sender).as_deref(), Some("a=b@x"));
    assert_eq!(request.get(Attribute::HeloName).as_deref(), Some(""));
    assert_eq!(request.filled(Attribute::HeloName), None);
    assert_eq!(request.get(Attribute::Recipient), None);
    assert_eq!(request.wire_len(), bytes.len() - "request=".len());
}

#[test]
fn a_client_cannot_break_a_request_by_octets_that_are_no_utf8() {
    let (requests, rest) = read(b"request=smtpd_access_policy\nsender=a\xff@x\n\n", &[]);
    assert_eq!(requests[0][Attribute::Sender as usize].as_deref(), Some("a\u{fffd}@x"));
    assert_eq!(rest, Ok(0));
}

#[test]
fn limits_admit_exactly_what_they_say() {
    let line = format!("request=smtpd_access_policy\nx={}\n\n", "y".repeat(62));
    assert_eq!(read(line.as_bytes(), &[]).1, Ok(0));
    let line = format!("request=smtpd_access_policy\nx={}\n\n", "y".repeat(63));
    assert_eq!(fault(line.as_bytes()), (Fault::LineTooLong(64), 2, 28 + 64, "x".into()));

    // The line counts even where the request has hardly more room than a line.
    let x = format!("x={}\n", "y".repeat(62));
    let line = format!("request=smtpd_access_policy\n{x}{x}y=\nx={}\n\n", "y".repeat(63));
    assert_eq!(fault(line.as_bytes()), (Fault::LineTooLong(64), 5, 28 + 2 * 65 + 3 + 64, "x".into()));

    let lines = format!("request=smtpd_access_policy\n{}\n", "x=y\n".repeat(5));
    assert_eq!(read(lines.as_bytes(), &[]).1, Ok(0));
    let lines = format!("request=smtpd_access_policy\n{}\n", "x=y\n".repeat(6));
    assert_eq!(fault(lines.as_bytes()), (Fault::TooManyAttributes(6), 7, 28 + 5 * 4, "x".into()));

    let head = format!("request=smtpd_access_policy\n{0}\n{0}\n{0}\n", format!("x={}", "y".repeat(60)));
    let request = |last: usize| format!("{head}x={}\n\n", "y".repeat(last));
    assert_eq!(request(35).len(), 256);
    assert_eq!(read(request(35).as_bytes(), &[]).1, Ok(0));
    assert_eq!(fault(request(36).as_bytes()), (Fault::RequestTooLong(256), 6, 256, "".into()));
    assert_eq!(fault(request(40).as_bytes()), (Fault::RequestTooLong(256), 5, 255, "x".into()));
}

#[test]
fn a_fault_names_the_place_and_no_value() {
    let (_, _, offset, text) = fault(b"request=smtpd_access_policy\nsasl_username=jo\0e\n\n");
    assert_eq!((offset, text.as_str()), (28 + "sasl_username=jo".len(), "sasl_username"));
    let malformed = read(b"request=secret\n", &[]).1.unwrap_err();
    assert_eq!(
        malformed.to_string(),
        "not a request of type smtpd_access_policy, in line 1 at octet 0: \"request\""
    );
    let (fault, .., text) = fault(b"EHLO \x1b[2Jsomebody who talks for a long time\r\n");
    assert_eq!((fault, text.as_str()), (Fault::NoEqualsSign, "EHLO \\x1b[2Jsomebody who talks for "));
}

/// Bytes made of what matters to the parser, so that most branches are met.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        5 => Just(b"request=smtpd_access_policy\n".to_vec()),
        5 => Just(b"\n".to_vec()),
        4 => "(sender|size|helo_name|x)=[a-z=@ é]{0,8}\n".prop_map(String::into_bytes),
        1 => "(request|sender)".prop_map(String::into_bytes),
        1 => "[a-z=]{40,90}\n?".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cut_reads_the_same(bytes in bytes(), pieces in prop::collection::vec(1usize..40, 0..40)) {
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&read(&bytes, &pieces), &whole);
        prop_assert_eq!(&read(&bytes, &vec![1; bytes.len()]), &whole);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        match read(&bytes, &[]).1 {
            Ok(rest) => prop_assert!(rest < BOUNDS.request),
            Err(malformed) => prop_assert!(malformed.to_string().bytes().all(|b| (b' '..=b'~').contains(&b))),
        }
    }

    #[test]
    fn what_is_sent_is_read(values in prop::collection::vec("[^\n\0]{0,12}", 5)) {
        let bounds = Bounds { line: 200, request: 1000, attributes: 6 };
        let names = ["sender", "recipient", "helo_name", "instance", "size"];
        let lines: String = names.iter().zip(&values).map(|(name, value)| format!("{name}={value}\n")).collect();
        let bytes = format!("request=smtpd_access_policy\n{lines}\n");
        let mut parser = Parser::new(bounds);
        let request = parser.parse(bytes.as_bytes()).unwrap().unwrap();
        let attributes = [
            Attribute::Sender, Attribute::Recipient, Attribute::HeloName, Attribute::Instance, Attribute::Size,
        ];
        for (attribute, value) in attributes.into_iter().zip(&values) {
            let read = request.get(attribute);
            prop_assert_eq!(read.as_deref(), Some(value.as_str()));
        }
    }

    /// Postfix permits on an empty action, on digits alone, on OK, RELAY and other words; it refuses on three
    /// digits, a space and text, and reads one line.
    #[test]
    fn a_refusal_never_reads_as_permit(text in any::<String>(), odd in "[0-9 .\r\n\0OK]{0,9}", kind in 0..3) {
        for text in [text, odd].map(|text| ReplyText::new(&text)) {
            let (reply, start) = match kind {
                0 => (Reply::Defer(DeferCode::Closing, text.clone()), "action=421 4.7.0 "),
                1 => (Reply::Defer(DeferCode::Local, text.clone()), "action=451 4.7.0 "),
                _ => (Reply::Reject(text.clone()), "action=550 5.7.1 "),
            };
            let mut wire = Vec::new();
            encode(&reply, &mut wire);
            let wire = String::from_utf8(wire).unwrap();
            let said = wire.strip_prefix(start).and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
            prop_assert_eq!(said, text.as_str());
            prop_assert!(!said.trim().is_empty() && said.len() <= 400);
            prop_assert!(said.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}

#[test]
fn acceptance_leaves_the_rest_to_postfix() {
    let mut wire = b"before".to_vec();
    encode(&Reply::Accept, &mut wire);
    assert_eq!(wire, b"beforeaction=DUNNO\n\n");
}
