//! What comes of requests, over a real engine.

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::log::Log;
use policy_core::State;
use policy_core::engine::Engine as _;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::feedback::Anchor;
use policy_core::findings::Findings;
use policy_core::identity::Key;
use policy_core::name::{Mailbox, Sender};
use policy_core::policy::Policy;
use policy_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const MESSAGE: &str = "Message-ID: <1@src.example>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Anna <a@src.example>\r\nSubject: hello\r\n\r\nBuy this.\r\n";

fn engine() -> (Engine, ManualClock) {
    let clock = Clock::manual(NOW);
    let state = Arc::new(State::new(16 << 20, [7; 16], NOW));
    let log = Log::to(crate::log::Format::Text, tracing::level_filters::LevelFilter::OFF, |_| ());
    let policy = Arc::new(Policy::default());
    (Engine::new(state, policy, Duration::from_secs(60), clock.clone().into(), log), clock)
}

fn facts(stage: Stage) -> Facts {
    Facts {
        session: SessionId::Tcp("192.0.2.7:4321".parse().unwrap()),
        front_end: FrontEnd::Milter,
        stage,
        transaction: Some(TransactionId(1)),
        client: Client::new("192.0.2.7".parse().unwrap()),
        envelope: Envelope {
            sender: Sender::new("a@src.example"),
            recipient: Mailbox::new("b@dest.example"),
            accepted_recipients: None,
        },
        message: Message { queue_id: Some("4Rq1".into()), ..Message::default() },
        findings: Findings::default(),
    }
}

/// The message as it is delivered, with its mark.
async fn delivered(engine: &Engine) -> String {
    engine.decide(facts(Stage::Rcpt)).await;
    let mut end = facts(Stage::EndOfMessage);
    let mut anchor = Anchor::default();
    for line in MESSAGE.lines().take(3) {
        let (name, value) = line.split_once(':').unwrap();
        anchor.field(name.as_bytes(), value.as_bytes());
    }
    end.message.anchor = Some(Arc::new(anchor));
    let mark = engine.decide(end).await.mark.unwrap();
    format!("X-Tempfail: {}\r\n{MESSAGE}", mark.replace('\n', "\r\n"))
}

fn request(about: About, source: Source, verdict: Option<Label>) -> Request {
    Request { source, reporter: Some("anna".to_owned()), verdict, about }
}

async fn learn(engine: &Engine, text: &str, verdict: Label) -> Result<Told, Refused> {
    let request = request(About::Message(text.to_owned()), Source::Person, Some(verdict));
    take(engine, None, &request).await
}

async fn report(engine: &Engine, text: &str) -> Result<Told, Refused> {
    take(engine, None, &request(About::Report(text.to_owned()), Source::Complaint, None)).await
}

fn bad(engine: &Engine) -> f32 {
    let facts = facts(Stage::Rcpt);
    let held = engine.state().explain(&engine.policy(), &facts, engine.clock().now());
    held.identities[0].reading.slow.bad
}

#[tokio::test]
async fn a_delivered_message_is_learned_and_its_word_corrected() {
    let (engine, _) = engine();
    let text = delivered(&engine).await;
    let told = learn(&engine, &text, Label::Spam).await.unwrap();
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Mark));
    assert_eq!(told.client, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(bad(&engine), 2.0);
    assert_eq!(learn(&engine, &text, Label::Spam).await.unwrap().effect, Effect::Known);
    assert_eq!(learn(&engine, &text, Label::Ham).await.unwrap().effect, Effect::Corrected);
    assert_eq!(bad(&engine), 0.0);
}

#[tokio::test]
async fn a_mark_on_another_message_or_by_another_hand_finds_nothing() {
    let (engine, _) = engine();
    let text = delivered(&engine).await;
    let refused = |text: String| {
        let engine = engine.clone();
        async move { learn(&engine, &text, Label::Spam).await.unwrap_err().to_string() }
    };
    let why = refused(text.replace("<1@src.example>", "<2@src.example>")).await;
    assert!(why.contains("this state has not made it for this message"), "{why}");
    let why = refused(text.replace("k=", "k=A")).await;
    assert!(why.contains("mark"), "{why}");
    let why = refused(MESSAGE.to_owned()).await;
    assert!(why.contains("no Received field tells of a client outside"), "{why}");
    assert_eq!(bad(&engine), 0.0);
    // A forged one above ours is passed over.
    let forged = format!("X-Tempfail: v1; id=00000000; nonsense\r\n{text}");
    assert_eq!(learn(&engine, &forged, Label::Spam).await.unwrap().effect, Effect::Counted);
}

