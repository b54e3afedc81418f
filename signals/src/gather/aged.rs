//! How old answers are that something was concluded from.

use crate::dns::{Answer, Client, Dns, Mx, Name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// A DNS that remembers when the oldest of its answers came.
#[derive(Clone)]
pub(super) struct Aged<D> {
    dns: D,
    oldest: Arc<Mutex<Option<Instant>>>,
}

impl<D> Aged<D> {
    pub(super) fn new(dns: D) -> Self {
        Self { dns, oldest: Arc::default() }
    }

    /// When the oldest answer came; `None` when none had records.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, answer: Answer<T>) -> Answer<T> {
        if let Some(came) = answer.as_ref().ok().and_then(|found| Instant::now().checked_sub(found.age)) {
            let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
            *oldest = Some(oldest.map_or(came, |oldest| oldest.min(came)));
        }
        answer
    }
}

impl<D: Dns> Dns for Aged<D> {
    fn on_behalf_of(&self, client: Client) -> Self {
        Self { dns: self.dns.on_behalf_of(client), oldest: Arc::clone(&self.oldest) }
    }

    fn knows_a(&self, name: &Name) -> bool {
        self.dns.knows_a(name)
    }

    async fn a(&self, name: &Name) -> Answer<Ipv4Addr> {
        self.note(self.dns.a(name).await)
    }

    async fn aaaa(&self, name: &Name) -> Answer<Ipv6Addr> {
        self.note(self.dns.aaaa(name).await)
    }

    async fn mx(&self, name: &Name) -> Answer<Mx> {
        self.note(self.dns.mx(name).await)
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Name> {
        self.note(self.dns.ptr(address).await)
    }

    async fn txt(&self, name: &Name) -> Answer<Box<[u8]>> {
        self.note(self.dns.txt(name).await)
    }
}
