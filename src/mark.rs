//! The mark: the header field by which feedback finds whom a message is booked on.
//!
//! ```text
//! X-Tempfail: v1; id=3F9KQ2ZD; t=1700000000; m=7;
//!     k=AbCd...   whom it is booked on and what the decision rested on, as octets
//!     b=EfGh...   a code that only the holder of the state's secret can make
//! ```
//!
//! The mark holds all that is needed, so no table of messages is kept and a restart changes nothing. It names
//! addresses plainly, as `Received` does, and names as keyed hashes.
//!
//! Invariant: a mark counts only if this state has made it, for a message with the same Message-ID, Date and
//! From (those that it had, which `m` tells). A mark that a sender wrote, or took from another message, is no
//! mark. A copy of one on the same message says what is true of that message, and the book of messages counts it
//! once. So fields of this name that arrive with a message are left where they are: ours is put above them, and
//! the uppermost that holds is the one that counts.
//!
//! Bounds: five fields of the name are looked at, and 8 KiB of each.

use data_encoding::BASE64;
use policy_core::State;
use policy_core::answer::DecisionId;
use policy_core::feedback::{Anchor, Carried, Subject};
use ring::hmac;
use std::fmt::Write as _;
use thiserror::Error;

/// The name of the field.
pub(crate) use policy_core::feedback::MARK;

/// Fields of the name that are looked at.
pub(crate) const MOST: usize = 5;
const LONGEST: usize = 8 * 1024;
const VERSION: &str = "v1";
/// Characters of a folded line.
const LINE: usize = 72;

/// Why a field is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unmarked {
    /// It is not written as a mark is.
    #[error("it is not written as a mark is")]
    Malformed,
    /// It was made by another state, or for another message, or by somebody else.
    #[error("this state has not made it for this message")]
    Foreign,
    /// It is of another version.
    #[error("it is of another version")]
    OtherVersion,
}

/// Makes marks and knows its own.
pub(crate) struct Marker(hmac::Key);

/// A mark that holds.
#[derive(Clone, Debug)]
pub(crate) struct Marked {
    /// The decision that let the message in.
    pub(crate) id: DecisionId,
    /// The message.
    pub(crate) subject: Subject,
}

impl Marker {
    /// The marker of a state. One that is kept in memory only has a new secret at each start.
    pub(crate) fn new(state: &State) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &state.subkey(b"mark")))
    }

    /// The field's value for a message, folded; `None` when the message has nothing that a mark can be tied to.
    pub(crate) fn write(&self, id: DecisionId, subject: &Subject, anchor: &Anchor) -> Option<String> {
        let bits = anchor.present();
        let octets = postcard::to_stdvec(&Carried::from(subject)).ok().filter(|_| bits != 0)?;
        let head = head(id, subject.let_in.as_millis() / 1000, bits);
        let code = hmac::sign(&self.0, &covered(&head, &octets, &anchor.text(bits)?));
        let mut text = head;
        fold(&mut text, "k=", &BASE64.encode(&octets));
        text.push(';');
        fold(&mut text, "b=", &BASE64.encode(code.as_ref()));
        Some(text)
    }

    /// The message of a mark.
    ///
    /// # Errors
    ///
    /// It is none, or none of this state and message.
    pub(crate) fn read(&self, value: &str, anchor: &Anchor) -> Result<Marked, Unmarked> {
        let parts = Parts::read(value)?;
        let anchored = anchor.text(parts.bits).ok_or(Unmarked::Foreign)?;
        let covered = covered(&head(parts.id, parts.secs, parts.bits), &parts.octets, &anchored);
        hmac::verify(&self.0, &covered, &parts.code).map_err(|_| Unmarked::Foreign)?;
        let carried: Carried = postcard::from_bytes(&parts.octets).map_err(|_| Unmarked::OtherVersion)?;
        let subject = carried.into_subject().ok_or(Unmarked::OtherVersion)?;
        Ok(Marked { id: parts.id, subject })
    }
}

/// What the code is made over, each part with its length before it.
fn covered(head: &str, octets: &[u8], anchored: &str) -> Vec<u8> {
    let parts = [head.as_bytes(), octets, anchored.as_bytes()];
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat()).collect()
}

/// The mark before its octets.
fn head(id: DecisionId, secs: u64, bits: u8) -> String {
    format!("{VERSION}; id={id}; t={secs}; m={bits};")
}

/// Appends a value that is long on lines of its own.
fn fold(text: &mut String, label: &str, value: &str) {
    let mut label = label;
    for start in (0..value.len()).step_by(LINE) {
        // The alphabet of BASE64 is ASCII, so any place is a boundary.
        let line = &value[start..value.len().min(start + LINE)];
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\t{label}{line}");
        label = "";
    }
}

