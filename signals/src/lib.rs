//! What can be known about a client and a message beyond what the mail server says: from the DNS, and from
//! the message itself.
#![forbid(unsafe_code)]

pub mod authentication;
pub mod content;
pub mod dns;
