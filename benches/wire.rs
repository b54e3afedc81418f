//! Both protocols over their sockets, beside a server of the same shape that decides nothing.
//!
//! `policy`: whole sessions of one message, asked about at RCPT and at DATA as docs/postfix.md sets it up, over
//! persistent connections, one question waiting for its answer at a time on each. `null` reads to the empty line
//! and answers `DUNNO`; `parsed` is the real front end over an engine that accepts everything; `tempfail` is the
//! daemon. Throughput is in questions; the senders are a thousand in turn.
//!
//! `milter`: whole sessions of one message, from connect to close. `null` is the real front end over an engine
//! that accepts everything, since a milter server that reads nothing does not exist.
//!
//! Known limit: the clients run in the same process, on the same cores, and cost about as much as the null
//! server. Only ratios within one run say anything.

#![allow(clippy::panic, reason = "a benchmark that cannot measure has nothing to say")]

use criterion::{Criterion, Throughput};
use indymilter_test::{MacroStage, Status, TestConnection};
use policy_core::answer::{Answer, DecisionId, Reply};
use policy_core::engine::{Engine, Report};
use policy_core::facts::Facts;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfail::{Clock, Config, Daemon};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let runtime = Runtime::new()?;
    let mut criterion = Criterion::default().configure_from_args();
    let servers = runtime.block_on(Servers::start())?;
    for connections in [1, 16] {
        policy(&mut criterion, &runtime, &servers, connections);
    }
    milter_sessions(&mut criterion, &runtime, &servers);
    criterion.final_summary();
    Ok(())
}

/// Says yes to everything.
#[derive(Clone)]
struct Accepting;

impl Engine for Accepting {
    async fn decide(&self, _: Facts) -> Answer {
        Answer { id: DecisionId::new(0), reply: Reply::Accept, mark: None }
    }

    fn report(&self, _: Report) {}
}

/// Where to ask.
#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

struct Servers {
    policy: Vec<(&'static str, Place)>,
    milter: Vec<(&'static str, SocketAddr)>,
    _daemon: Daemon,
    _directory: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let daemon = daemon(&path("tempfail")).await?;
        let (null, parsed) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let mut policy = vec![
            ("tcp/null", Place::Tcp(null.local_addr()?)),
            ("tcp/parsed", Place::Tcp(parsed.local_addr()?)),
            ("tcp/tempfail", Place::Tcp(*daemon.policy_addrs().first().ok_or("no policy port")?)),
        ];
        let null_unix = UnixListener::bind(path("null"))?;
        policy.push(("unix/null", Place::Unix(path("null"))));
        policy.push(("unix/tempfail", Place::Unix(path("tempfail"))));
        tokio::spawn(null_tcp(null));
        tokio::spawn(null_on_unix(null_unix));
        let limits = postfix_policy::Limits::default();
        let socket = postfix_policy::Socket::Tcp(parsed);
        tokio::spawn(postfix_policy::serve(socket, Accepting, limits, pending(), Duration::ZERO));
        let accepting = TcpListener::bind("127.0.0.1:0").await?;
        let milter = vec![
            ("null", accepting.local_addr()?),
            ("tempfail", *daemon.milter_addrs().first().ok_or("no milter port")?),
        ];
        let (keep, options) = tokio::sync::watch::channel(Arc::new(milter::Options::default()));
        tokio::spawn(async move {
            let _keep = keep;
            milter::serve(milter::Socket::Tcp(accepting), Accepting, options, pending(), Duration::ZERO).await
        });
        Ok(Self { policy, milter, _daemon: daemon, _directory: directory })
    }
}

/// The daemon as it ships, observing, with an unix socket beside the ports.
async fn daemon(socket: &std::path::Path) -> Result<Daemon, Failure> {
    let config = format!(
        "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"127.0.0.1:0\", \"unix:{}\"]\nmilter.listen = [\"127.0.0.1:0\"]\n",
        socket.display()
    );
    Ok(Daemon::start(Config::parse("bench", &config)?.config, Clock::system()).await?)
}

async fn null_tcp(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(null(stream));
    }
}

async fn null_on_unix(listener: UnixListener) -> io::Result<()> {
    loop {
        tokio::spawn(null(listener.accept().await?.0));
    }
}

/// Reads to the empty line, answers, and again.
async fn null(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        while !buffer.ends_with(b"\n\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.clear();
        stream.write_all(b"action=DUNNO\n\n").await?;
    }
}

/// A number that no question has had.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The two requests of one session, as Postfix 3.7 writes them.
fn session_requests() -> [Vec<u8>; 2] {
    let n = next();
    ["RCPT", "DATA"].map(|state| request(n, state))
}

