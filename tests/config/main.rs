//! The command line's view of configurations.

// Marked as test code, so that helpers too may assert by panicking.
#[cfg(test)]
mod findings;
