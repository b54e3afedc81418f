use super::*;
use proptest::prelude::*;

const T0: u64 = 1_700_000_000;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(T0 + secs)
}

fn bad(weight: f32) -> Weight {
    Weight { bad: weight, ..Weight::default() }
}

#[test]
fn a_half_life_halves() {
    let mut record = Record::new(at(0));
    record.add(bad(8.0), at(0));
    let fast = record.read(at(6 * 3600));
    assert!((fast.fast.bad - 4.0).abs() < 1e-4);
    let slow = record.read(at(60 * 86_400));
    assert!((slow.slow.bad - 4.0).abs() < 1e-4);
}

#[test]
fn a_burst_within_one_second_moves_the_memory_at_once() {
    let mut record = Record::new(at(0));
    record.add(Weight { good: 100.0, ..Weight::default() }, at(0));
    for _ in 0..50 {
        record.add(bad(1.0), at(86_400));
    }
    let reading = record.read(at(86_400));
    assert!(reading.fast.bad / reading.fast.evidence() > 0.8);
}

const PRESUMED: Weight = Weight { presumed: 0.25, good: 0.0, bad: 0.0, volume: 1.0 };

#[test]
fn mail_without_news_does_not_vouch_for_more_of_its_kind_without_end() {
    let mut record = Record::new(at(0));
    (0..10_000).for_each(|n| record.add(PRESUMED, at(n / 10)));
    let Reading { fast, today, .. } = record.read(at(1000));
    assert!((4.8..=5.25).contains(&fast.good), "{fast:?}");
    assert_eq!(today, 10_000.0, "it is counted all the same");
    // The next day as much may be presumed as would come in those hours of a day like this.
    (0..100_000).for_each(|_| record.add(PRESUMED, at(86_400)));
    let good = record.read(at(86_400)).fast.good;
    assert!((900.0..=903.0).contains(&good), "{good}");
}

#[test]
fn taking_back_what_was_never_counted_leaves_no_debt_worth_the_name() {
    for late in [60, 86_400] {
        let mut record = Record::new(at(0));
        (0..10_000).for_each(|_| record.add(PRESUMED, at(0)));
        let convicted = Weight { presumed: -0.25, bad: 1.0, ..Weight::default() };
        (0..10_000).for_each(|_| record.add(convicted, at(late)));
        record.add(Weight { good: 10.0, ..Weight::default() }, at(late));
        assert!(record.read(at(late)).fast.good > 8.0, "{:?}", record.read(at(late)));
    }
}

#[test]
fn years_do_not_overflow_and_a_clock_that_jumps_back_does_not_blow_up() {
    let mut record = Record::new(at(0));
    for year in 0..50 {
        record.add(bad(1.0), at(year * 31_557_600));
    }
    let reading = record.read(at(49 * 31_557_600));
    assert!((1.0..1.02).contains(&reading.slow.bad), "that of the years before has faded: {reading:?}");
    assert!(record.read(at(0)).slow.bad <= 2.0);
}

#[test]
fn what_no_mail_adds_up_to_is_bounded_and_fades() {
    let huge = |number: f32| Record {
        fast: Tally { good: number, bad: -number },
        slow: Tally { good: number, bad: number },
        today: number,
        busiest: number,
        ..Record::new(at(0))
    };
    let mut record = huge(3e38);
    (0..3).for_each(|_| record.merge(huge(3e38)));
    record.add(Weight { good: 1.0, bad: 1.0, volume: 1.0, ..Weight::default() }, at(86_400));
    let finite = |Reading { fast, slow, today, busiest, .. }: Reading| {
        [fast.good, fast.bad, slow.good, slow.bad, today, busiest].into_iter().all(f32::is_finite)
    };
    assert!(finite(record.read(at(86_400))), "{record:?}");
    assert!(record.read(at(86_400)).busiest <= MOST && record.read(at(86_400)).slow.bad <= MOST);
    let taken = huge(3e38).taken_over(at(0)).unwrap();
    assert!(taken.slow.good <= MOST && taken.fast.good <= MOST_STORED, "{taken:?}");
    let honest = huge(1000.0);
    assert_eq!(
        honest.taken_over(at(0)),
        Some(Record { fast: Tally { good: 1000.0, bad: -1000.0 }, ..honest })
    );
    assert_eq!(huge(f32::INFINITY).taken_over(at(0)), None);
}

#[test]
fn todays_volume_counts_from_tomorrow_and_fades() {
    let day = |n: u64| Timestamp::from_secs(19_700 * 86_400 + n * 86_400 + 43_200);
    let mut record = Record::new(day(0));
    (0..100).for_each(|_| record.add(Weight { volume: 1.0, ..Weight::default() }, day(0)));
    let today = record.read(day(0));
    assert_eq!((today.today, today.busiest), (100.0, 0.0));
    let tomorrow = record.read(day(1));
    assert_eq!((tomorrow.today, tomorrow.busiest), (0.0, 100.0));
    record.add(Weight { volume: 10.0, ..Weight::default() }, day(61));
    assert!((record.read(day(61)).busiest - 50.0).abs() < 0.1);
}

#[test]
fn a_clock_that_ran_ahead_for_a_while_does_not_stop_the_days() {
    let mut record = Record::new(at(400 * 86_400));
    let volume = Weight { volume: 5.0, ..Weight::default() };
    record.add(volume, at(400 * 86_400));
    record.add(volume, at(0));
    assert_eq!(record.read(at(1)).today, 10.0);
}

proptest! {
    #[test]
    fn order_does_not_matter(mut events in proptest::collection::vec((0u64..20_000_000, 0.1f32..10.0), 1..40)) {
        let sum = |events: &[(u64, f32)]| {
            let mut record = Record::new(at(events[0].0));
            events.iter().for_each(|&(t, w)| record.add(bad(w), at(t)));
            record.read(at(20_000_000))
        };
        let forward = sum(&events);
        events.reverse();
        let backward = sum(&events);
        prop_assert!((forward.slow.bad - backward.slow.bad).abs() <= 1e-3 * forward.slow.bad.max(1e-3));
        prop_assert!((forward.fast.bad - backward.fast.bad).abs() <= 1e-3 * forward.fast.bad.max(1e-3));
        prop_assert_eq!(forward.age_days, backward.age_days);
    }

    #[test]
    fn merging_equals_recording_in_one_place(
        a in proptest::collection::vec((0u64..5_000_000, 0.1f32..10.0), 1..20),
        b in proptest::collection::vec((0u64..5_000_000, 0.1f32..10.0), 1..20),
    ) {
        let record = |events: &[(u64, f32)]| {
            let mut record = Record::new(at(events[0].0));
            events.iter().for_each(|&(t, w)| record.add(bad(w), at(t)));
            record
        };
        let mut merged = record(&a);
        merged.merge(record(&b));
        let both: Vec<_> = a.iter().chain(&b).copied().collect();
        let (merged, whole) = (merged.read(at(5_000_000)), record(&both).read(at(5_000_000)));
        prop_assert!((merged.slow.bad - whole.slow.bad).abs() <= 1e-3 * whole.slow.bad);
    }
}
