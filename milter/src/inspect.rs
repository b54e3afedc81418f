//! A message's header, field by field: nothing is kept but the verdict and the verified domains.
//!
//! Bounds: 500 fields a message and 16 KiB a field are looked at, 10 domains kept. The rest passes unseen, but for the
//! content filter's fields: a filter appends, and a sender could write 500 others above. Nothing that an upstream check
//! says is believed of a message with more fields, or with words that could have written it.

use crate::auth_results::Field;
use crate::filter::Finding;
use crate::options::Options;
use crate::plain::is_plain_field;
use policy_core::engine::FilterVerdict;
use policy_core::facts::VerifiedDomain;
use policy_core::name::DomainName;
use std::borrow::Cow;
use std::ffi::CStr;

const MAX_FIELDS: usize = 500;
const MAX_FIELD: usize = 16 * 1024;
/// Most verified domains kept of a message.
const MAX_VERIFIED: usize = 10;

/// Fields that a message has when it arrives. Programs that insert a field put it above all of them, so
/// below the first one nothing is taken for an upstream check's word.
const ARRIVED: [&str; 10] = [
    "Received",
    "Return-Path",
    "From",
    "Sender",
    "To",
    "Cc",
    "Date",
    "Subject",
    "Message-ID",
    "MIME-Version",
];

/// What the header has told so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspection {
    fields: usize,
    arrived: bool,
    /// Whether the sender may have written into what an upstream check wrote.
    doubted: bool,
    finding: Option<Finding>,
    verified: Vec<VerifiedDomain>,
}

impl Inspection {
    /// Of a message whose envelope and HELO are plain, or not ([`crate::plain`]).
    pub(crate) fn new(plain: bool) -> Self {
        Self { doubted: !plain, ..Self::default() }
    }

    /// Looks at the next field. `session` are the names that SPF may have been checked for.
    pub(crate) fn field(&mut self, options: &Options, session: &[DomainName], name: &CStr, value: &CStr) {
        self.fields = self.fields.saturating_add(1);
        let Ok(name) = name.to_str() else { return };
        for rule in options.filter_headers.iter().filter(|rule| name.eq_ignore_ascii_case(&rule.name)) {
            self.weigh(rule.read(&text(value)));
        }
        if self.fields > MAX_FIELDS {
            // A signature among those that are not looked at may be anything.
            self.doubted = true;
            return;
        }
        self.doubted |= !is_plain_field(name, value.to_bytes());
        self.arrived |= ARRIVED.iter().any(|arrived| name.eq_ignore_ascii_case(arrived));
        if !self.arrived && name.eq_ignore_ascii_case("Authentication-Results") {
            self.authentication_results(options, session, &text(value));
        }
    }

    /// The domains that passed a check upstream; none while the check is doubted.
    pub(crate) fn verified(&self) -> &[VerifiedDomain] {
        if self.doubted { &[] } else { &self.verified }
    }

    /// What the content filter wrote.
    pub(crate) fn verdict(self) -> Option<FilterVerdict> {
        self.finding.map(|finding| finding.verdict)
    }

    fn authentication_results(&mut self, options: &Options, session: &[DomainName], value: &str) {
        if options.trusted_authserv_ids.is_empty() {
            return;
        }
        let results = match Field::read(value, &options.trusted_authserv_ids) {
            Field::Foreign => return,
            Field::Doubtful => {
                self.doubted = true;
                return;
            }
            Field::Trusted(results) => results,
        };
        for domain in results.verified(session) {
            if self.verified.len() < MAX_VERIFIED && !self.verified.contains(&domain) {
                self.verified.push(domain);
            }
        }
    }

    fn weigh(&mut self, finding: Option<Finding>) {
        let Some(finding) = finding else { return };
        if self.finding.as_ref().is_none_or(|known| finding.outweighs(known)) {
            self.finding = Some(finding);
        }
    }
}

