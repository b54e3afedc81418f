//! What holds of sessions and transactions, in whatever order the events come.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

fn peer(port: u16) -> Option<Peer> {
    let client = Client::new("192.0.2.7".parse().unwrap());
    Some(Peer { client, port: std::num::NonZeroU16::new(port), name_failed: false })
}

fn mail() -> MailFrom {
    MailFrom { sender: Sender::new("a@src.example"), plain: true, declared_size: Some(100), login: None }
}

#[test]
fn a_session_without_an_address_is_never_asked_about_or_reported() {
    let mut session = Session::default();
    assert_eq!(session.helo(c"client.example", None), None);
    assert_eq!(session.mail(mail(), None), None);
    assert_eq!(session.rcpt(Mailbox::new("good@dest.example"), None), None);
    assert_eq!(session.end_of_message(None), None);
    assert_eq!(session.close().count(), 0);
}

#[test]
fn sessions_with_a_port_are_named_by_it_and_others_never_alike() {
    let id = |port| Session::default().helo(c"x", peer(port)).unwrap().session;
    assert_eq!(id(4321), SessionId::Tcp("192.0.2.7:4321".parse().unwrap()));
    assert!(matches!(id(0), SessionId::Connection(FrontEnd::Milter, _)));
    assert_ne!(id(0), id(0));
}

#[test]
fn a_session_keeps_its_name_and_learns_more_of_its_client() {
    let mut session = Session::default();
    let first = session.helo(c"client.example", peer(0)).unwrap();
    let mut encrypted = peer(4321).unwrap();
    encrypted.client.tls = Some(true);
    let second = session.mail(mail(), Some(encrypted)).unwrap();
    assert_eq!(first.session, second.session);
    assert_eq!(second.client.tls, Some(true));
    assert_eq!(second.client.helo.as_deref(), Some("client.example"));
}

#[test]
fn a_reverse_name_that_the_mail_server_could_not_ask_for_is_no_missing_one() {
    let failed = |name_failed| {
        let mut session = Session::default();
        session.helo(c"client.example", peer(1).map(|peer| Peer { name_failed, ..peer }));
        session.mail(mail(), None).unwrap().findings.reverse_name_failed
    };
    assert!(failed(true) && !failed(false));
}

#[test]
fn the_size_is_declared_until_it_is_measured() {
    let mut session = Session::default();
    assert_eq!(session.mail(mail(), peer(1)).unwrap().message.size, Some(100));
    session.field(&Options::default(), c"Subject", c"x", false);
    session.body(&Options::default(), &[0; 1000]);
    session.body(&Options::default(), &[0]);
    let facts = session.end_of_message(None).unwrap();
    assert_eq!(facts.message.size, Some("Subject: x\r\n\r\n".len() as u64 + 1001));
}

#[test]
fn the_recipient_at_end_of_message_is_the_only_one() {
    let only = |count: usize| {
        let mut session = Session::default();
        session.mail(mail(), peer(1));
        (0..count).for_each(|_| session.recipient_accepted(Mailbox::new("good@dest.example")));
        let envelope = session.end_of_message(None).unwrap().envelope;
        (envelope.recipient.is_some(), envelope.accepted_recipients)
    };
    assert_eq!(only(0), (false, Some(0)));
    assert_eq!(only(1), (true, Some(1)));
    assert_eq!(only(2), (false, Some(2)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Helo,
    Mail,
    Rcpt,
    Refused,
    Body,
    Received,
    Abort,
    Close,
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        use Step::*;
        prop::sample::select(vec![Helo, Mail, Rcpt, Refused, Body, Received, Abort, Close])
    }

    /// Does the step as the callbacks do: what is reported, and then asked.
    fn run(self, session: &mut Session, port: u16) -> (Vec<Report>, Option<Facts>) {
        match self {
            Self::Helo => (Vec::from_iter(session.abort()), session.helo(c"client.example", peer(port))),
            Self::Mail => (Vec::from_iter(session.abort()), session.mail(mail(), peer(port))),
            Self::Rcpt => {
                session.recipient_accepted(None);
                (Vec::new(), session.rcpt(None, None))
            }
            Self::Refused => (Vec::from_iter(session.recipient_refused(Refusal::Permanent)), None),
            Self::Body => {
                session.body(&Options::default(), &[0]);
                (Vec::new(), None)
            }
            Self::Received => {
                session.end_of_message(None);
                (Vec::from_iter(session.received()), None)
            }
            Self::Abort => (Vec::from_iter(session.abort()), None),
            Self::Close => (session.close().collect(), None),
        }
    }
}

/// What an engine may rely on.
#[derive(Default)]
struct Reliance {
    session: Option<SessionId>,
    transaction: Option<TransactionId>,
    ended: HashSet<TransactionId>,
}

impl Reliance {
    fn asked(&mut self, facts: &Facts) {
        assert_eq!(*self.session.get_or_insert(facts.session), facts.session);
        if facts.stage == Stage::Mail {
            assert_eq!(self.transaction, None, "the one before has ended");
            self.transaction = facts.transaction;
        }
        assert_eq!(facts.transaction, self.transaction);
    }

    fn told(&mut self, report: &Report) {
        assert_eq!(self.session, Some(report.session), "only of a session that was asked about");
        match report.event {
            Event::RecipientRefused { transaction, .. } => assert_eq!(self.transaction, Some(transaction)),
            Event::MessageReceived { transaction, .. } | Event::TransactionAborted { transaction } => {
                assert_eq!(self.transaction.take(), Some(transaction));
                assert!(self.ended.insert(transaction));
            }
            Event::SessionClosed => {
                assert_eq!(self.transaction, None);
                self.session = None;
            }
        }
    }
}

proptest! {
    /// Each transaction that was asked about ends exactly once, and so does each session.
    #[test]
    fn what_was_asked_about_ends_once(steps in prop::collection::vec(Step::any(), 0..60), port in 0u16..2) {
        let (mut session, mut engine) = (Session::default(), Reliance::default());
        for step in steps.into_iter().chain([Step::Close, Step::Close]) {
            let (reports, facts) = step.run(&mut session, port);
            reports.iter().for_each(|report| engine.told(report));
            facts.iter().for_each(|facts| engine.asked(facts));
        }
        prop_assert_eq!((engine.session, engine.transaction), (None, None));
    }
}
