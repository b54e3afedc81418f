//! Fits what the model knows when it starts: `policy-core/src/weights.rs` holds what this prints.
//!
//! The model lives through the recording some times over, each time with an empty ledger and with the
//! weights and the traits' evidence of the time before. Only what generalises is printed: weights of
//! features, and the evidence of trait classes; top-level domains are left to each server's own mail.

use super::engine::Engine;
use super::ranking::{Feedback, rank};
use super::trace::Row;
use policy_core::presentation::{Trait, TraitSet};
use policy_core::weights::Start;
use std::fmt::Write;

/// Trait values before the top-level domains.
fn classes() -> usize {
    // The last three traits are the top-level domains, in tables of equal length at the end.
    let last = TraitSet::COUNT - 3;
    Trait::start_of(last)
}

/// The start that `epochs` lives through a recording lead to.
pub fn fit(rows: &[Row], epochs: usize) -> Start {
    let mut start = Start::flat();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return start };
    for _ in 0..epochs {
        let mut engine = Engine::new(super::STATE_BYTES, first.time);
        engine.state = engine.state.starting_from(&start, first.time);
        rank(rows, Feedback::default(), &mut engine, |_| ());
        start = engine.state.model_start(last.time);
        start.odds[classes()..].fill(0.0);
    }
    start
}

/// The start as Rust tables.
pub fn tables(start: &Start) -> String {
    let mut text = String::new();
    for (name, values) in [("WEIGHTS", &start.weights[..]), ("ODDS", &start.odds[..classes()])] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "const {name}: [f32; {}] = [", values.len());
        for line in values.chunks(8) {
            let numbers: Vec<String> = line.iter().map(|value| format!("{value:.2}")).collect();
            let _ = writeln!(text, "    {},", numbers.join(", "));
        }
        text.push_str("];\n");
    }
    text
}
