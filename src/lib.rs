//! The tempfail program as a library.