/// A mark taken apart.
struct Parts {
    id: DecisionId,
    secs: u64,
    bits: u8,
    octets: Vec<u8>,
    code: Vec<u8>,
}

impl Parts {
    fn read(value: &str) -> Result<Self, Unmarked> {
        let malformed = Unmarked::Malformed;
        if value.len() > LONGEST {
            return Err(malformed);
        }
        let bare: String = value.split_ascii_whitespace().collect();
        let mut parts = bare.split(';');
        match parts.next() {
            Some(VERSION) => {}
            Some(other) if other.starts_with('v') => return Err(Unmarked::OtherVersion),
            _ => return Err(malformed),
        }
        let mut next = |label: &str| parts.next().and_then(|part| part.strip_prefix(label)).ok_or(malformed);
        let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| malformed);
        Ok(Self {
            id: DecisionId::parse(next("id=")?).ok_or(malformed)?,
            secs: next("t=")?.parse().map_err(|_| malformed)?,
            bits: next("m=")?.parse().map_err(|_| malformed)?,
            octets: decode(next("k=")?)?,
            code: decode(next("b=")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
    use policy_core::findings::Findings;
    use policy_core::name::Sender;
    use policy_core::time::Timestamp;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn state(secret: u8) -> State {
        State::new(16 << 20, [secret; 16], NOW)
    }

    fn subject(state: &State) -> Subject {
        let facts = Facts {
            session: SessionId::Connection(FrontEnd::Milter, 1),
            front_end: FrontEnd::Milter,
            stage: Stage::EndOfMessage,
            transaction: None,
            client: Client::new("192.0.2.1".parse().unwrap()),
            envelope: Envelope { sender: Sender::new("a@src.example"), ..Envelope::default() },
            message: Message::default(),
            findings: Findings::default(),
        };
        state.subject(&facts, &["mx", "4Rq"], NOW)
    }

    fn anchor(id: &str) -> Anchor {
        let mut anchor = Anchor::default();
        anchor.field(b"Message-ID", id.as_bytes());
        anchor.field(b"From", b"a@src.example");
        anchor
    }

    fn mark(state: &State) -> String {
        Marker::new(state).write(DecisionId::new(7), &subject(state), &anchor("<1@x>")).unwrap()
    }

    #[test]
    fn a_mark_reads_as_it_was_made_on_short_lines() {
        let state = state(1);
        let text = mark(&state);
        assert!(text.lines().all(|line| line.len() < 78), "{text}");
        let marked = Marker::new(&state).read(&text, &anchor("<1@x>")).unwrap();
        assert_eq!(marked.id, DecisionId::new(7));
        assert_eq!(marked.subject.identities, subject(&state).identities);
        assert_eq!(marked.subject.message, subject(&state).message);
    }

    #[test]
    fn anothers_mark_and_a_mark_on_another_message_are_none() {
        let (state, other) = (state(1), state(2));
        let foreign = Marker::new(&other).read(&mark(&state), &anchor("<1@x>"));
        assert_eq!(foreign.unwrap_err(), Unmarked::Foreign);
        let copied = Marker::new(&state).read(&mark(&state), &anchor("<2@x>"));
        assert_eq!(copied.unwrap_err(), Unmarked::Foreign);
        let stripped = Marker::new(&state).read(&mark(&state), &Anchor::default());
        assert_eq!(stripped.unwrap_err(), Unmarked::Foreign);
    }

    #[test]
    fn a_message_with_nothing_of_its_own_has_no_mark() {
        let state = state(1);
        let text = Marker::new(&state).write(DecisionId::new(7), &subject(&state), &Anchor::default());
        assert_eq!(text, None);
    }

    #[test]
    fn what_is_no_mark_says_so() {
        let marker = Marker::new(&state(1));
        for (text, why) in [
            ("", Unmarked::Malformed),
            ("v2; id=00000000", Unmarked::OtherVersion),
            ("v1; id=00000000; t=1; m=1; k=!; b=!", Unmarked::Malformed),
            ("v1; id=00000000; t=1; m=1; k=; b=", Unmarked::Foreign),
        ] {
            assert_eq!(marker.read(text, &anchor("<1@x>")).unwrap_err(), why, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_character_can_be_changed(at in 0usize..600, with in "[ -~]") {
            let state = state(1);
            let text = mark(&state);
            let at = at % text.len();
            let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
            let same = |text: &str| text.split_ascii_whitespace().collect::<String>();
            // Case of the id does not matter, and neither do white space or two letters that read as digits.
            let read = Marker::new(&state).read(&changed, &anchor("<1@x>"));
            let means_the_same = same(&changed).eq_ignore_ascii_case(&same(&text)) && at < 20;
            prop_assert!(read.is_err() || same(&changed) == same(&text) || means_the_same || at < 20, "{changed}");
        }
    }
}
