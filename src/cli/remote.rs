//! Commands that talk to the running daemon: how they find it, and how they end.

use super::output::{EX_CONFIG, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, complain, failed};
use crate::address::Address;
use crate::admin::client::{Client, ClientError};
use crate::config::{self, Config, ConfigError};
use clap::Args;
use hyper::StatusCode;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the daemon is.
#[derive(Debug, Args)]
pub(super) struct Daemon {
    /// Where the daemon's admin interface listens: "127.0.0.1:10423" or "unix:/run/tempfail/admin.sock". Without it,
    /// where the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<Address>,
    /// The file of the token that changes need over TCP. Without it, where the configuration says.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The configuration of the daemon. Without it, /etc/tempfail/tempfail.toml is read if it exists.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Daemon {
    /// Runs a command that talks to it, and says how that ended.
    pub(super) fn talk<F: Future<Output = Result<ExitCode, ClientError>>>(
        &self,
        command: impl FnOnce(Client) -> F,
    ) -> ExitCode {
        self.talk_or(EX_CONFIG, command)
    }

    /// The same; with a configuration that cannot be used it ends with this status.
    pub(super) fn talk_or<F: Future<Output = Result<ExitCode, ClientError>>>(
        &self,
        bad_config: u8,
        command: impl FnOnce(Client) -> F,
    ) -> ExitCode {
        match self.client() {
            Ok(client) => Self::talk_with(client, command),
            Err(error) => {
                complain(&error);
                ExitCode::from(bad_config)
            }
        }
    }

    /// The same; with a configuration that cannot be used the daemon is looked for where it is by default.
    pub(super) fn talk_anyway<F: Future<Output = Result<ExitCode, ClientError>>>(
        &self,
        command: impl FnOnce(Client) -> F,
    ) -> ExitCode {
        let client = self.client().unwrap_or_else(|error| {
            complain(&error);
            complain(&"the daemon is looked for where it listens by default, or where --admin says");
            self.client_of(Config::default())
        });
        Self::talk_with(client, command)
    }

    fn talk_with<F: Future<Output = Result<ExitCode, ClientError>>>(
        client: Client,
        command: impl FnOnce(Client) -> F,
    ) -> ExitCode {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(command(client)).unwrap_or_else(|error| ended_with(&error)),
            Err(error) => failed(&error),
        }
    }

    /// Asks it something, for a command that goes on without it.
    pub(super) fn ask<A, F: Future<Output = Result<A, ClientError>>>(
        &self,
        question: impl FnOnce(Client) -> F,
    ) -> Result<A, ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let client = self.client().map_err(|error| broken(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| broken(&error))?.block_on(question(client))
    }

    /// The configuration of the daemon.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let file = config::file(self.config.as_deref());
        file.map_or_else(|| Ok(Config::default()), |file| Config::load(&file).map(|checked| checked.config))
    }

    fn client(&self) -> Result<Client, ConfigError> {
        let config = match config::file(self.config.as_deref()) {
            Some(file) if self.admin.is_none() || self.token_file.is_none() => Config::load(&file)?.config,
            _ => Config::default(),
        };
        Ok(self.client_of(config))
    }

    fn client_of(&self, config: Config) -> Client {
        let state = config.state.resolved(None, Path::new(config::DEFAULT_DIRECTORY));
        let token = self.token_file.clone().or_else(|| config.admin.token.path(state.path()));
        let addresses = self.admin.clone().map_or(config.admin.listen, |address| vec![address]);
        Client::new(addresses, token)
    }
}

/// Tells an error, and gives the status that goes with it.
fn ended_with(error: &ClientError) -> ExitCode {
    complain(error);
    match error {
        ClientError::Unreachable(_) => ExitCode::from(EX_UNAVAILABLE),
        ClientError::Forbidden(_) | ClientError::NoToken { .. } => ExitCode::from(EX_NOPERM),
        ClientError::Refused { status, .. } => match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ExitCode::from(EX_NOPERM),
            StatusCode::BAD_REQUEST => ExitCode::from(EX_USAGE),
            StatusCode::SERVICE_UNAVAILABLE => ExitCode::from(EX_UNAVAILABLE),
            _ => ExitCode::FAILURE,
        },
        ClientError::Broken(_) => ExitCode::FAILURE,
    }
}
