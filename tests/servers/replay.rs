//! What `tempfail replay` reads out of the log of a real Postfix, and what it measures on real mail.

use crate::tempfail::Failure;
use serde_json::Value;
use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_support::smtp::{Mail, Visit, Xclient};
use test_support::{Need, Postfix, Suite, TestResult, server_tests};

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(suite, [Need::Postfix], the_log_of_a_real_postfix_is_read);
    server_tests!(
        suite,
        [Need::Traces],
        others_do_on_real_mail_what_was_measured_of_them,
        on_real_mail_it_reaches_what_it_has_reached,
    )
}

const PATIENCE: Duration = Duration::from_secs(30);

fn mail(sender: &str) -> Mail {
    Mail::from(sender).to("good@dest.example").header("Subject", "a test")
}

/// A named host, a host without a name, one that also guesses a recipient, one that only guesses, and this
/// host itself.
async fn traffic(postfix: &Postfix) -> TestResult {
    let named = Xclient::from_address([192, 0, 2, 7]).name("mail.src.example");
    let nameless = Xclient::from_address([198, 51, 100, 9]);
    let guesser = Xclient::from_address([203, 0, 113, 5]);
    let visit = |client: &Xclient| Visit::to(postfix.address()).as_client(client.clone());
    visit(&named).send(&mail("a@src.example").to("good2@dest.example")).await?;
    visit(&nameless).send(&mail("")).await?;
    visit(&guesser).send(&mail("b@src.example").to("nobody@dest.example")).await?;
    visit(&guesser).send(&Mail::from("c@src.example").to("nobody@dest.example")).await?;
    Visit::to(postfix.address()).send(&mail("root@dest.example")).await?;
    let removed = Cell::new(0);
    let all_delivered = |line: &str| {
        removed.set(removed.get() + u32::from(line.ends_with(": removed")));
        removed.get() == 4
    };
    postfix.log().wait_until("the end of four deliveries", PATIENCE, all_delivered).await?;
    Ok(())
}

/// The JSON object that a replay prints.
fn replay(options: &[&Path], file: &Path) -> Result<Value, Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tempfail"));
    let output = command.args(["replay", "--json"]).args(options).arg(file).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Everybody who is new would wait, so that everybody is told of.
const CONFIGURATION: &str = "[first_contact]\nsuspicious = 0.0\n";

async fn the_log_of_a_real_postfix_is_read() -> TestResult {
    let postfix = Postfix::builder().start().await?;
    traffic(&postfix).await?;
    let configuration = postfix.directory().join("tempfail.toml");
    std::fs::write(&configuration, CONFIGURATION)?;
    let options = ["--format".as_ref(), "maillog".as_ref(), "--config".as_ref(), configuration.as_path()];
    let report = replay(&options, postfix.log().path())?;
    assert_eq!(report["messages"], 3, "{report}");
    assert_eq!(report["log"]["unknown_recipients"], 2, "{report}");
    assert_eq!(report["log"]["local"], 1, "{report}");
    assert_eq!(report["log"]["unfinished"], 0, "{report}");
    // The guesser waits as a stranger, or for its guesses when the log's clock has them a second before.
    assert_eq!(report["would_defer"]["deferred"], 3, "{report}");
    let hosts = report["hosts"].as_array().ok_or("no hosts")?;
    let named = |who: &str| hosts.iter().find(|host| host["who"] == who).map(|host| host["name"].clone());
    assert_eq!(named("192.0.2.7"), Some("mail.src.example".into()), "{report}");
    assert_eq!(named("198.51.100.9"), Some(Value::Null), "{report}");
    assert_eq!(report["domains"][0]["who"], "src.example", "{report}");
    assert_eq!(report["domains"][0]["deferred"], 2, "{report}");
    Ok(())
}

/// What others measured on a trace: messages; spam above all but 0.1, 0.3 and 1 % of ham, by method; ham and
/// spam that greylisting defers; all in percent.
struct Measured {
    trace: &'static str,
    messages: u64,
    methods: [(&'static str, [f64; 3]); 3],
    greylisting: [f64; 2],
}

const MEASURED: [Measured; 2] = [
    Measured {
        trace: "sa",
        messages: 5_110,
        methods: [
            ("address_ratio", [12.4, 14.0, 17.8]),
            ("address_and_prefix", [13.7, 15.3, 26.4]),
            ("gbudb", [11.1, 13.6, 17.8]),
        ],
        greylisting: [5.5, 90.2],
    },
    Measured {
        trace: "modern",
        messages: 43_463,
        methods: [
            ("address_ratio", [17.8, 29.1, 29.1]),
            ("address_and_prefix", [31.9, 46.6, 48.7]),
            ("gbudb", [18.0, 29.1, 29.1]),
        ],
        greylisting: [4.2, 81.1],
    },
];

/// A tenth of a percent either way is rounding.
fn is_near(share: &Value, percent: f64) -> bool {
    share.as_f64().is_some_and(|share| (100.0 * share - percent).abs() <= 0.11)
}

async fn others_do_on_real_mail_what_was_measured_of_them() -> TestResult {
    let traces = test_support::traces().ok_or("no traces")?;
    for Measured { trace, messages, methods, greylisting } in MEASURED {
        let report = replay(&[], &traces.join(format!("{trace}.tsv.gz")))?;
        assert_eq!(report["messages"], messages, "{trace}");
        for (method, shares) in methods {
            let at = &report["baselines"][method]["at"];
            for (place, percent) in [0, 1, 3].into_iter().zip(shares) {
                assert!(is_near(&at[place]["spam_deferred"], percent), "{trace}, {method}: {at}");
            }
        }
        let found = &report["baselines"]["greylisting"];
        assert!(is_near(&found["ham_deferred"], greylisting[0]), "{trace}: {found}");
        assert!(is_near(&found["spam_deferred"], greylisting[1]), "{trace}: {found}");
    }
    Ok(())
}

/// The least that the engine reaches on a trace from an empty ledger, a little below what it has reached: spam
/// above all but 0.1, 0.3 and 1 % of ham.
const FLOORS: [(&str, [f64; 3]); 2] = [("sa", [0.52, 0.70, 0.85]), ("modern", [0.85, 0.90, 0.94])];
/// The most ham that the default policy may defer.
const HAM_DEFERRED: f64 = 0.003;

async fn on_real_mail_it_reaches_what_it_has_reached() -> TestResult {
    let traces = test_support::traces().ok_or("no traces")?;
    for (trace, floors) in FLOORS {
        let report = replay(&[], &traces.join(format!("{trace}.tsv.gz")))?;
        let at = &report["ranking"]["at"];
        for (place, floor) in [0, 1, 3].into_iter().zip(floors) {
            let reached = at[place]["spam_deferred"].as_f64().ok_or("no share")?;
            assert!(reached >= floor, "{trace}: {reached} where {floor} was reached: {at}");
        }
        let enforced = &report["closed_loop"];
        let deferred = enforced["ham_deferred"].as_f64().ok_or("no share")?;
        assert!(deferred <= HAM_DEFERRED, "{trace}: {enforced}");
        assert_eq!(enforced["ham_lost"], 0, "{trace}: {enforced}");
    }
    Ok(())
}
