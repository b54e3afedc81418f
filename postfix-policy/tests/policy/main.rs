//! The server as Postfix meets it: over real sockets, with an engine that tells what it was asked.

// Marked as test code, so that helpers too may assert by panicking.
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod support;
