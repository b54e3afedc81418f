//! Adversaries, and honest senders that look like them, against the decisions of an enforcing server.
//!
//! Each test plays one of them against a server with a month of ordinary life and asserts bounds that a mail
//! administrator would ask for; none follows what the model happens to do. See [`table`] for how to read the
//! figures and [`simulator`] for what is played.
#![allow(clippy::unwrap_used, clippy::expect_used)] // assertions, in helpers too

mod bots;
mod calm;
mod farming;
mod flood;
mod forgery;
mod honest;
mod pools;
mod rotation;
mod simulator;
mod snowshoe;
mod table;
mod turned;
