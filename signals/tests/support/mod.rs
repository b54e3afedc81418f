//! A DNS server in the process of the test, that does what it is told: answer, lie, keep silent, wait.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, reason = "tests assert by panicking")]

use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::{Name, RData, Record, RecordType, rdata};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;
use signals::resolver::{BreakerOptions, Resolver, ResolverOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
}

impl Asked {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_root(&self::name(name))
    }
}

/// What the server says to a question.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Records(Vec<Record>),
    /// With an SOA record for NXDOMAIN and NOERROR, so that the answer has a time to live.
    Code(ResponseCode),
    /// Without any record.
    Bare(ResponseCode),
    /// Cut to nothing, if asked over UDP.
    Truncated(Vec<Record>),
    Nothing,
}

pub(crate) fn no_name() -> Say {
    Say::Code(ResponseCode::NXDomain)
}

pub(crate) fn no_data() -> Say {
    Say::Code(ResponseCode::NoError)
}

pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(crate) fn record(of: &str, data: RData) -> Record {
    Record::from_rdata(name(of), 300, data)
}

pub(crate) fn address(of: &str, address: &str) -> Record {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => record(of, RData::A(v4.into())),
        IpAddr::V6(v6) => record(of, RData::AAAA(v6.into())),
    }
}

pub(crate) fn addresses(of: &Name, these: &[&str]) -> Say {
    Say::Records(these.iter().map(|text| address(&of.to_ascii(), text)).collect())
}

pub(crate) fn alias(of: &str, target: &str) -> Record {
    record(of, RData::CNAME(rdata::CNAME(name(target))))
}

pub(crate) fn pointer(of: &Name, target: &str) -> Record {
    Record::from_rdata(of.clone(), 300, RData::PTR(rdata::PTR(name(target))))
}

pub(crate) fn text(of: &str, parts: &[&[u8]]) -> Record {
    record(of, RData::TXT(rdata::TXT::from_bytes(parts.to_vec())))
}

pub(crate) fn mx(of: &str, preference: u16, exchange: &str) -> Record {
    record(of, RData::MX(rdata::MX::new(preference, name(exchange))))
}

type Script = Box<dyn Fn(&Asked) -> Say + Send + Sync>;

struct Shared {
    script: Script,
    asked: watch::Sender<Vec<Asked>>,
    held: watch::Sender<bool>,
}

/// The server; it ends with the value.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestServer {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: watch::Sender::new(Vec::new()),
            held: watch::Sender::new(false),
        });
        let mut server = Server::new(Handler(Arc::clone(&shared)));
        server.register_socket(udp);
        server.register_listener(tcp, DEADLINE, 4096);
        let task = tokio::spawn(async move { drop(server.block_until_done().await) });
        Self { address, shared, task }
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.asked.borrow().len()
    }

    /// Waits until so many questions came.
    pub(crate) async fn has_been_asked(&self, n: usize) {
        let mut asked = self.shared.asked.subscribe();
        timeout(DEADLINE, asked.wait_for(|asked| asked.len() >= n)).await.expect("asked in time").unwrap();
    }

    /// Holds every answer back, or lets them go.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Options of a resolver that asks this server and nearly never gives up.
    pub(crate) fn options(&self) -> ResolverOptions {
        ResolverOptions { timeout: DEADLINE, retries: 0, ..hurried(self.address) }
    }

    /// Options of one that soon gives up.
    pub(crate) fn hurried(&self) -> ResolverOptions {
        hurried(self.address)
    }

    pub(crate) fn resolver(&self) -> Resolver {
        Resolver::new(self.options()).unwrap()
    }
}

pub(crate) fn hurried(server: SocketAddr) -> ResolverOptions {
    ResolverOptions {
        timeout: Duration::from_millis(200),
        breaker: BreakerOptions { failures: 0, ..BreakerOptions::default() },
        ..ResolverOptions::named([server])
    }
}

/// A port that is free over UDP may be taken over TCP.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free");
}

struct Handler(Arc<Shared>);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let info = request.request_info().expect("one question");
        let asked = Asked {
            name: Name::from(info.query.name().clone()),
            kind: info.query.query_type(),
            tcp: info.protocol == Protocol::Tcp,
        };
        let said = (self.0.script)(&asked);
        let tcp = asked.tcp;
        self.0.asked.send_modify(|all| all.push(asked));
        drop(self.0.held.subscribe().wait_for(|held| !held).await);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let (records, authority) = match said {
            Say::Records(records) => (records, Vec::new()),
            Say::Truncated(_) if !tcp => {
                metadata.truncation = true;
                (Vec::new(), Vec::new())
            }
            Say::Truncated(records) => (records, Vec::new()),
            Say::Code(code) => {
                metadata.response_code = code;
                let has_soa = matches!(code, ResponseCode::NXDomain | ResponseCode::NoError);
                (Vec::new(), if has_soa { vec![soa()] } else { Vec::new() })
            }
            Say::Bare(code) => {
                metadata.response_code = code;
                (Vec::new(), Vec::new())
            }
            Say::Nothing => {
                return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
            }
        };
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &request.edns {
            // Without it an answer over UDP is cut at 512 octets.
            builder.edns(edns);
        }
        let none = || std::iter::empty::<&Record>();
        let message = builder.build(metadata, &records, none(), &authority, none());
        response.send_response(message).await.expect("sent")
    }
}

fn soa() -> Record {
    let data = rdata::SOA::new(name("ns.example"), name("root.example"), 1, 60, 60, 60, 60);
    Record::from_rdata(Name::root(), 60, RData::SOA(data))
}