fn request(n: u64, state: &str) -> Vec<u8> {
    let (sender, port) = (n % 1000, 1024 + n % 60_000);
    let (high, low) = (sender / 250, sender % 250 + 1);
    let host = format!("mail.corp{sender}.example");
    let address = format!("198.51.{high}.{low}");
    format!(
        "request=smtpd_access_policy\nprotocol_state={state}\nprotocol_name=ESMTP\nclient_address={address}\n\
         client_name={host}\nclient_port={port}\nreverse_client_name={host}\nserver_address=127.0.0.1\n\
         server_port=25\nhelo_name={host}\nsender=news@corp{sender}.example\nrecipient=good@dest.example\n\
         recipient_count=0\nqueue_id=\ninstance={n:x}.6b01e2d2.2484d.0\nsize=1234\netrn_domain=\nstress=\n\
         sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
         ccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
         encryption_keysize=256\npolicy_context=rcpt\n\n"
    )
    .into_bytes()
}

fn policy(criterion: &mut Criterion, runtime: &Runtime, servers: &Servers, connections: u64) {
    let mut group = criterion.benchmark_group(format!("policy/{connections}"));
    group.throughput(Throughput::Elements(2 * connections));
    for (name, place) in &servers.policy {
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|count| match runtime.block_on(asked(place, connections, count)) {
                Ok(spent) => spent,
                Err(error) => panic!("{name}: {error}"),
            });
        });
    }
    group.finish();
}

/// The time that `count` sessions take on each of some connections at once.
async fn asked(place: &Place, connections: u64, count: u64) -> Result<Duration, Failure> {
    let mut clients = JoinSet::new();
    let begin = Arc::new(tokio::sync::Barrier::new(connections as usize + 1));
    for _ in 0..connections {
        let requests: Vec<Vec<u8>> = (0..count).flat_map(|_| session_requests()).collect();
        let (begin, place) = (Arc::clone(&begin), place.clone());
        clients.spawn(async move {
            match place {
                Place::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    ask_all(stream, requests, &begin).await
                }
                Place::Unix(path) => ask_all(UnixStream::connect(path).await?, requests, &begin).await,
            }
        });
    }
    begin.wait().await;
    let begun = Instant::now();
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(begun.elapsed())
}

async fn ask_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: Vec<Vec<u8>>,
    begin: &tokio::sync::Barrier,
) -> Result<(), Failure> {
    let mut answer = Vec::with_capacity(256);
    begin.wait().await;
    for request in requests {
        stream.write_all(&request).await?;
        answer.clear();
        while !answer.ends_with(b"\n\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("closed".into());
            }
        }
        if answer != b"action=DUNNO\n\n" {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    Ok(())
}

fn milter_sessions(criterion: &mut Criterion, runtime: &Runtime, servers: &Servers) {
    let mut group = criterion.benchmark_group("milter");
    group.throughput(Throughput::Elements(1));
    for (name, address) in &servers.milter {
        group.bench_function(format!("session/{name}"), |bencher| {
            bencher.iter_custom(|count| {
                let begun = Instant::now();
                for _ in 0..count {
                    if let Err(error) = runtime.block_on(session(*address)) {
                        panic!("{name}: {error}");
                    }
                }
                begun.elapsed()
            });
        });
    }
    group.finish();
}

/// One session with one message of a few lines.
async fn session(address: SocketAddr) -> Result<(), Failure> {
    let n = next();
    let host = format!("mail.corp{}.example", n % 1000);
    let client = format!("198.51.{}.{}", n % 1000 / 250, n % 250 + 1);
    let port = (1024 + n % 60_000).to_string();
    let macros = [
        ("{client_addr}", client.as_str()),
        ("{client_port}", &port),
        ("{client_name}", &host),
        ("{client_ptr}", &host),
        ("{client_resolve}", "OK"),
    ];
    let mut connection = TestConnection::open(address).await?;
    connection.macros(MacroStage::Helo, macros).await?;
    connection.helo(host.as_str()).await?;
    connection.macros(MacroStage::Mail, macros).await?;
    connection.mail([format!("<news@corp{}.example>", n % 1000), "SIZE=1234".to_owned()]).await?;
    connection.macros(MacroStage::Rcpt, [("{rcpt_mailer}", "local")]).await?;
    connection.rcpt(["<good@dest.example>"]).await?;
    connection.header("Subject", " news").await?;
    connection.header("From", format!(" <news@{host}>")).await?;
    connection.body("hello\r\n").await?;
    let (_, status) = connection.eom().await?;
    if status != Status::Continue {
        return Err(format!("{status:?}").into());
    }
    Ok(connection.close().await?)
}
