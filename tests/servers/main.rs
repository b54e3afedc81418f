//! Tests against real mail servers, each started for its test alone.

mod content_filter;
mod crowd;
mod doctor;
mod documents;
mod exemptions;
mod feedback;
mod first_contact;
mod full_disk;
mod gateways;
mod greylisters;
mod learning;
mod lookups;
mod marks;
mod milter_stages;
mod one_ledger;
mod outage;
mod postfix;
mod program;
mod refusals;
mod replay;
mod sendmail;
mod sendmail_stages;
mod set_up;
mod signals;
mod sockets;
mod tempfail;
mod warm_up;

use std::process::ExitCode;
use test_support::Suite;

fn main() -> ExitCode {
    // The slowest first: the others run beside it.
    let stories = [
        outage::tests,
        postfix::tests,
        sendmail::tests,
        first_contact::tests,
        warm_up::tests,
        exemptions::tests,
        feedback::tests,
        gateways::tests,
        learning::tests,
        lookups::tests,
        marks::tests,
        one_ledger::tests,
        milter_stages::tests,
        sendmail_stages::tests,
        crowd::tests,
        sockets::tests,
        documents::tests,
        doctor::tests,
        refusals::tests,
        replay::tests,
        signals::tests,
        greylisters::tests,
        full_disk::tests,
    ];
    stories.into_iter().fold(Suite::new(), |suite, tests| tests(suite)).run()
}
