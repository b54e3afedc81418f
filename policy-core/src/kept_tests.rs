use super::*;
use crate::evidence::Weight;
use crate::facts::Facts;
use crate::feedback::{News, Source, Subject};
use crate::fixtures::facts;
use crate::outcome::Outcome;
use crate::policy::{Mode, Policy};
use crate::{decide, hear, learn};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const BYTES: usize = 16 << 20;

fn state() -> State {
    State::new(BYTES, *b"secret of a test", NOW)
}

fn ask(state: &State, facts: &Facts, outcome: Outcome) {
    let mut policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    // Whoever looks like spam waits; the others are debited.
    policy.waits.suspicious = if outcome == Outcome::FilteredSpam { 0.0 } else { 1.0 };
    let policy = Arc::new(policy);
    let verdict = decide(&policy, state, facts, NOW).verdict;
    learn(state, &state.appraise(facts, NOW), outcome, NOW);
    let subject = Subject::of_verdict(&verdict, NOW).unwrap();
    let news = News { source: Source::Complaint, reporter: "anna", spam: true, forgeable: false };
    hear(&policy, state, &subject, news, NOW);
}

/// A state that has had mail of some senders.
fn busy() -> State {
    let state = state();
    for n in 0..50 {
        let outcome = if n % 3 == 0 { Outcome::FilteredSpam } else { Outcome::FilteredHam };
        ask(&state, &facts(&format!("192.0.{n}.7")), outcome);
    }
    state
}

fn all(state: &State) -> Vec<String> {
    let mut all: Vec<_> = state.entries().flatten().map(|entry| format!("{entry:?}")).collect();
    all.sort_unstable();
    all
}

#[test]
fn what_is_restored_reads_as_before() {
    let before = busy();
    let after = State::new(BYTES, *b"secret of a test", NOW.after(Duration::from_secs(86_400)));
    let mut restoring = after.restoring(NOW);
    before.entries().flatten().for_each(|entry| assert!(restoring.take(entry)));
    drop(restoring);
    after.relearn(&before.learned(), NOW.after(Duration::from_secs(86_400))).unwrap();
    assert_eq!(all(&before), all(&after));
    let later = NOW.after(Duration::from_secs(2 * 86_400));
    for n in 0..60 {
        let facts = facts(&format!("192.0.{n}.7"));
        let [one, other] = [&before, &after].map(|state| state.appraise(&facts, later).standing);
        assert!((one.log_odds - other.log_odds).abs() < 1e-4, "{one:?} {other:?}");
        assert_eq!(one.word, other.word);
    }
    assert_eq!(before.model_health(), after.model_health());
    assert_eq!(after.changes().count(), 0, "what was just read need not be written");
}

#[test]
fn every_change_is_given_out_once_with_its_page() {
    let state = busy();
    let books = |pages: &[Page]| Book::ALL.map(|book| pages.iter().any(|page| page.id.book == book));
    let first: Vec<Page> = state.changes().collect();
    assert_eq!(books(&first)[..5], [true; 5]);
    let given: usize = first.iter().map(|page| page.entries.len()).sum();
    assert_eq!(given, all(&state).len());
    assert_eq!(state.changes().count(), 0);
    ask(&state, &facts("198.51.100.1"), Outcome::FilteredHam);
    let second: Vec<Page> = state.changes().collect();
    let entries: usize = second.iter().map(|page| page.entries.len()).sum();
    assert!(!second.is_empty() && entries < given, "{entries} of {given}");
    state.mark(second[0].id);
    assert_eq!(state.changes().collect::<Vec<_>>(), second[..1]);
    state.mark_all();
    let pages: u32 = Book::ALL.map(|book| state.pages_of(book)).iter().sum();
    assert_eq!(state.changes().count(), pages as usize);
}

#[test]
fn who_stops_early_is_given_the_rest_again() {
    let state = busy();
    let pages = busy().changes().count();
    let mut changes = state.changes();
    let taken = [changes.next(), changes.next(), changes.next()].map(Option::unwrap);
    drop(changes);
    assert_eq!(state.changes().count() + taken.len(), pages);
}

#[test]
fn what_has_gone_leaves_an_empty_page() {
    let state = state();
    ask(&state, &facts("192.0.2.1"), Outcome::FilteredHam);
    assert!(state.changes().count() > 0);
    // Closes the session, which books what became of it.
    state.sweep(state.segments(), NOW.after(Duration::from_secs(3600)));
    assert!(state.changes().count() > 0);
    let years_later = NOW.after(Duration::from_secs(10 * 365 * 86_400));
    state.sweep(state.segments(), years_later);
    let emptied: Vec<Page> = state.changes().collect();
    assert!(emptied.iter().any(|page| page.id.book == Book::Identities));
    assert!(emptied.iter().all(|page| page.entries.is_empty()));
}

#[test]
fn a_layout_is_told_by_secret_and_cap() {
    assert_eq!(state().layout(), state().layout());
    assert_ne!(state().layout(), State::new(BYTES, *b"another's secret", NOW).layout());
    assert_ne!(state().layout(), State::new(2 * BYTES, *b"secret of a test", NOW).layout());
}

