use super::*;
use policy_core::findings::{FromFit, Missing, Subject, Unsubscribe};
use policy_core::message::{Budget, Collector, MAX_MESSAGE};
use proptest::prelude::*;

const LETTER: &str = "From: Ann <ann@mail.src.example>\r\nSubject: hello\r\nDate: Mon, 1 Jun 2026 10:00:00 +0000\r\n\
    Message-ID: <1@src.example>\r\n\r\nsome words to read\r\n";

fn raw(message: &str) -> Raw {
    let mut collector = Collector::new(&Budget::default(), MAX_MESSAGE);
    let mut fields = fields::Fields::new(message.as_bytes());
    for field in fields.by_ref() {
        collector.header(field.name, field.value.trim_ascii_end(), true);
    }
    collector.body(fields.rest());
    collector.finish()
}

fn of(message: &str, sender: &str, recipients: u32) -> Content {
    let sender = DomainName::new(sender);
    super::traits(&raw(message), Addressed { sender: sender.as_ref(), recipients })
}

fn usual(message: &str) -> Content {
    of(message, "src.example", 1)
}

/// A letter with this instead of its header's end and body.
fn with_body(fields: &str, body: &str) -> Content {
    let (header, _) = LETTER.split_once("\r\n\r\n").unwrap();
    usual(&format!("{header}\r\n{fields}\r\n\r\n{body}"))
}

#[test]
fn a_letter_is_unremarkable() {
    let expected = Content {
        subject: Subject::Plain,
        links: Links::None,
        attachments: Attachments::None,
        text_to_markup: TextToMarkup::TextOnly,
        missing: Missing::Nothing,
        unsubscribe: Unsubscribe::NotBulk,
        from_fit: FromFit::Same,
        hops: Hops::None,
    };
    assert_eq!(usual(LETTER), expected);
    assert_eq!(expected.links.words(), "no link");
}

#[test]
fn subjects_are_read_without_their_encoding() {
    let of = |subject: &str| usual(&LETTER.replace("Subject: hello", subject)).subject;
    for (subject, expected) in [
        ("X-Subject: hello", Subject::Absent),
        ("Subject:  ", Subject::Empty),
        ("Subject: ACT SO!!", Subject::Plain),
        ("Subject: ACT NOW OR ELSE 1", Subject::AllCapitals),
        ("Subject: =?utf-8?B?RFJJTkdFTkQ=?= =?utf-8?Q?_ST=C3=96RUNG?=", Subject::AllCapitals),
        ("Subject: =?utf-8?Q?Dringende_St=C3=B6rung?=", Subject::Plain),
    ] {
        assert_eq!(of(subject), expected, "{subject}");
    }
}

#[test]
fn missing_fields_and_bulk_mail_are_told() {
    let without = |names: &[&str]| {
        let kept = |line: &&str| !names.iter().any(|name| line.starts_with(name));
        usual(&LETTER.split_inclusive('\n').filter(kept).collect::<String>()).missing
    };
    assert_eq!(without(&["Date"]), Missing::Date);
    assert_eq!(without(&["Message-ID"]), Missing::MessageId);
    assert_eq!(without(&["Date", "Message-ID"]), Missing::Both);
    assert_eq!(with_body("Precedence: bulk", "x").unsubscribe, Unsubscribe::Missing);
    assert_eq!(with_body("List-Id: <a.b>\r\nList-Unsubscribe: <m>", "x").unsubscribe, Unsubscribe::Offered);
    assert_eq!(of(LETTER, "src.example", 50).unsubscribe, Unsubscribe::Missing);
    let hops = "Received: from a by b; Mon, 1 Jun 2026 10:00:00 +0000\r\n".repeat(4);
    assert_eq!(usual(&(hops + LETTER)).hops, Hops::Several);
}