fn text(value: &CStr) -> Cow<'_, str> {
    let value = value.to_bytes();
    String::from_utf8_lossy(&value[..value.len().min(MAX_FIELD)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Forgeries;
    use proptest::prelude::*;
    use std::ffi::CString;

    const TRUSTED: &str = "mx.dest.example; dkim=pass header.d=src.example";

    fn options(forgeries: Forgeries) -> Options {
        let mut options = Options::default();
        options.trusted_authserv_ids.extend(DomainName::new("mx.dest.example"));
        options.filter_headers.iter_mut().for_each(|header| header.forgeries = forgeries);
        options
    }

    fn inspect(options: &Options, fields: &[(&str, &str)]) -> Inspection {
        let mut inspection = Inspection::default();
        for (name, value) in fields {
            let (name, value) = (CString::new(*name).unwrap(), CString::new(*value).unwrap());
            inspection.field(options, &[], &name, &value);
        }
        inspection
    }

    fn verified(options: &Options, fields: &[(&str, &str)]) -> usize {
        inspect(options, fields).verified().len()
    }

    #[test]
    fn only_a_trusted_id_counts() {
        let options = options(Forgeries::Possible);
        assert_eq!(verified(&options, &[("Authentication-Results", TRUSTED)]), 1);
        assert_eq!(
            verified(&options, &[("authentication-results", &TRUSTED.replace("mx.dest", "MX.Dest"))]),
            1
        );
        let other = TRUSTED.replace("mx.dest", "mx.else");
        assert_eq!(verified(&options, &[("Authentication-Results", &other)]), 0);
        assert_eq!(verified(&Options::default(), &[("Authentication-Results", TRUSTED)]), 0);
    }

    #[test]
    fn what_stands_below_the_message_s_own_fields_does_not_count() {
        let options = options(Forgeries::Possible);
        for arrived in ["Received", "From", "subject", "Return-Path"] {
            assert_eq!(verified(&options, &[(arrived, "x"), ("Authentication-Results", TRUSTED)]), 0);
        }
        let inserted = [("X-Spam", "No"), ("Authentication-Results", TRUSTED), ("Received", "x")];
        assert_eq!(verified(&options, &inserted), 1);
    }

    #[test]
    fn fields_and_domains_are_bounded() {
        let options = options(Forgeries::Possible);
        let mut fields = vec![("X-Other", "x"); MAX_FIELDS];
        fields.push(("Authentication-Results", TRUSTED));
        assert_eq!(verified(&options, &fields), 0);
        assert_eq!(verified(&options, &fields[1..]), 1);
        let many: String = (0..16).map(|n| format!("; dkim=pass header.d=d{n}.example")).collect();
        assert_eq!(
            verified(&options, &[("Authentication-Results", &format!("mx.dest.example{many}"))]),
            MAX_VERIFIED
        );
        fields.rotate_right(1);
        assert_eq!(verified(&options, &fields), 0, "what is not looked at may be a signature");
        let long = format!("({}) {TRUSTED}", "x".repeat(MAX_FIELD));
        assert_eq!(verified(&options, &[("Authentication-Results", &long)]), 0);
        assert_eq!(verified(&options, &[("Authentication-Results", TRUSTED); 3]), 1);
    }

    #[test]
    fn a_field_that_those_who_remove_forged_ones_may_have_left_takes_all_belief_away() {
        let options = options(Forgeries::Possible);
        for left in [TRUSTED.replace(';', ".;"), format!("{TRUSTED} x.y=z"), format!("{TRUSTED};")] {
            let fields = [("Authentication-Results", TRUSTED), ("Authentication-Results", &left)];
            assert_eq!(verified(&options, &fields[..1]), 1);
            assert_eq!(verified(&options, &fields), 0, "{left}");
        }
    }

    #[test]
    fn a_message_whose_words_may_stand_among_the_results_is_not_vouched_for() {
        let options = options(Forgeries::Possible);
        let trusted = ("Authentication-Results", TRUSTED);
        assert_eq!(verified(&options, &[trusted, ("DKIM-Signature", "d=src.example; i=a@src.example")]), 1);
        for odd in [
            ("DKIM-Signature", "d=evil.example; i=a=3Bdkim=3Dpass@evil.example"),
            ("from", "<a@evil.example;dkim=pass header.d=src.example>"),
        ] {
            assert_eq!(verified(&options, &[trusted, odd]), 0, "{odd:?}");
        }
    }

    #[test]
    fn a_forged_no_beside_a_yes_is_of_no_use() {
        for forgeries in [Forgeries::Possible, Forgeries::Removed] {
            for fields in [["No, score=-9", "Yes, score=9"], ["Yes, score=9", "No, score=-9"]] {
                let fields = fields.map(|value| ("X-Spam-Status", value));
                let verdict = inspect(&options(forgeries), &fields).verdict();
                assert_eq!(verdict.map(|verdict| (verdict.spam, verdict.score)), Some((true, Some(9.0))));
            }
        }
    }

    #[test]
    fn no_number_of_fields_hides_a_verdict() {
        let mut fields = vec![("X-Other", "x"); 2 * MAX_FIELDS];
        fields.push(("X-Spam-Status", "Yes, score=9"));
        let verdict = inspect(&options(Forgeries::Removed), &fields).verdict();
        assert_eq!(verdict.map(|verdict| verdict.spam), Some(true));
    }

    #[test]
    fn a_verdict_says_whether_it_may_be_forged() {
        for (forgeries, forgeable) in [(Forgeries::Possible, true), (Forgeries::Removed, false)] {
            let verdict = inspect(&options(forgeries), &[("X-Spam-Flag", "YES")]).verdict().unwrap();
            assert!(verdict.spam && verdict.forgeable == forgeable);
        }
    }

    #[test]
    fn ham_counts_only_where_forgeries_are_removed() {
        let ham = |forgeries| inspect(&options(forgeries), &[("X-Spam-Status", "No, score=-1")]).verdict();
        assert_eq!(ham(Forgeries::Possible), None);
        assert_eq!(ham(Forgeries::Removed).map(|verdict| verdict.spam), Some(false));
    }

    proptest! {
        #[test]
        fn any_header_is_inspected(fields in prop::collection::vec(("[a-zA-Z-]{0,30}", prop::collection::vec(1u8.., 0..100)), 0..20)) {
            let mut inspection = Inspection::default();
            for (name, value) in fields {
                let value = CString::new(value).unwrap();
                for name in [name.as_str(), "X-Spam-Status", "Authentication-Results"] {
                    inspection.field(&options(Forgeries::Removed), &[], &CString::new(name).unwrap(), &value);
                }
            }
            prop_assert!(inspection.verified().len() <= MAX_VERIFIED);
        }
    }
}
