//! What others do, on the same recording: a comparison, and no part of the product.
//!
//! Scorers are played like the engine, with labels as late as its own. Greylisting and a fixed limit know no
//! score: they defer or they do not, so the share of ham and of spam that they defer is told.
//!
//! Known limit: these are the methods' published rules as papers and manuals give them, without the rest of
//! the systems they come from.

mod counts;
mod defer;
mod txrep;

pub use counts::{AddressRatio, GbUdb, Shrunk};
pub use defer::{Deferred, FIXED_LIMIT, fixed_limit, greylisting};
pub use txrep::TxRep;

use super::feedback::Feedback;
use super::ranking::{Scorer, rank};
use super::report::Ranking;
use super::trace::Row;

/// All of them, on one recording.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Baselines {
    /// The share of spam of an address.
    pub address_ratio: Ranking,
    /// The same, leaning on its prefix.
    pub address_and_prefix: Ranking,
    /// GBUdb's rule.
    pub gbudb: Ranking,
    /// TxRep's rule.
    pub txrep: Ranking,
    /// Greylisting.
    pub greylisting: Deferred,
    /// A fixed limit by address.
    pub fixed_limit: Deferred,
}

impl Baselines {
    /// Plays them.
    pub fn of(rows: &[Row], feedback: Feedback) -> Self {
        Self {
            address_ratio: ranking(rows, feedback, AddressRatio::default()),
            address_and_prefix: ranking(rows, feedback, Shrunk::default()),
            gbudb: ranking(rows, feedback, GbUdb::default()),
            txrep: ranking(rows, feedback, TxRep::default()),
            greylisting: greylisting(rows),
            fixed_limit: fixed_limit(rows),
        }
    }

    /// Those that have a score, by name.
    pub fn rankings(&self) -> [(&'static str, &Ranking); 4] {
        [
            ("address ratio", &self.address_ratio),
            ("address and /24", &self.address_and_prefix),
            ("GBUdb style", &self.gbudb),
            ("TxRep style", &self.txrep),
        ]
    }
}

fn ranking(rows: &[Row], feedback: Feedback, mut scorer: impl Scorer) -> Ranking {
    Ranking::of(&rank(rows, feedback, &mut scorer, || ()))
}
