//! The tempfail program as a library.

pub mod replay;
