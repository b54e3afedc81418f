//! The stage: the daemon, its clock, and one mail on its way through it.

use super::DemoError;
use super::page::Page;
use super::wire::{self, Host, Mail, PolicyClient, Port};
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::explain::Explained;
use crate::recent::Record;
use policy_core::time::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of the demonstration: the defaults, but for what the story needs.
const CONFIG: &str = r#"
mode = "enforce"
spamtraps = ["trap@dest.example"]
signals.enabled = false
first_contact.suspicious = 0.8
[policy]
listen = ["127.0.0.1:0"]
[milter]
listen = ["127.0.0.1:0"]
[admin]
listen = []
[memory]
max = "64MiB"
[[gateway]]
domain = "bank.example"
networks = ["203.0.113.0/28"]
"#;

/// The first midnight, from which the story's days are counted.
const MIDNIGHT: Timestamp = Timestamp::from_secs(20_000 * 86_400);
/// It begins at nine in the morning.
const MORNING: Duration = Duration::from_secs(9 * 3600);

/// Through which protocol a mail is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Policy,
    Milter,
}

/// The running daemon and everything around it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) page: Page,
    daemon: Daemon,
    clock: ManualClock,
    policy: PolicyClient,
    milter: SocketAddr,
    port: u16,
}

impl Stage {
    /// Starts the daemon.
    pub(super) async fn set() -> Result<Self, DemoError> {
        let clock = Clock::manual(MIDNIGHT.after(MORNING));
        let daemon = Daemon::start(Config::parse("demo", CONFIG)?.config, clock.clone()).await?;
        let no_port = || DemoError::Answer("no port".to_owned());
        let policy = *daemon.policy_addrs().first().ok_or_else(no_port)?;
        let milter = *daemon.milter_addrs().first().ok_or_else(no_port)?;
        let policy = PolicyClient::connect(policy).await?;
        Ok(Self { page: Page::new(), daemon, clock, policy, milter, port: 1024 })
    }

    /// Where the daemon listens: policy service and milter.
    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.daemon.policy_addrs().first().copied().unwrap_or(self.milter), self.milter)
    }

    /// Time passes.
    pub(super) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Sends a mail; true when it is in.
    pub(super) async fn send(&mut self, over: Over, host: &Host, mail: &Mail) -> Result<bool, DemoError> {
        Ok(wire::is_in(&self.heard(over, host, mail).await?))
    }

    /// Sends a mail and shows the verdict.
    pub(super) async fn show(&mut self, over: Over, host: &Host, mail: &Mail) -> Result<(), DemoError> {
        let heard = self.heard(over, host, mail).await?;
        let name = match over {
            Over::Policy => "policy",
            Over::Milter => "milter",
        };
        let Some(record) = self.latest(host) else { return Err(DemoError::Answer(heard)) };
        self.page.verdict(record.at.since(MIDNIGHT), name, &heard, &record)?;
        Ok(())
    }

    async fn heard(&mut self, over: Over, host: &Host, mail: &Mail) -> Result<String, DemoError> {
        self.port = self.port.checked_add(1).unwrap_or(1024);
        let port = Port(self.port);
        match over {
            Over::Policy => self.policy.send(host, mail, port).await,
            Over::Milter => wire::milter(self.milter, host, mail, port).await,
        }
    }

    fn latest(&self, host: &Host) -> Option<Arc<Record>> {
        self.daemon.engine().newest().find(|record| host.ip() == Some(record.facts.client.address))
    }

    /// What is held of a host, as after its latest mail.
    pub(super) fn explain(&self, host: &Host) -> Option<Explained> {
        let record = self.latest(host)?;
        Some(Explained::of_decision(self.daemon.engine(), host.address, &record))
    }

    /// The daemon ends.
    pub(super) async fn strike(self) {
        drop(self.policy);
        self.daemon.shutdown().await;
    }
}
