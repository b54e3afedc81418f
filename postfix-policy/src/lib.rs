//! Postfix policy delegation (`check_policy_service`): one of the two front ends of tempfail.
//!
//! A Postfix SMTP server process asks over a connection that it keeps: lines of `name=value`, an empty line;
//! the answer is `action=...` and an empty line. [`wire`] reads and writes those bytes, [`translate`] turns a
//! request into [`policy_core::facts::Facts`], and [`serve`] runs both over a listening socket.
//!
//! What can be answered is answered. A request that cannot be read gets no answer at all, because whatever
//! would be invented, Postfix would act on; it then applies the operator's `default_action`.
#![forbid(unsafe_code)]

pub mod server;
pub mod translate;
pub mod wire;

mod accept;
mod connection;
mod session;

pub use server::{Limits, Socket, serve};
