use super::*;
use proptest::prelude::*;

fn collect(budget: &Budget, limit: usize, fields: &[(&str, &str)], body: &[u8], chunk: usize) -> Raw {
    let mut collector = Collector::new(budget, limit);
    for (name, value) in fields {
        collector.header(name.as_bytes(), value.as_bytes(), true);
    }
    body.chunks(chunk).for_each(|chunk| collector.body(chunk));
    collector.finish()
}

#[test]
fn a_message_comes_out_as_it_was_on_the_wire() {
    let budget = Budget::new(1 << 20);
    let fields = [("From", " a@src.example"), ("Subject", "  two\n\tlines\r\n  of it"), ("X", "")];
    let raw = collect(&budget, MAX_MESSAGE, &fields, b"one\r\n\r\ntwo\r\n", 3);
    let wire = b"From: a@src.example\r\nSubject:  two\r\n\tlines\r\n  of it\r\nX:\r\n\r\none\r\n\r\ntwo\r\n";
    assert_eq!(raw.octets(), wire);
    assert!(raw.whole() && raw.body() == b"one\r\n\r\ntwo\r\n" && raw.header().ends_with(b"X:\r\n\r\n"));
    assert!(budget.left() < 1 << 20);
    drop(raw);
    assert_eq!(budget.left(), 1 << 20, "a message that is gone gives back what it held");
}

#[test]
fn a_leading_space_that_was_taken_away_is_put_back() {
    let mut collector = Collector::new(&Budget::default(), MAX_MESSAGE);
    collector.header(b"From", b"a@src.example", false);
    assert_eq!(collector.finish().octets(), b"From: a@src.example\r\n\r\n");
}

#[test]
fn a_value_cannot_begin_a_field_or_end_the_header() {
    for value in ["a\nBcc: b", "a\n\nbody", "a\n", "a\r\n\r\nb"] {
        let raw = collect(&Budget::default(), MAX_MESSAGE, &[("X", value), ("Y", "")], b"body", 9);
        let header = String::from_utf8(raw.header().to_vec()).unwrap();
        let begins_field = |line: &&str| !line.is_empty() && !line.starts_with([' ', '\t']);
        let fields: Vec<_> = header.split("\r\n").filter(begins_field).map(|line| &line[..2]).collect();
        assert_eq!(fields, ["X:", "Y:"], "{value:?}");
        assert!(!raw.whole() && raw.body() == b"body");
    }
    for name in ["", "a\nb", "a:b"] {
        let raw = collect(&Budget::default(), MAX_MESSAGE, &[(name, " x")], b"", 9);
        assert_eq!((raw.octets(), raw.whole()), (&b"\r\n"[..], false));
    }
}

#[test]
fn a_message_beyond_its_limit_leaves_header_and_beginning() {
    let budget = Budget::default();
    let body = vec![b'x'; 200 << 10];
    let raw = collect(&budget, 128 << 10, &[("From", " a")], &body, 1 << 16);
    assert_eq!((raw.whole(), raw.body().len(), raw.header()), (false, HEAD, &b"From: a\r\n\r\n"[..]));
    assert!(!raw.has_gaps());
    assert!(Budget::DEFAULT - budget.left() < HEAD + 1024, "the rest has been given back");
    let whole = collect(&budget, 256 << 10, &[("From", " a")], &body, 1 << 16);
    assert!(whole.whole() && whole.body() == body);
}

#[test]
fn a_huge_header_is_cut() {
    let value = "x".repeat(1000);
    let fields = vec![("X", value.as_str()); 1000];
    let raw = collect(&Budget::default(), MAX_MESSAGE, &fields, b"body", 9);
    assert!(!raw.whole() && raw.header().len() <= MAX_HEADER + 2 && raw.body() == b"body");
    assert!(raw.has_gaps());
}

#[test]
fn an_exhausted_budget_costs_the_message_and_not_the_connection() {
    let budget = Budget::new(100 << 10);
    let body = vec![b'x'; 90 << 10];
    let first = collect(&budget, MAX_MESSAGE, &[("From", " a")], &body, 1 << 16);
    assert!(first.whole());
    let second = collect(&budget, MAX_MESSAGE, &[("From", " b")], &body, 1 << 16);
    assert!(!second.whole() && second.header() == b"From: b\r\n\r\n");
    assert!(!first.has_gaps() && second.has_gaps(), "its body has not begun");
    drop((first, second));
    assert_eq!(budget.left(), 100 << 10);
    let none = Budget::new(0);
    let third = collect(&none, MAX_MESSAGE, &[("From", " a")], &body, 7);
    assert!(!third.whole() && third.octets().is_empty() && third.has_gaps());
}

proptest! {
    #[test]
    fn whatever_comes_stays_within_bounds(
        fields in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..9),
            proptest::collection::vec(any::<u8>(), 0..99)), 0..20),
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..20),
        limit in 0usize..30_000, octets in 0usize..40_000,
    ) {
        let budget = Budget::new(octets);
        let mut collector = Collector::new(&budget, limit);
        for (name, value) in &fields {
            collector.header(name, value, true);
        }
        for chunk in &chunks {
            collector.body(chunk);
        }
        let raw = collector.finish();
        prop_assert!(raw.octets().len() <= octets);
        if raw.whole() {
            prop_assert!(raw.octets().len() <= limit + 2);
            prop_assert_eq!(raw.body(), chunks.concat());
        }
        drop(raw);
        prop_assert_eq!(budget.left(), octets);
    }
}
