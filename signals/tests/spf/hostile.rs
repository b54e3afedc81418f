//! Records made to harm.

use super::zones::{Data, MAX_QUESTIONS, Zones, name};
use SpfResult::{PermError, TempError};
use policy_core::name::Sender;
use proptest::prelude::*;
use signals::dns::Failure;
use signals::spf::{SpfCause, SpfResult, check};

/// Terms that refer to one another among a handful of names.
fn term() -> impl Strategy<Value = String> {
    let name =
        "(n[0-5]\\.test|%\\{[slodiphv][0-3]?r?-?\\}\\.n[0-5]\\.test|%\\{[dophDOPH]\\}|\\.\\.x|%\\{x\\})";
    let terms = format!(
        "([-+~?]?(include:{name}|a(:{name})?(/0|/24|/99)?(//0|//64)?|mx(:{name})?|ptr(:{name})?|exists:{name}|\
            ip4:192\\.0\\.2\\.[0-9]/(0|32|33)|ip6:::/0|all)|redirect={name}|exp={name}|[a-z]={name})"
    );
    proptest::string::string_regex(&terms).unwrap()
}

fn data() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        6 => proptest::collection::vec(term(), 0..7).prop_map(|t| ("TXT", format!("v=spf1 {}", t.join(" ")))),
        1 => "[ -~]{0,40}".prop_map(|text| ("TXT", text)),
        2 => "192\\.0\\.2\\.[0-9]".prop_map(|address| ("A", address)),
        1 => "2001:db8::[0-9]".prop_map(|address| ("AAAA", address)),
        2 => "[0-9] n[0-5]\\.test".prop_map(|mx| ("MX", mx)),
        1 => "n[0-5]\\.test".prop_map(|alias| ("CNAME", alias)),
    ]
}

proptest! {
    /// Whatever records refer to whatever others, a check ends within its limits.
    #[test]
    fn any_records_are_evaluated_within_the_limits(
        records in proptest::collection::vec(("n[0-5]\\.test", data()), 0..40),
        reverse in proptest::collection::vec("n[0-5]\\.test", 0..15),
        failing in proptest::collection::vec("n[0-5]\\.test", 0..2),
        client in "(192\\.0\\.2\\.1|2001:db8::1|::ffff:192\\.0\\.2\\.1)",
        helo in "(n[0-5]\\.test|\\PC{0,20})",
        local_part in "\\PC{0,30}",
    ) {
        let client: std::net::IpAddr = client.parse().unwrap();
        let mut found: Vec<_> =
            records.iter().map(|(owner, (kind, data))| (name(owner), Data::parse(kind, data).unwrap())).collect();
        found.extend(reverse.iter().map(|n| (client.to_canonical().into(), Data::Ptr(name(n)))));
        let zones = Zones::new(found, failing.iter().map(|n| (name(n), Failure::ServerFailed)));
        let sender = Sender::new(&format!("{local_part}@n0.test"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(check(&zones, client, &helo, sender.as_ref()));
        prop_assert!(zones.asked() <= MAX_QUESTIONS);
        prop_assert!(outcome.lookups <= 10 && outcome.void_lookups <= 3);
        let is_error = matches!(outcome.result, TempError | PermError);
        prop_assert_eq!(is_error, outcome.cause.is_some());
        let is_temporary = matches!(outcome.cause, Some(SpfCause::Dns(_)));
        prop_assert_eq!(is_temporary, outcome.result == TempError);
    }
}
