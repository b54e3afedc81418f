//! Mail servers as an operator configures them: the lines that make them ask, and what is in force.

pub(crate) mod lines;
pub(crate) mod list;
pub(crate) mod postfix;
pub(crate) mod sendmail;
