use super::*;
use crate::dns::Name;
use hickory_resolver::proto::rr::RecordType;

fn question(n: usize) -> Question {
    Question::new(&Name::from_ascii(format!("N{n}.example")).unwrap(), RecordType::A)
}

fn answer(now: Instant, seconds: u64) -> Entry {
    let outcome = Ok(Records::A([[192, 0, 2, 1].into()].into()));
    Entry { outcome, fetched: now, lives: Duration::from_secs(seconds) }
}

fn text(now: Instant, octets: usize) -> Entry {
    let outcome = Ok(Records::Txt([vec![b'x'; octets].into()].into()));
    Entry { outcome, fetched: now, lives: Duration::from_secs(60) }
}

#[test]
fn an_answer_is_kept_for_its_time_and_no_longer() {
    let (cache, now) = (Cache::new(100), Instant::now());
    cache.answered(question(1), answer(now, 60));
    let at = |seconds| cache.peek(&question(1), now + Duration::from_secs(seconds));
    assert_eq!(at(59).map(|entry| entry.age(now + Duration::from_secs(59)).as_secs()), Some(59));
    assert!(at(60).is_none());
    assert!(matches!(cache.look_up(&question(1), now + Duration::from_secs(60)), Known::Nothing));
}

#[test]
fn what_is_asked_for_stays_and_the_rest_goes() {
    let (cache, now) = (Cache::new(100), Instant::now());
    for n in 0..1000 {
        cache.answered(question(n), answer(now, 60));
        assert!(cache.peek(&question(0), now).is_some(), "{n}");
        assert!(cache.len().0 <= 101, "{n}");
    }
    assert!(cache.peek(&question(999), now).is_some());
    assert!(cache.peek(&question(500), now).is_none());
}

#[test]
fn octets_are_bounded_too() {
    let (cache, now) = (Cache::new(100), Instant::now());
    for n in 0..1000 {
        cache.answered(question(n), text(now, 20_000));
    }
    assert!((1..=6).contains(&cache.len().0), "{}", cache.len().0);
    cache.answered(question(1), text(now, 60_000));
    assert!(cache.peek(&question(1), now).is_none(), "larger than a generation");
    assert!(cache.peek(&question(999), now).is_some(), "nothing is forgotten for it");
}

#[test]
fn a_question_is_under_way_once() {
    let (cache, now) = (Cache::new(100), Instant::now());
    let Ok((sender, _)) = cache.begin(&question(1), now) else { panic!("not new") };
    let Known::UnderWay(awaited) = cache.look_up(&question(1), now) else { panic!("not under way") };
    assert!(matches!(cache.begin(&question(1), now), Err(Known::UnderWay(_))));
    assert_eq!(cache.len(), (0, 1));
    cache.answered(question(1), answer(now, 60));
    sender.send_replace(Some(answer(now, 60)));
    assert!(awaited.borrow().is_some());
    assert!(matches!(cache.begin(&question(1), now), Err(Known::Kept(_))));
    assert_eq!(cache.len(), (1, 0));
}

#[test]
fn an_abandoned_question_can_be_asked_again() {
    let (cache, now) = (Cache::new(100), Instant::now());
    assert!(cache.begin(&question(3), now).is_ok() && cache.begin(&question(3), now).is_err());
    cache.abandoned(&question(3));
    assert!(cache.begin(&question(3), now).is_ok());
}

#[test]
fn names_are_equal_whatever_their_case_and_types_are_not() {
    let (cache, now) = (Cache::new(100), Instant::now());
    cache.answered(question(1), answer(now, 60));
    let lower = Question::new(&Name::from_ascii("n1.EXAMPLE.").unwrap(), RecordType::A);
    let other = Question::new(&Name::from_ascii("n1.EXAMPLE.").unwrap(), RecordType::TXT);
    assert!(cache.peek(&lower, now).is_some() && cache.peek(&other, now).is_none());
}
