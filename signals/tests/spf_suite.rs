//! The openspf suite for RFC 7208, run by our evaluator. The project does not carry the suite: it is read from
//! `rfc7208-suite.json` in the directory that `TEMPFAIL_TRACES` names, and without that the test says so.
//!
//! Known limit: the suite's `exp` member is not compared, since explanations are not fetched.
#![allow(clippy::unwrap_used)] // assertions, in helpers too

#[path = "spf/zones.rs"]
mod zones;

use policy_core::name::Sender;
use serde_json::Value;
use signals::dns::{Failure, Name};
use signals::spf::{SpfOutcome, check};
use zones::{Data, MAX_QUESTIONS, Zones, name};

const CASES: usize = 203;

#[tokio::test]
async fn the_openspf_suite_passes() {
    let Some(suite) = suite() else {
        eprintln!("NOT RUN: TEMPFAIL_TRACES names no directory with rfc7208-suite.json");
        return;
    };
    let (mut cases, mut failures) = (0, Vec::new());
    for scenario in suite.as_array().unwrap() {
        let zones = zones_of(&scenario["zone"]);
        for case in scenario["tests"].as_array().unwrap() {
            cases += 1;
            let before = zones.asked();
            let outcome = run(&zones, case).await;
            assert!(zones.asked() - before <= MAX_QUESTIONS, "{outcome:?}");
            let accepted = case["res"].as_array().unwrap();
            if !accepted.contains(&Value::from(outcome.result.word())) {
                failures
                    .push(format!("{}: {} not in {accepted:?}: {outcome:?}", case["name"], outcome.result));
            }
        }
    }
    eprintln!("{} of {cases} cases of the openspf suite pass", cases - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cases, CASES);
}

fn suite() -> Option<Value> {
    let directory = std::env::var_os("TEMPFAIL_TRACES")?;
    let text = std::fs::read(std::path::Path::new(&directory).join("rfc7208-suite.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

async fn run(zones: &Zones, case: &Value) -> SpfOutcome {
    let text = |key: &str| case[key].as_str().unwrap();
    let sender = Sender::new(text("mf"));
    check(zones, text("ip").parse().unwrap(), text("helo"), sender.as_ref()).await
}

fn zones_of(zone: &Value) -> Zones {
    let zone = zone.as_object().unwrap();
    let silent = zone.iter().filter(|(_, node)| node["timeout"] == true);
    let failing = silent.map(|(owner, _)| (name(owner), Failure::TimedOut));
    let records = zone.iter().flat_map(|(owner, node)| {
        node["recs"].as_array().unwrap().iter().map(|record| (name(owner), data(record)))
    });
    Zones::new(records.collect::<Vec<(Name, Data)>>(), failing)
}

fn data(record: &Value) -> Data {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = match (record[0].as_str().unwrap(), &record[1]) {
        // The character-strings of a text are joined without a space (section 3.3).
        ("TXT", Value::Array(strings)) => strings.iter().map(words).collect(),
        (_, Value::Array(fields)) => fields.iter().map(words).collect::<Vec<_>>().join(" "),
        (_, field) => words(field),
    };
    Data::parse(record[0].as_str().unwrap(), &text).unwrap()
}
