//! An SMTP client for tests: it says what it is told to and shows exactly what came back.
//!
//! - [`SmtpClient`] sends one command at a time, well-formed or not.
//! - [`Visit`] is a whole session with one message; its [`Outcome`] keeps every command and reply.
//! - [`Xclient`] tells Postfix to take the client for another one.
//!
//! Known limits: no TLS, no authentication, no chunking; pipelining only by [`SmtpClient::send_raw`].

mod client;
mod mail;
mod outcome;
mod reply;
#[cfg(test)]
mod tests;
mod visit;
mod xclient;

pub use client::{SmtpClient, SmtpError};
pub use mail::Mail;
pub use outcome::{Exchange, Outcome, Stage};
pub use reply::Reply;
pub use visit::Visit;
pub use xclient::Xclient;
