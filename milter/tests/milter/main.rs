//! The milter front end against a real server on port 0.

#[cfg(test)]
mod negotiation;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod support;