#[tokio::test]
async fn what_a_pipe_makes_of_a_message_is_read() {
    let (engine, _) = engine();
    let text = delivered(&engine).await;
    let piped = format!(
        "From a@src.example  Tue Nov 14 22:13:20 2023\nReturn-Path: <a@src.example>\n{}",
        text.replace("\r\n", "\n")
    );
    assert_eq!(learn(&engine, &piped, Label::Spam).await.unwrap().effect, Effect::Counted);
}

#[tokio::test]
async fn without_a_mark_the_border_servers_line_counts() {
    let (engine, _) = engine();
    delivered(&engine).await;
    let line = |client: &str, id: &str| {
        format!(
            "Return-Path: <a@src.example>\r\nReceived: from x.example (unknown [{client}])\r\n\tby mx.dest.example (Postfix) with ESMTP id {id}\r\n\tfor <b@dest.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n{MESSAGE}"
        )
    };
    let told = learn(&engine, &line("192.0.2.7", "4Rq1"), Label::Spam).await.unwrap();
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Decision));
    assert_eq!(bad(&engine), 2.0);
    let told = learn(&engine, &line("198.51.100.3", "4Rq2"), Label::Spam).await.unwrap();
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Received));
    assert_eq!(
        learn(&engine, &line("198.51.100.3", "4Rq2"), Label::Spam).await.unwrap().effect,
        Effect::Known
    );
    let key = Key::address("198.51.100.3".parse().unwrap());
    assert_eq!(engine.state().heard_of(&[key])[0].spam, 1);
}

#[tokio::test]
async fn ids_and_queue_ids_name_a_message() {
    let (engine, _) = engine();
    delivered(&engine).await;
    let id = engine.newest().next().unwrap().verdict.id.to_string();
    let say = |about, verdict| {
        let engine = engine.clone();
        async move { take(&engine, None, &request(about, Source::Api, Some(verdict))).await }
    };
    assert_eq!(say(About::Id(id.clone()), Label::Spam).await.unwrap().effect, Effect::Counted);
    assert_eq!(say(About::QueueId("4Rq1".into()), Label::Spam).await.unwrap().effect, Effect::Known);
    assert!(matches!(say(About::Id("00000000".into()), Label::Spam).await, Err(Refused::NotFound(_))));
    assert!(matches!(say(About::QueueId("none".into()), Label::Spam).await, Err(Refused::NotFound(_))));
    let unsaid = take(&engine, None, &request(About::Id(id), Source::Api, None)).await;
    assert!(matches!(unsaid, Err(Refused::Incomplete(_))));
}

/// The report of RFC 5965's appendix, about our message.
fn arf(included: &str) -> String {
    format!(
        "From: <fbl@isp.example>\r\nSubject: FW: hello\r\nTo: <abuse@dest.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report;\r\n     boundary=\"part1_13d.2e68ed54_boundary\"\r\n\r\n--part1_13d.2e68ed54_boundary\r\nContent-Type: text/plain; charset=\"US-ASCII\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\nThis is an email abuse report.\r\n\r\n--part1_13d.2e68ed54_boundary\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n\r\n--part1_13d.2e68ed54_boundary\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n{included}\r\n--part1_13d.2e68ed54_boundary--\r\n"
    )
}

fn base64(text: &str) -> String {
    let encoded = data_encoding::BASE64.encode(text.as_bytes());
    encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\r\n").collect()
}

