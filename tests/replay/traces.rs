//! Labelled traces: what is reported, and what each option does.

use crate::run::{Desk, HEADER, gzip, printed, report, rows, timeless, trace};
use serde_json::Value;
use std::path::PathBuf;

const HAM_SHARES: [f64; 5] = [0.001, 0.003, 0.005, 0.01, 0.02];

fn is_share(value: &Value) -> bool {
    value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))
}

fn check_ranking(ranking: &Value) {
    assert!(is_share(&ranking["one_minus_auc"]), "{ranking}");
    let at = ranking["at"].as_array().unwrap();
    let shares: Vec<f64> = at.iter().map(|point| point["ham_deferred"].as_f64().unwrap()).collect();
    assert_eq!(shares, HAM_SHARES);
    assert!(at.iter().all(|point| is_share(&point["spam_deferred"])), "{ranking}");
}

#[test]
fn programs_read_what_they_were_promised() {
    let desk = Desk::new();
    let report = report(&[], &[&desk.write("t.tsv", trace(400))]);
    assert_eq!(
        (&report["messages"], &report["ham"], &report["spam"]),
        (&400.into(), &200.into(), &200.into())
    );
    for ranking in ["", "/second_half", "/first_contact"] {
        check_ranking(report.pointer(&format!("/ranking{ranking}")).unwrap());
    }
    assert_eq!(report["ranking"]["first_contact"]["ham"], 1);
    assert_eq!(report["ranking"]["first_contact"]["spam"], 200);
    assert_eq!(report["ranking"]["second_half"]["ham"], 100);
    let run = &report["closed_loop"];
    assert!(is_share(&run["ham_deferred"]) && is_share(&run["spam_deferred"]), "{run}");
    for number in ["ham_delay_p50_s", "ham_delay_p95_s", "ham_delay_p99_s", "ham_lost"] {
        assert!(run[number].is_number(), "{number}");
    }
    for method in ["address_ratio", "address_and_prefix", "gbudb", "txrep"] {
        check_ranking(&report["baselines"][method]);
    }
    for method in ["greylisting", "fixed_limit"] {
        assert!(is_share(&report["baselines"][method]["ham_deferred"]), "{method}");
    }
    let tenths = report["calibration"].as_array().unwrap();
    assert_eq!(tenths.iter().map(|tenth| tenth["count"].as_u64().unwrap()).sum::<u64>(), 400);
    let speed = report["decisions_per_second"].as_f64().unwrap() * report["seconds"].as_f64().unwrap();
    assert!((speed - 400.0).abs() < 1e-6);
}

#[test]
fn the_engine_tells_a_steady_sender_from_strangers() {
    let desk = Desk::new();
    let report = report(&[], &[&desk.write("t.tsv", trace(400))]);
    let told = report["ranking"]["second_half"]["at"][3]["spam_deferred"].as_f64().unwrap();
    assert!(told > 0.95, "{told}");
    assert_eq!(report["closed_loop"]["ham_lost"], 0);
}

#[test]
fn people_read_a_table_with_the_others_beside() {
    let desk = Desk::new();
    let text = printed(&[], &[&desk.write("t.tsv", trace(400))]);
    for words in [
        "400 messages: 200 ham, 200 spam",
        "this engine",
        "TxRep style",
        "greylisting",
        "Calibration",
        "Enforced",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn plain_compressed_split_and_reordered_files_are_one_recording() {
    let desk = Desk::new();
    let whole = timeless(report(&[], &[&desk.write("whole.tsv", trace(400))]));
    assert_eq!(whole, timeless(report(&[], &[&desk.write("whole.tsv.gz", gzip(trace(400)))])));
    let rows = rows(400);
    let middle = rows.match_indices('\n').nth(199).unwrap().0 + 1;
    let halves = [&rows[..middle], &rows[middle..]].map(|half| HEADER.to_owned() + half);
    let first = desk.write("1.tsv", &halves[0]);
    let second = desk.write("2.tsv.gz", gzip(&halves[1]));
    assert_eq!(whole, timeless(report(&[], &[&second, &first])));
}

#[test]
fn the_seed_decides_what_chance_decides() {
    let desk = Desk::new();
    let file = desk.write("t.tsv", trace(400));
    let run = |seed| {
        let chance =
            ["--feedback-share", "0.5", "--label-noise", "0.1", "--spam-retries", "0.5", "--seed", seed];
        timeless(report(&chance, &[&file]))
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn feedback_is_late_partial_and_noisy_as_told() {
    let desk = Desk::new();
    let file = desk.write("t.tsv", trace(400));
    let area =
        |options: &[&str]| report(options, &[&file])["baselines"]["address_ratio"]["one_minus_auc"].clone();
    let prompt = area(&[]).as_f64().unwrap();
    // Nothing is learned: all addresses look alike, and ties count against the method.
    for nothing in [["--feedback-share", "0"], ["--feedback-delay", "365d"]] {
        assert_eq!(area(&nothing), 1.0, "{nothing:?}");
    }
    assert!(area(&["--label-noise", "0.4"]).as_f64().unwrap() >= prompt);
    assert!(area(&["--label-noise", "1"]).as_f64().unwrap() > 0.9, "all labels wrong");
    assert!(prompt < 0.1, "{prompt}");
}

#[test]
fn the_configured_policy_is_enforced_and_spam_comes_back_as_told() {
    let desk = Desk::new();
    let file = desk.write("t.tsv", trace(400));
    let all_wait = desk.write("wait.toml", "mode = \"observe\"\n[first_contact]\nsuspicious = 0.0\n");
    let none_wait = desk.write("none.toml", "[first_contact]\nwait = \"0s\"\n[reputation]\nwait = \"0s\"\n");
    let run = |config: &PathBuf, retries| {
        let options = ["--config", config.to_str().unwrap(), "--spam-retries", retries];
        report(&options, &[&file])["closed_loop"].clone()
    };
    let never = run(&all_wait, "0");
    assert!(never["spam_deferred"].as_f64().unwrap() > 0.9, "{never}");
    assert_eq!(never["spam_deferred"], never["spam_never_in"], "{never}");
    assert_eq!(run(&all_wait, "1")["spam_never_in"], 0.0);
    let ham_delay = never["ham_delay_p50_s"].as_f64().unwrap();
    assert!((180.0..=1200.0).contains(&ham_delay), "{never}");
    assert_eq!(never["delayed_most"][0]["client"], "192.0.2.1", "{never}");
    assert_eq!(run(&none_wait, "0")["reasons"]["first-contact"], Value::Null);
}

#[test]
fn an_unconfirmed_name_changes_what_is_thought_of_a_host() {
    let desk = Desk::new();
    let file = desk.write("t.tsv", trace(400));
    let confirmed = timeless(report(&[], &[&file]));
    let unconfirmed: String = (0..400).map(|n| format!("{n}\t1\n")).collect();
    desk.write("t.ids.tsv.gz", gzip(format!("seq\tfcrdns_fail\n{unconfirmed}")));
    assert_ne!(confirmed["calibration"], timeless(report(&[], &[&file]))["calibration"]);
}
