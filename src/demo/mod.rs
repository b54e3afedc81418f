//! `tempfail demo`: the daemon as it is, on loopback ports of its own, and a story played through both of its
//! sockets.
//!
//! Nothing is acted: the verdicts are those of the running daemon, on what the protocols' clients sent it. Only
//! the clock is moved by hand, so that weeks pass in a second.
//!
//! | module | tells |
//! | --- | --- |
//! | `story` | who comes, and what they do |
//! | `stage` | the daemon, its clock, and one mail on its way through it |
//! | `wire` | the other end of both protocols |
//! | `page` | what the reader sees |

mod page;
mod stage;
mod story;
mod wire;

use crate::config::ConfigError;
use crate::daemon::StartError;
use std::io;
use thiserror::Error;

/// Why the demonstration ended early.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Its own configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon did not start.
    #[error("the daemon did not start: {0}")]
    Start(#[from] StartError),
    /// A socket or the terminal failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The milter connection failed.
    #[error("milter: {0}")]
    Milter(#[from] indymilter_test::TestError),
    /// The daemon gave an answer that the protocol does not know, or none.
    #[error("the daemon answered {0:?}")]
    Answer(String),
}

/// Plays the whole story on standard output.
///
/// # Errors
///
/// No loopback port is to be had, the daemon failed, or nobody reads the output.
pub fn run() -> Result<(), DemoError> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(story::tell())
}
