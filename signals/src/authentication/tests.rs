use super::*;
use mail_auth::common::verify::DomainKey;
use mail_auth::{DnsError, Error, ResolverCache, Txt};

#[test]
fn a_name_that_was_not_fetched_is_a_temporary_error_and_no_question() {
    let answer = Answers::default().get("ed._domainkey.src.example.");
    assert!(matches!(answer, Some(Txt::Error(Error::Dns(DnsError::Resolver(_))))));
    let verifier = Verifier(no_resolver().unwrap());
    let answers = Answers::default();
    let found = at_once(|| verifier.txt_lookup::<DomainKey>("ed._domainkey.src.example.", Some(&answers)));
    assert!(matches!(found, Some(Err(Error::Dns(DnsError::Resolver(_))))), "answered at once");
}

/// Even without the cache, mail-auth's resolver would reach nobody.
#[tokio::test]
async fn the_resolver_that_mail_auth_holds_has_no_servers() {
    let verifier = Verifier(no_resolver().unwrap());
    let found = verifier.txt_lookup::<DomainKey>("ed._domainkey.src.example.", None::<&Answers>).await;
    assert!(matches!(found, Err(Error::Dns(_))));
}

#[test]
fn what_would_wait_or_panics_is_given_up() {
    assert_eq!(at_once(std::future::pending::<()>), None);
    assert_eq!(at_once(|| async { 1 }), Some(1));
    assert_eq!(caught(|| -> u8 { panic!("a defect elsewhere") }), None);
}

#[test]
fn a_walk_begins_at_the_name_and_goes_on_from_seven_labels() {
    assert_eq!(dmarc::walk("a.src.example"), ["a.src.example", "src.example", "example"]);
    assert_eq!(dmarc::walk("9.8.7.6.5.4.3.2.1").len(), 8);
    assert_eq!(dmarc::walk("9.8.7.6.5.4.3.2.1")[1], "7.6.5.4.3.2.1");
    assert_eq!(dmarc::questions("localhost").count(), 0);
}
