//! The bounds beside each adversary: asserted, printed as a table, and written for programs to read.
//!
//! `cargo test --test adversaries -- --nocapture` shows the table. With `TEMPFAIL_ADVERSARIES=FILE` each row
//! is appended to FILE as one JSON object a line, before anything is asserted: two such files compare two
//! models.

use std::fs::OpenOptions;
use std::io::Write as _;

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

impl Row {
    fn holds(&self) -> bool {
        self.bound.holds(self.measured)
    }

    fn word(&self) -> &'static str {
        match (self.bound, self.holds()) {
            (Bound::None, _) => "",
            (_, true) => "held",
            (_, false) => "MISSED",
        }
    }
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
        println!("{}", lines.join("\n"));
        if let Some(file) = std::env::var_os(FILE) {
            let json: String = self.rows.iter().map(|row| self.json(row) + "\n").collect();
            let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
            // One write a test, so that tests which end together do not mix their lines.
            file.write_all(json.as_bytes()).unwrap();
        }
        let missed = self.missed();
        assert!(missed.is_empty(), "seed {}:\n{}", self.seed, missed.join("\n"));
    }

    fn missed(&self) -> Vec<String> {
        self.rows.iter().filter(|row| !row.holds()).map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &Row) -> String {
        let (measured, bound) = (number(row.measured), row.bound.words());
        let line = format!("{:<30} {:<46} {measured:>10} {bound:>12}  ", self.adversary, row.what);
        (line + row.word()).trim_end().to_owned()
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
            "at_least": least, "at_most": most, "holds": row.holds(),
        })
        .to_string()
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

/// The seed of a run: 1, unless `TEMPFAIL_SEED` says another.
pub(crate) fn seed() -> u64 {
    std::env::var("TEMPFAIL_SEED").ok().map_or(1, |seed| seed.parse().expect("TEMPFAIL_SEED is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_missed_is_told_and_a_figure_never_is() {
        let bounds = Bounds::of("nobody", 1).at_most("a", 2.0, 1.0).at_least("b", 2.0, 1.0).told("c", 9.0);
        let missed = bounds.missed();
        assert!(missed.len() == 1 && missed[0].ends_with("MISSED"), "{missed:?}");
    }

    #[test]
    fn rows_are_json_even_without_end() {
        let bounds = Bounds::of("nobody", 7).at_most("delay", f64::INFINITY, 300.0);
        let row: serde_json::Value = serde_json::from_str(&bounds.json(&bounds.rows[0])).unwrap();
        assert_eq!((&row["measured"], &row["holds"]), (&serde_json::Value::Null, &false.into()));
        assert_eq!((&row["at_most"], &row["seed"]), (&300.0.into(), &7.into()));
    }
}