#[test]
fn from_is_compared_by_organisation() {
    let from = |from: &str, sender: &str| {
        of(&LETTER.replace("From: Ann <ann@mail.src.example>", from), sender, 1).from_fit
    };
    assert_eq!(of(LETTER, "bounces.src.example", 1).from_fit, FromFit::Same);
    assert_eq!(of(LETTER, "other.example", 1).from_fit, FromFit::Other);
    assert_eq!(of(LETTER, "", 1).from_fit, FromFit::NoSender);
    assert_eq!(from("From: nobody", "src.example"), FromFit::Absent);
    assert_eq!(from("X-From: a@b.example", "src.example"), FromFit::Absent);
    assert_eq!(from("From: a@src.example, b@mail.src.example", "src.example"), FromFit::Same);
    assert_eq!(from("From: a@src.example, b@other.example", "src.example"), FromFit::Several);
    assert_eq!(from("From: a@src.example\r\nFrom: b@other.example", "src.example"), FromFit::Several);
    assert_eq!(from("From: team: a@src.example;", "src.example"), FromFit::Same);
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=\"a b\"";

#[test]
fn parts_are_told_apart() {
    let alternative = "Content-Type: multipart/alternative; boundary=x";
    let body = "--x\r\n\r\nplain words\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>plain words\r\n--x--\r\nafter https://a";
    let found = with_body(alternative, body);
    assert_eq!((found.text_to_markup, found.links), (TextToMarkup::Balanced, Links::None));
    let found =
        with_body("Content-Type: text/html", "<p>a few more words than that and a <a href=x>link</a></p>");
    assert_eq!((found.text_to_markup, found.links), (TextToMarkup::MarkupOnly, Links::One));
    let found = with_body("Content-Type: text/html", "<a href=x><img src=y></a>");
    assert_eq!((found.text_to_markup, found.links), (TextToMarkup::MostlyLinks, Links::One));
    assert_eq!(with_body("X: y", "").text_to_markup, TextToMarkup::NoBody);
    let coded = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64";
    let found = with_body(
        coded,
        "c2VlIGh0dHBzOi8vYS5leGFtcGxlLyBhbmQgaHR0cHM6Ly9iLmV4YW1wbGUv\r\nIGZvciB0aGUgcmVzdCBvZiB0aGlzIGxvbmcgYW5kIHdpbmRpbmcgc3Rvcnk=\r\n",
    );
    assert_eq!((found.text_to_markup, found.links), (TextToMarkup::TextOnly, Links::Few));
    let quoted = "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable";
    let found = with_body(quoted, "<a=\r\n href=3D\"x\">words to read, more than twenty</a>");
    assert_eq!((found.text_to_markup, found.links), (TextToMarkup::MarkupOnly, Links::One));
}

#[test]
fn attachments_are_told_by_disposition_name_and_type() {
    let part = |fields: &str| format!("--a b\r\n\r\nhello\r\n--a b\r\n{fields}\r\n\r\nxx\r\n--a b--\r\n");
    for (fields, expected) in [
        ("Content-Type: image/png", Attachments::None),
        ("Content-Type: application/pgp-signature; name=s.asc", Attachments::None),
        ("Content-Type: image/png; name=a.png", Attachments::One),
        ("Content-Type: application/pdf", Attachments::One),
        ("Content-Type: message/rfc822", Attachments::One),
        ("Content-Disposition: attachment", Attachments::One),
        ("Content-Type: application/zip; name=\"invoice.PDF.exe. \"", Attachments::Executable),
        ("Content-Disposition: attachment; filename*0=\"a.\"; filename*1=\"js\"", Attachments::Executable),
        ("Content-Type: application/x-msdownload", Attachments::Executable),
    ] {
        assert_eq!(with_body(MIXED, &part(fields)).attachments, expected, "{fields}");
    }
    let two =
        part("Content-Type: application/pdf").replace("--a b--\r\n", "") + &part("Content-Type: video/mp4");
    assert_eq!(with_body(MIXED, &two).attachments, Attachments::Several);
}

#[test]
fn a_cut_message_still_has_traits() {
    let long = "word ".repeat(100_000);
    let mut collector = Collector::new(&Budget::default(), 100 << 10);
    collector.header(b"Subject", b" ACT NOW OR ELSE", true);
    collector.body(long.as_bytes());
    let raw = collector.finish();
    let found = super::traits(&raw, Addressed::default());
    assert!(!raw.whole());
    assert_eq!((found.subject, found.text_to_markup), (Subject::AllCapitals, TextToMarkup::TextOnly));
}

#[test]
fn nesting_and_parts_are_bounded() {
    let nested: String = (0..1000)
        .map(|n| format!("--{n}\r\nContent-Type: multipart/mixed; boundary={}\r\n\r\n", n + 1))
        .collect();
    assert_eq!(
        with_body("Content-Type: multipart/mixed; boundary=0", &nested).text_to_markup,
        TextToMarkup::NoBody
    );
    let parts = "--a b\r\n\r\nx\r\n".repeat(10_000);
    let header = format!("{MIXED}\r\n\r\n");
    assert_eq!(parts::parts(header.as_bytes(), parts.as_bytes()).len(), parts::MAX_PARTS);
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(1000);
    assert_eq!(usual(&messages).attachments, Attachments::One);
}

proptest! {
    #[test]
    fn no_message_does_harm(header in "([A-Za-z-]{1,12}: ?[ -~]{0,60}\r\n){0,12}", body in "[ -~\r\n]{0,400}") {
        usual(&format!("{header}\r\n{body}"));
    }

    #[test]
    fn no_structure_does_harm(
        lines in proptest::collection::vec(prop_oneof![
            Just("--a"), Just("--a--"), Just("--b"), Just(""), Just("Content-Type: multipart/mixed; boundary=b"),
            Just("Content-Type: multipart/mixed; boundary=a"), Just("Content-Type: text/html"), Just("=3D="),
            Just("Content-Transfer-Encoding: base64"), Just("Content-Transfer-Encoding: quoted-printable"),
            Just("<a href=https://a.example>"), Just("Content-Disposition: attachment; filename*1*=x'y'%4"),
        ], 0..60),
    ) {
        usual(&format!("Content-Type: multipart/mixed; boundary=a\r\n{}", lines.join("\r\n")));
    }

    #[test]
    fn no_octets_do_harm(octets in proptest::collection::vec(any::<u8>(), 0..600), field in any::<u8>()) {
        let names = ["From", "Subject", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding"];
        let mut collector = Collector::new(&Budget::default(), MAX_MESSAGE);
        collector.header(names[usize::from(field) % names.len()].as_bytes(), &octets, true);
        collector.body(&octets);
        super::traits(&collector.finish(), Addressed::default());
    }
}
