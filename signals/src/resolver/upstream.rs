//! The servers: how hickory is set up, and what its results mean.
//!
//! hickory sends, retries, falls back to TCP and follows aliases. It caches nothing here, since it could not
//! say how old an answer is and forgets failures at once. What it hands back may hold any records that the
//! server chose to send: only those at the end of the chain of aliases from the name asked for count.

use super::cache::Outcome;
use super::question::{Question, Records};
use super::{ResolverError, ResolverOptions};
use crate::dns::{Failure, Name};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// Aliases followed from a name: more than hickory does, so that its bound is the one that counts.
const MAX_ALIASES: usize = 16;
/// Records kept of one answer.
const MAX_RECORDS: usize = 256;

/// `resolv.conf` names no port.
const DNS_PORT: u16 = 53;

/// The servers asked.
#[derive(Debug)]
pub(super) struct Upstream {
    hickory: TokioResolver,
    /// How long one question may take, with all retries and aliases.
    patience: Duration,
}

/// What a question came to, and how long the server says that it is good for.
pub(super) struct Reply {
    pub(super) outcome: Outcome,
    pub(super) ttl: Option<u32>,
}

impl Reply {
    /// None came in time.
    pub(super) const LATE: Self = Self { outcome: Err(Failure::TimedOut), ttl: None };

    /// Whether the servers know the answer, be it that there is nothing.
    pub(super) fn is_answer(&self) -> bool {
        self.outcome.as_ref().err().is_none_or(|failure| failure.is_void())
    }
}

impl Upstream {
    pub(super) fn new(options: &ResolverOptions) -> Result<Self, ResolverError> {
        let config = configuration(&options.servers)?;
        // mail-auth switches TLS on in hickory, which then wants the system's certificates and fails without
        // any. No server is asked over TLS, so an empty store does.
        let tls =
            rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
        let hickory = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(hickory_options(options))
            .with_tls_config(tls)
            .build()
            .map_err(|error| ResolverError::Configuration(error.to_string()))?;
        let tries = u32::from(options.retries).saturating_add(1);
        // An alias to another zone costs a question of its own.
        let patience = options.timeout.saturating_mul(tries).saturating_mul(2);
        Ok(Self { hickory, patience })
    }

    /// How long a question may take at most.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) async fn ask(&self, question: &Question) -> Reply {
        match self.look_up(question.name.clone(), question.kind).await {
            Ok(lookup) => read(question, &lookup),
            Err(reply) => reply,
        }
    }

    /// Whether the servers know the root's servers, or that there are none.
    pub(super) async fn answers_for_root(&self) -> bool {
        self.look_up(Name::root(), RecordType::NS).await.map_or_else(|reply| reply.is_answer(), |_| true)
    }

    async fn look_up(&self, name: Name, kind: RecordType) -> Result<Lookup, Reply> {
        match timeout(self.patience, self.hickory.lookup(name, kind)).await {
            Ok(lookup) => lookup.map_err(|error| failure(&error)),
            Err(_) => Err(Reply::LATE),
        }
    }
}

/// The servers that the system's `resolv.conf` names now.
///
/// # Errors
///
/// It cannot be read.
pub fn system_servers() -> Result<Vec<SocketAddr>, ResolverError> {
    let (system, _) = read_system_conf().map_err(|error| ResolverError::Configuration(error.to_string()))?;
    Ok(system.name_servers.iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect())
}

fn configuration(servers: &[SocketAddr]) -> Result<ResolverConfig, ResolverError> {
    let servers = if servers.is_empty() { system_servers()? } else { servers.to_vec() };
    let servers = servers.into_iter().map(name_server).collect();
    // No domain and no search list: every name is absolute.
    Ok(ResolverConfig::from_parts(None, Vec::new(), servers))
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = server.port();
    tcp.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
}

fn hickory_options(options: &ResolverOptions) -> ResolverOpts {
    let mut opts = ResolverOpts::default();
    opts.timeout = options.timeout;
    opts.attempts = usize::from(options.retries);
    opts.ndots = 0;
    opts.use_hosts_file = ResolveHosts::Never;
    opts.cache_size = 0;
    // A server that does not give the case back is asked again over TCP.
    opts.case_randomization = true;
    // Per connection over TCP; more are refused at once.
    opts.max_active_requests = options.concurrent.max(32);
    opts
}