#[test]
fn a_clock_set_back_keeps_evidence_and_frees_who_waits() {
    let before = busy();
    let back = Timestamp::from_secs(1_600_000_000);
    let after = State::new(BYTES, *b"secret of a test", back);
    let taken = before.entries().flatten().filter(|entry| after.restore(*entry, back)).count();
    after.relearn(&before.learned(), back).unwrap();
    assert!(taken > 0);
    let half_life = back.after(Duration::from_secs(60 * 86_400));
    let weight = |state: &State, at| {
        state.ledger.read(&Key::address("192.0.0.7".parse().unwrap()), at).slow.evidence()
    };
    assert!((weight(&after, back) - weight(&before, NOW)).abs() < 1e-3);
    assert!((weight(&after, half_life) - 0.5 * weight(&before, NOW)).abs() < 1e-2, "it fades from now on");
    let waiting = after.entries().flatten().filter_map(|entry| match entry {
        Entry::Deferral(_, deferral) => Some(deferral),
        _ => None,
    });
    assert!(waiting.into_iter().all(|deferral| deferral.taken_over(back) == Some(deferral)));
}

#[test]
fn what_is_new_counts_after_a_clock_is_set_back() {
    let state = busy();
    let key = Key::address("192.0.0.7".parse().unwrap());
    let back = Timestamp::from_secs(1_600_000_000);
    let bad = |at| state.ledger.read(&key, at).slow.bad;
    let before = bad(NOW);
    state.sweep(state.segments(), back);
    state.ledger.add(key, Weight { bad: 3.0, ..Weight::default() }, back);
    assert!((bad(back) - before - 3.0).abs() < 1e-2, "{before} {}", bad(back));
}

#[test]
fn merging_sums_evidence_and_keeps_the_fuller_allowance() {
    let (one, other) = (busy(), busy());
    let key = Key::address("192.0.1.7".parse().unwrap());
    let before = one.ledger.read(&key, NOW).slow.evidence();
    let allowances = one.meters.usage().0;
    other.entries().flatten().for_each(|entry| assert!(one.merge(entry, NOW)));
    assert!((one.ledger.read(&key, NOW).slow.evidence() - 2.0 * before).abs() < 1e-3);
    assert_eq!(one.meters.usage().0, allowances);
}

#[test]
fn merging_joins_what_was_heard_and_leaves_the_ladder_as_it_stands() {
    let entry = |json: serde_json::Value| serde_json::from_value::<Entry>(json).unwrap();
    let word = |spam: bool, at: u32| {
        let at = NOW.as_secs_u32() - at;
        serde_json::json!({"spam": spam, "forgeable": false, "at": at, "weight": 1.0})
    };
    let message = |last: u32, words: [serde_json::Value; 2]| {
        let [filter, person] = words;
        let (let_in, last) = (NOW.as_secs_u32() - 900, NOW.as_secs_u32() - last);
        entry(serde_json::json!({"message": ["0f000000000000000000000000000001", {
            "let_in": let_in, "last": last, "about": ["01".repeat(16), "05".repeat(16)], "taught": null,
            "words": [filter, null, null, null, person],
        }]}))
    };
    let rung = |tried: u8, until: Option<u64>| {
        let at = NOW.as_millis() - 60_000;
        entry(serde_json::json!({"rung": ["010000000000000400000000c0000201", {
            "since": at, "last": at, "tried": tried, "refused_until": until.map(|ms| NOW.as_millis() + ms),
        }]}))
    };
    let state = state();
    assert!(state.restore(message(600, [word(false, 600), word(true, 700)]), NOW));
    assert!(state.restore(rung(1, Some(3_600_000)), NOW));
    // Of each kind the later word holds, and who is refused is refused until then, whatever is merged.
    assert!(state.merge(message(300, [word(true, 300), word(false, 800)]), NOW));
    assert!(state.merge(rung(3, None), NOW));
    let held: Vec<Entry> = state.entries().flatten().collect();
    assert_eq!(held, [message(300, [word(true, 300), word(true, 700)]), rung(1, Some(3_600_000))]);
}

#[test]
fn weights_of_other_features_are_not_taken() {
    let mut learned = busy().learned();
    learned.traits.pop();
    assert!(state().relearn(&learned, NOW).is_err());
}

fn any_float() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

proptest! {
    #[test]
    fn no_numbers_break_a_reading(
        floats in prop::array::uniform4(any_float()), volumes in prop::array::uniform2(any_float()),
        landmark: u32, days: [u16; 2], now: u32,
    ) {
        let [a, b, c, d] = floats;
        let json = serde_json::json!({
            "landmark": landmark, "first_day": days[0], "day": days[1],
            "fast": {"good": a, "bad": b}, "slow": {"good": c, "bad": d},
            "today": volumes[0], "busiest": volumes[1],
        });
        // JSON has no infinities and the like.
        if let Ok(record) = serde_json::from_value::<Record>(json) {
            let (state, now) = (state(), Timestamp::from_secs(now.into()));
            let key = Key::address("192.0.2.1".parse().unwrap());
            state.restore(Entry::Identity(key, record), now);
            let standing = state.appraise(&facts("192.0.2.1"), now).standing;
            prop_assert!(standing.log_odds.is_finite(), "{standing:?}");
        }
    }
}
