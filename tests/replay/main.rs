//! `tempfail replay`, as an operator or a program runs it.

// Marked as test code, so that helpers too may assert by panicking.
#[cfg(test)]
mod errors;
#[cfg(test)]
mod maillog;
#[cfg(test)]
mod run;
#[cfg(test)]
mod traces;