fn read(question: &Question, lookup: &Lookup) -> Reply {
    let (data, ttl) = end_of_chain(question, lookup.answers());
    let outcome = Records::read(question.kind, &data).ok_or(Failure::ServerFailed);
    Reply { outcome, ttl }
}

/// The data of the name that the aliases lead to, and the least of all the times to live on the way.
fn end_of_chain<'a>(question: &Question, answers: &'a [Record]) -> (Vec<&'a RData>, Option<u32>) {
    let mut name: &Name = &question.name;
    let mut ttl = None;
    let shorter = |ttl: Option<u32>, record: &Record| Some(ttl.map_or(record.ttl, |ttl| ttl.min(record.ttl)));
    for _ in 0..MAX_ALIASES {
        let of_name = || answers.iter().filter(|record| record.name.eq_ignore_root(name));
        let mut wanted = of_name().filter(|record| record.record_type() == question.kind).peekable();
        if wanted.peek().is_some() {
            let records: Vec<&Record> = wanted.take(MAX_RECORDS).collect();
            let ttl = records.iter().fold(ttl, |ttl, record| shorter(ttl, record));
            return (records.into_iter().map(|record| &record.data).collect(), ttl);
        }
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((record, &target.0)),
            _ => None,
        });
        let Some((record, target)) = alias else { break };
        ttl = shorter(ttl, record);
        name = target;
    }
    (Vec::new(), ttl)
}

fn failure(error: &NetError) -> Reply {
    let (failure, ttl) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => (Failure::NoName, none.negative_ttl),
            ResponseCode::NoError => (Failure::NoData, none.negative_ttl),
            _ => (Failure::ServerFailed, None),
        },
        NetError::Timeout | NetError::Io(_) | NetError::NoConnections | NetError::Busy => {
            (Failure::TimedOut, None)
        }
        _ => (Failure::ServerFailed, None),
    };
    Reply { outcome: Err(failure), ttl }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn address(of: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(of), ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn alias(of: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn addresses(answers: &[Record]) -> (Option<Records>, Option<u32>) {
        let question = Question::new(&name("A.example."), RecordType::A);
        let (data, ttl) = end_of_chain(&question, answers);
        (Records::read(RecordType::A, &data), ttl)
    }

    fn found(last: &[u8]) -> Option<Records> {
        Some(Records::A(last.iter().map(|&last| [192, 0, 2, last].into()).collect()))
    }

    #[test]
    fn only_the_end_of_the_chain_counts() {
        let answers = [
            address("liar.example.", 1, 66),
            alias("a.example.", 300, "b.example."),
            address("c.example.", 60, 1),
            alias("B.example.", 30, "c.example."),
            address("c.example.", 90, 2),
        ];
        assert_eq!(addresses(&answers), (found(&[1, 2]), Some(30)));
        assert_eq!(addresses(&answers[..1]), (None, None));
    }

    #[test]
    fn circles_and_endless_chains_end() {
        assert_eq!(addresses(&[alias("a.example.", 9, "a.example.")]).0, None);
        let chain: Vec<Record> = (0..40)
            .map(|n| {
                let of = if n == 0 { "a.example.".to_owned() } else { format!("n{n}.example.") };
                alias(&of, 9, &format!("n{}.example.", n + 1))
            })
            .collect();
        assert_eq!(addresses(&chain).0, None);
    }

    #[test]
    fn an_answer_is_cut_where_it_is_too_long() {
        let answers: Vec<Record> = (0..5000).map(|_| address("a.example.", 5, 1)).collect();
        assert_eq!(addresses(&answers).0, found(&[1; MAX_RECORDS]));
    }

    proptest! {
        #[test]
        fn any_chain_ends(links in proptest::collection::vec((0u8..6, 0u8..6, any::<bool>()), 0..60)) {
            let host = |n: u8| if n == 0 { "a.example.".to_owned() } else { format!("h{n}.example.") };
            let answers: Vec<Record> = links
                .iter()
                .map(|&(from, to, is_alias)| {
                    if is_alias { alias(&host(from), 1, &host(to)) } else { address(&host(from), 1, to) }
                })
                .collect();
            addresses(&answers);
        }
    }
}
