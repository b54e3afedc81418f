//! Option negotiation: which events, macros and actions are asked of the mail server.
//!
//! Two rules of the mail servers shape it. Asking for an option that was not offered ends the session. And
//! naming macros for one stage empties the lists of the stages left unnamed, so all seven are named. Postfix
//! offers macros to every protocol version; without them a client's address is in no default list.
//!
//! Not asked for: connect (its address form `IPv6:…` ends the session inside the library, and the text of a
//! reply there is lost), DATA, end of header and unknown commands.

use indymilter::{Actions, MacroStage, ProtoOpts};
use std::collections::HashMap;
use std::ffi::{CStr, CString};

const CLIENT: &CStr =
    c"{client_addr} {client_port} {client_name} {client_ptr} {client_resolve} {tls_version}";
const MAIL: &CStr = c"i {client_addr} {client_port} {client_name} {client_ptr} {client_resolve} {tls_version} {auth_type} {auth_authen}";

/// The macros wanted, by stage.
const MACROS: [(MacroStage, &CStr); 7] = [
    (MacroStage::Connect, CLIENT),
    (MacroStage::Helo, CLIENT),
    (MacroStage::Mail, MAIL),
    (MacroStage::Rcpt, c"i {rcpt_mailer} {rcpt_host} {rcpt_addr}"),
    (MacroStage::Data, c"i"),
    (MacroStage::Eoh, c"i"),
    (MacroStage::Eom, c"i"),
];

/// What to request, given what was offered.
pub(crate) fn requested(
    offered_actions: Actions,
    offered: ProtoOpts,
) -> (ProtoOpts, HashMap<MacroStage, CString>) {
    let mut wanted = ProtoOpts::NO_DATA
        | ProtoOpts::NO_EOH
        | ProtoOpts::NO_UNKNOWN
        | ProtoOpts::REJECTED_RCPT
        // A signature may cover the space after a field's colon (RFC 6376 section 3.4.1).
        | ProtoOpts::LEADING_SPACE
        // Header fields are only read: without replies a message does not wait once for each of them. Body
        // chunks keep theirs, because the library skips end of message when the last chunk rides on it
        // and was not answered with "continue".
        | ProtoOpts::NOREPLY_HEADER;
    if !offered_actions.contains(Actions::REQUEST_MACROS) {
        // An old mail server sends what its own configuration lists for each stage. The client's address
        // may be listed for connect, so that event stays; without a callback its payload is never parsed.
        return (wanted & offered, HashMap::new());
    }
    wanted |= ProtoOpts::NO_CONNECT;
    let macros = MACROS.into_iter().map(|(stage, names)| (stage, names.to_owned())).collect();
    (wanted & offered, macros)
}

/// What is done to a message that is let in: a field is added, where that is offered.
pub(crate) fn actions(offered: Actions) -> Actions {
    offered & Actions::ADD_HEADER
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_seven_stages_are_named() {
        let (_, macros) = requested(Actions::all(), ProtoOpts::all());
        assert_eq!(macros.len(), 7);
        assert!(MacroStage::all().all(|stage| macros.contains_key(&stage)));
    }

    #[test]
    fn needed_events_are_never_declined() {
        let (opts, _) = requested(Actions::all(), ProtoOpts::all());
        let needed = ProtoOpts::NO_HELO
            | ProtoOpts::NO_MAIL
            | ProtoOpts::NO_RCPT
            | ProtoOpts::NO_HEADER
            | ProtoOpts::NO_BODY;
        assert!(!opts.intersects(needed));
        assert!(opts.contains(ProtoOpts::NO_CONNECT | ProtoOpts::REJECTED_RCPT));
    }

    proptest! {
        #[test]
        fn nothing_is_requested_that_was_not_offered(actions: u32, opts: u32) {
            let offered = ProtoOpts::from_bits_truncate(opts);
            let (requested, _) = requested(Actions::from_bits_truncate(actions), offered);
            prop_assert!(offered.contains(requested));
        }
    }
}
