//! An answer as a milter reply.
//!
//! Invariants: the status always has the class of the code beside it, since the library would otherwise keep
//! the reply and bring it out with a later status; every `%` is doubled, since Sendmail turns a reply with a
//! single one into a permanent refusal and Postfix swallows it; and an answer that accepts becomes "continue",
//! since "accept" would hide the recipients that follow.

use indymilter::{SetErrorReply, Status};
use policy_core::answer::Reply;

/// Stores the reply in `slot`, and gives the status that brings it out.
pub(crate) fn status(reply: &Reply, slot: &mut impl SetErrorReply) -> Status {
    let (digits, text, status) = match reply {
        Reply::Accept => return Status::Continue,
        Reply::Defer(code, text) => (code.digits(), text, Status::Tempfail),
        Reply::Reject(text) => ("550", text, Status::Reject),
    };
    let text = text.as_str().replace('%', "%%");
    match slot.set_error_reply(digits, reply.enhanced_code(), [text]) {
        Ok(()) => status,
        // The text is one printable line of at most 800 octets, so the library has nothing to refuse. Were
        // it to, a generic refusal without a reason would be worse than none.
        Err(error) => {
            tracing::error!(%error, "reply not understood by the milter library, mail goes on");
            Status::Continue
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indymilter::{IntoCString, SmtpReplyError};
    use policy_core::answer::{DeferCode, ReplyText};
    use proptest::prelude::*;

    #[derive(Default)]
    struct Slot(Option<(String, Option<String>, Vec<u8>)>);

    impl SetErrorReply for Slot {
        fn set_error_reply<I, T>(
            &mut self,
            rcode: &str,
            xcode: Option<&str>,
            lines: I,
        ) -> Result<(), SmtpReplyError>
        where
            I: IntoIterator<Item = T>,
            T: IntoCString,
        {
            let lines: Vec<_> = lines.into_iter().map(IntoCString::into_c_string).collect();
            assert_eq!(lines.len(), 1);
            if lines[0].as_bytes().len() > 980 {
                return Err(SmtpReplyError::InvalidReplyText);
            }
            self.0 = Some((rcode.to_owned(), xcode.map(str::to_owned), lines[0].as_bytes().to_vec()));
            Ok(())
        }
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let text = "\\PC{0,600}".prop_map(|text| ReplyText::new(&text));
        prop_oneof![
            Just(Reply::Accept),
            (prop_oneof![Just(DeferCode::Closing), Just(DeferCode::Local)], text.clone())
                .prop_map(|(code, text)| Reply::Defer(code, text)),
            text.prop_map(Reply::Reject),
        ]
    }

    proptest! {
        #[test]
        fn class_code_and_status_agree(reply in reply()) {
            let mut slot = Slot::default();
            let status = status(&reply, &mut slot);
            match slot.0 {
                None => prop_assert_eq!((status, reply), (Status::Continue, Reply::Accept)),
                Some((code, enhanced, text)) => {
                    let class = if status == Status::Tempfail { '4' } else { '5' };
                    prop_assert!(matches!(status, Status::Tempfail | Status::Reject));
                    prop_assert!(code.starts_with(class));
                    prop_assert!(enhanced.unwrap().starts_with(class));
                    prop_assert!(!text.is_empty());
                    prop_assert_eq!(text.iter().filter(|&&b| b == b'%').count() % 2, 0);
                }
            }
        }
    }
}
