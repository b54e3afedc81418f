//! The tempfail program.
fn main() {}
