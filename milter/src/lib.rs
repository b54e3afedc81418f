//! The milter front end: Postfix and Sendmail ask while the client is on the line.
//!
//! A milter connection carries one SMTP session. Its events become [`Facts`](policy_core::facts::Facts), the
//! [`Engine`](policy_core::engine::Engine) answers, and the answer becomes a milter reply; what became of a
//! transaction goes back to the engine as a report.
//!
//! | module | tells |
//! | --- | --- |
//! | `negotiate` | which events, options and macros are asked for |
//! | `session` | what is known of a session and of a transaction, and when each ends |
//! | `callbacks` | which event asks, which reports |
//! | `translate`, `address` | macros and arguments to facts |
//! | `reply` | an answer to a milter reply |
//! | `inspect`, `filter`, `auth_results` | what is read from a message's header, and whose word counts |
//! | `server`, `listen`, `stream`, `open` | accepting, limits, and leaving without cutting sessions off |
//!
//! The invariant: whatever the engine does not refuse in words goes on, also when the client's address is not
//! known, the engine is silent, or an event comes out of order.
//!
//! Known limits: the replies at connect are not used, because the reply's text is lost there on both mail
//! servers; and a client that leaves before HELO is never seen.
#![forbid(unsafe_code)]

mod address;
mod auth_results;
mod callbacks;
mod filter;
mod inspect;
mod listen;
mod negotiate;
mod open;
mod options;
mod plain;
mod reply;
mod server;
mod session;
mod stream;
mod translate;

pub use filter::{FilterHeader, Forgeries, Reading};
pub use options::{Limits, Options};
pub use server::{Socket, serve};
