//! A DNS that says what a test wrote down, and counts the questions.

use crate::dns::{Answer, Dns, Failure, Found, Mx, Name};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Names without an entry do not exist.
#[derive(Clone, Default)]
pub(crate) struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    addresses: HashMap<String, Result<Vec<IpAddr>, Failure>>,
    pointers: HashMap<IpAddr, Result<Vec<Name>, Failure>>,
    hanging: HashSet<String>,
    kept: HashSet<String>,
    asked: Vec<String>,
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn key(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase()
}

fn found<T>(records: Vec<T>) -> Answer<T> {
    if records.is_empty() {
        return Err(Failure::NoData);
    }
    Ok(Found { records: records.into(), age: Duration::ZERO })
}

impl Scripted {
    pub(crate) fn has(&self, host: &str, addresses: &[&str]) -> &Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.0.lock().unwrap().addresses.insert(key(&name(host)), Ok(addresses));
        self
    }

    pub(crate) fn fails(&self, host: &str, failure: Failure) -> &Self {
        self.0.lock().unwrap().addresses.insert(key(&name(host)), Err(failure));
        self
    }

    /// Questions for it are never answered.
    pub(crate) fn hangs(&self, host: &str) -> &Self {
        self.0.lock().unwrap().hanging.insert(key(&name(host)));
        self
    }

    /// Its answer is kept already.
    pub(crate) fn keeps(&self, host: &str) -> &Self {
        self.0.lock().unwrap().kept.insert(key(&name(host)));
        self
    }

    pub(crate) fn points(&self, address: &str, names: Result<&[&str], Failure>) -> &Self {
        let names = names.map(|names| names.iter().map(|text| name(text)).collect());
        self.0.lock().unwrap().pointers.insert(address.parse().unwrap(), names);
        self
    }

    /// A name that no text can write.
    pub(crate) fn point(&self, address: &str, name: Name) {
        self.0.lock().unwrap().pointers.insert(address.parse().unwrap(), Ok(vec![name]));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    async fn answer(&self, name: &Name) -> Result<Vec<IpAddr>, Failure> {
        let hangs = self.0.lock().unwrap().hanging.contains(&key(name));
        if hangs {
            std::future::pending::<()>().await;
        }
        self.addresses(name)
    }

    fn addresses(&self, name: &Name) -> Result<Vec<IpAddr>, Failure> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(key(name));
        script.addresses.get(&key(name)).cloned().unwrap_or(Err(Failure::NoName))
    }
}

impl Dns for Scripted {
    fn knows_a(&self, name: &Name) -> bool {
        self.0.lock().unwrap().kept.contains(&key(name))
    }

    async fn a(&self, name: &Name) -> Answer<Ipv4Addr> {
        let v4 = |address| if let IpAddr::V4(v4) = address { Some(v4) } else { None };
        found(self.answer(name).await?.into_iter().filter_map(v4).collect())
    }

    async fn aaaa(&self, name: &Name) -> Answer<Ipv6Addr> {
        let v6 = |address| if let IpAddr::V6(v6) = address { Some(v6) } else { None };
        found(self.answer(name).await?.into_iter().filter_map(v6).collect())
    }

    async fn mx(&self, _: &Name) -> Answer<Mx> {
        Err(Failure::NoData)
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Name> {
        let pointers = self.0.lock().unwrap().pointers.get(&address).cloned();
        found(pointers.unwrap_or(Err(Failure::NoName))?)
    }

    async fn txt(&self, _: &Name) -> Answer<Box<[u8]>> {
        Err(Failure::NoData)
    }
}