#[tokio::test]
async fn a_report_and_each_damaged_form_of_it_is_understood() {
    type Damage = fn(&str) -> String;
    let forms: [(&str, Damage); 8] = [
        ("as it should be", |text| arf(text)),
        ("the header alone", |text| {
            let header = text.split("\r\n\r\n").next().unwrap();
            arf(&format!("{header}\r\n\r\n"))
                .replace("Content-Type: message/rfc822", "Content-Type: text/rfc822-headers")
        }),
        ("the boundary lost", |text| arf(text).replace("boundary=\"part1_13d.2e68ed54_boundary\"", "x=y")),
        ("the boundaries' lines lost", |text| arf(text).replace("--part1_13d.2e68ed54_boundary", "")),
        ("cut off", |text| {
            let report = arf(text);
            report[..report.find("Buy this").unwrap()].to_owned()
        }),
        ("in base64", |text| {
            arf(&base64(text)).replace("Content-Disposition: inline", "Content-Transfer-Encoding: base64")
        }),
        ("in base64 that nothing tells of", |text| {
            format!("From: x@isp.example\r\nFeedback-Type: abuse\r\n\r\nsee below\r\n\r\n{}", base64(text))
        }),
        ("forwarded as a quotation", |text| {
            let quoted: String = text.lines().map(|line| format!("> {line}\r\n")).collect();
            format!("From: x@isp.example\r\nSubject: Fwd: spam\r\n\r\nlook at this:\r\n\r\n{quoted}")
        }),
    ];
    for (name, damaged) in forms {
        let (engine, _) = engine();
        let text = delivered(&engine).await;
        let told = report(&engine, &damaged(&text)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((told.effect, told.verdict), (Effect::Counted, Label::Spam), "{name}");
        assert_eq!(bad(&engine), 2.0, "{name}");
    }
}

#[tokio::test]
async fn a_report_about_foreign_mail_counts_for_nothing() {
    let (engine, _) = engine();
    delivered(&engine).await;
    let line = "Received: from x.example (x.example [203.0.113.3])\r\n\tby mx.isp.example (Postfix) with ESMTP id 9Zz\r\n\tfor <b@isp.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n";
    let why = report(&engine, &arf(&format!("{line}{MESSAGE}"))).await.unwrap_err();
    assert!(why.to_string().contains("the report includes none, it has no mark of ours"), "{why}");
    assert!(engine.state().heard_of(&[Key::address("203.0.113.3".parse().unwrap())]).is_empty());
}

#[tokio::test]
async fn no_sender_can_praise_its_mail_by_a_report() {
    let (engine, _) = engine();
    let text = delivered(&engine).await;
    let line = "Received: from x.example (unknown [192.0.2.7])\r\n\tby mx.dest.example (Postfix) with ESMTP id 4Rq1\r\n\tfor <b@dest.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n";
    let praise = |included: &str| arf(included).replace("Feedback-Type: abuse", "Feedback-Type: not-spam");
    let why = report(&engine, &praise(&format!("{line}{MESSAGE}"))).await;
    assert_eq!(why, Err(Refused::MayBeItsSender), "he knows his queue id");
    let unnamed =
        |text: String| Request { reporter: None, ..request(About::Report(text), Source::Complaint, None) };
    let why = take(&engine, None, &unnamed(praise(&text))).await;
    assert_eq!(why, Err(Refused::MayBeItsSender), "his message came back to him");
    let told = report(&engine, &praise(&text)).await.unwrap();
    assert_eq!((told.verdict, told.found_by), (Label::Ham, FoundBy::Mark));
    let told = report(&engine, &arf(&format!("{line}{MESSAGE}"))).await.unwrap();
    assert_eq!((told.verdict, told.found_by), (Label::Spam, FoundBy::Decision));
}

#[tokio::test]
async fn whoever_sends_reports_is_one_reporter_whatever_he_calls_himself() {
    let (engine, _) = engine();
    let text = delivered(&engine).await;
    let by = |client: &str, from: &str| {
        let line = format!(
            "Received: from mail.example (unknown [{client}])\r\n\tby mx.dest.example (Postfix) with ESMTP id 7Aa\r\n\tfor <fbl@dest.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"
        );
        let report = arf(&text).replace("From: <fbl@isp.example>", &format!("{line}From: <{from}>"));
        reporter(
            &engine,
            &Request { reporter: None, ..request(About::Report(report), Source::Complaint, None) },
        )
    };
    let first = by("203.0.113.3", "fbl@isp.example");
    assert!(!first.is_empty());
    assert_eq!(first, by("203.0.113.3", "somebody@else.example"));
    assert_ne!(first, by("198.51.100.9", "fbl@isp.example"));
}

#[tokio::test]
async fn a_mark_holds_after_a_restart_of_a_state_that_is_kept_and_an_old_one_does_not_count() {
    let (before, _) = engine();
    let text = delivered(&before).await;
    // The secret is what is kept.
    let (after, clock) = engine();
    assert_eq!(learn(&after, &text, Label::Spam).await.unwrap().effect, Effect::Counted);
    clock.advance(Duration::from_secs(61 * 86_400));
    assert_eq!(learn(&after, &text, Label::Ham).await.unwrap().effect, Effect::TooOld);
}

#[test]
fn a_request_is_read_and_an_unknown_field_is_not() {
    let request: Request = serde_json::from_str(r#"{"verdict":"ham","queue_id":"4Rq1"}"#).unwrap();
    assert_eq!((request.source, &request.about), (Source::Api, &About::QueueId("4Rq1".into())));
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    assert!(serde_json::from_str::<Request>(r#"{"verdict":"ham"}"#).is_err());
}
