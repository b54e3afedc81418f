//! The bounds beside each adversary: asserted, printed as a table, and written for programs to read.
//!
//! `cargo test --test adversaries -- --nocapture` shows the table. With `TEMPFAIL_ADVERSARIES=FILE` each row
//! is appended to FILE as one JSON object a line, before anything is asserted: two such files compare two
//! models. A bound that is known to be missed stands in [`KNOWN_MISSES`] with its reason, and must be missed by
//! the seed that is played when none is named: the list cannot outlive its reasons.

use crate::misses::KNOWN_MISSES;
use std::fs::OpenOptions;
use std::io::Write as _;

/// The seed that the known misses are known of: others may be luckier.
const SEED: u64 = 1;

/// Where the rows go for programs to read.
const FILE: &str = "TEMPFAIL_ADVERSARIES";

/// Which side of a bound is right.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Told, not judged.
    None,
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtMost(bound) => measured <= bound,
            Self::AtLeast(bound) => measured >= bound,
            Self::None => true,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {}", number(bound)),
            Self::AtLeast(bound) => format!(">= {}", number(bound)),
            Self::None => "-".to_owned(),
        }
    }
}

#[derive(Debug)]
struct Row {
    what: &'static str,
    measured: f64,
    bound: Bound,
}

/// The bounds of one adversary.
#[derive(Debug)]
pub(crate) struct Bounds {
    adversary: &'static str,
    seed: u64,
    rows: Vec<Row>,
}

impl Bounds {
    pub(crate) fn of(adversary: &'static str, seed: u64) -> Self {
        Self { adversary, seed, rows: Vec::new() }
    }

    pub(crate) fn at_most(mut self, what: &'static str, measured: f64, bound: f64) -> Self {
        self.rows.push(Row { what, measured, bound: Bound::AtMost(bound) });
        self
    }

    pub(crate) fn at_least(mut self, what: &'static str, measured: f64, bound: f64) -> Self {
        self.rows.push(Row { what, measured, bound: Bound::AtLeast(bound) });
        self
    }

    /// A figure that explains the others.
    pub(crate) fn told(mut self, what: &'static str, measured: f64) -> Self {
        self.rows.push(Row { what, measured, bound: Bound::None });
        self
    }

    /// Prints the rows, writes them where they were asked for, and asserts each.
    pub(crate) fn conclude(self) {
        let lines: Vec<String> = self.rows.iter().map(|row| self.line(row)).collect();
        let known = KNOWN_MISSES.iter().filter(|miss| miss.adversary == self.adversary);
        let reasons = known.map(|miss| format!("{:<30} {}: {}", miss.adversary, miss.what, miss.reason));
        println!("{}", lines.into_iter().chain(reasons).collect::<Vec<_>>().join("\n"));
        if let Some(file) = std::env::var_os(FILE) {
            let json: String = self.rows.iter().map(|row| self.json(row) + "\n").collect();
            let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
            // One write a test, so that tests which end together do not mix their lines.
            file.write_all(json.as_bytes()).unwrap();
        }
        let faults: Vec<String> =
            self.rows.iter().filter_map(|row| self.fault(row)).chain(self.unknown_misses()).collect();
        assert!(faults.is_empty(), "seed {}:\n{}", self.seed, faults.join("\n"));
    }

    fn is_known(&self, row: &Row) -> bool {
        KNOWN_MISSES.iter().any(|miss| miss.adversary == self.adversary && miss.what == row.what)
    }

    /// Known misses of this adversary that no row of it answers to.
    fn unknown_misses(&self) -> impl Iterator<Item = String> {
        let mine = KNOWN_MISSES.iter().filter(|miss| miss.adversary == self.adversary);
        let gone = mine.filter(|miss| self.rows.iter().all(|row| row.what != miss.what));
        gone.map(|miss| format!("no such bound: {} {}", miss.adversary, miss.what))
    }

    fn word(&self, row: &Row) -> &'static str {
        match (row.bound, row.bound.holds(row.measured), self.is_known(row)) {
            (Bound::None, ..) => "",
            (_, true, _) => "held",
            (_, false, true) => "missed, known",
            (_, false, false) => "MISSED",
        }
    }

    fn line(&self, row: &Row) -> String {
        let (measured, bound) = (number(row.measured), row.bound.words());
        let line = format!("{:<30} {:<46} {measured:>10} {bound:>12}  ", self.adversary, row.what);
        (line + self.word(row)).trim_end().to_owned()
    }

    fn json(&self, row: &Row) -> String {
        let (least, most) = match row.bound {
            Bound::AtMost(bound) => (None, Some(bound)),
            Bound::AtLeast(bound) => (Some(bound), None),
            Bound::None => (None, None),
        };
        // JSON has no infinity: what never came in is told as null.
        serde_json::json!({
            "adversary": self.adversary, "seed": self.seed, "what": row.what, "measured": row.measured,
            "at_least": least, "at_most": most, "holds": row.bound.holds(row.measured),
            "known_miss": self.is_known(row),
        })
        .to_string()
    }

    fn fault(&self, row: &Row) -> Option<String> {
        match (row.bound.holds(row.measured), self.is_known(row)) {
            (false, false) => Some(self.line(row)),
            (true, true) if self.seed == SEED => {
                Some(format!("{}  take it off the known misses", self.line(row)))
            }
            _ => None,
        }
    }
}

/// A number with the digits that mean something.
fn number(number: f64) -> String {
    if number.fract() == 0.0 || number.abs() >= 1000.0 {
        format!("{number:.0}")
    } else if number.abs() >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.4}")
    }
}

/// The seed of a run, unless `TEMPFAIL_SEED` says another.
pub(crate) fn seed() -> u64 {
    std::env::var("TEMPFAIL_SEED").ok().map_or(SEED, |seed| seed.parse().expect("TEMPFAIL_SEED is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_bound_is_a_fault_and_a_held_one_is_not() {
        let bounds = Bounds::of("nobody", 1).at_most("a", 2.0, 1.0).at_least("b", 2.0, 1.0).told("c", 9.0);
        let faults: Vec<bool> = bounds.rows.iter().map(|row| bounds.fault(row).is_some()).collect();
        assert_eq!(faults, [true, false, false]);
        assert!(bounds.line(&bounds.rows[0]).ends_with("MISSED"));
    }

    #[test]
    fn a_known_miss_must_miss() {
        let Some(miss) = KNOWN_MISSES.first() else { return };
        let missed = Bounds::of(miss.adversary, 1).at_most(miss.what, 2.0, 1.0);
        assert_eq!(missed.fault(&missed.rows[0]), None);
        let held = Bounds::of(miss.adversary, 1).at_most(miss.what, 0.0, 1.0);
        assert!(held.fault(&held.rows[0]).is_some());
        assert_ne!(Bounds::of(miss.adversary, 1).unknown_misses().count(), 0, "it must be about a row");
    }

    #[test]
    fn rows_are_json_even_without_end() {
        let bounds = Bounds::of("nobody", 7).at_most("delay", f64::INFINITY, 300.0);
        let row: serde_json::Value = serde_json::from_str(&bounds.json(&bounds.rows[0])).unwrap();
        assert_eq!((&row["measured"], &row["holds"]), (&serde_json::Value::Null, &false.into()));
        assert_eq!((&row["at_most"], &row["seed"]), (&300.0.into(), &7.into()));
    }
}
