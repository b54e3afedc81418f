//! The daemon: both front ends over one engine and one state, and the admin interface beside them.
//!
//! This is the library's entry point: the program and the tests start the same thing. It knows no signals and
//! no files; `serve` does.
//!
//! With a directory for it the state is read before anything is answered, and written from then on; without one it
//! lives in memory only, and a restart begins anew. Sockets listen before that: who asks meanwhile waits for an
//! answer that knows the sender, and is not sent away to whatever its mail server does without one.

mod upkeep;

use crate::address::Address;
use crate::admin::{Admin, Desk, Followers};
use crate::clock::Clock;
use crate::config;
use crate::config::Config;
use crate::engine::Engine;
use crate::log::Log;
use crate::lookups::Lookups;
use crate::sockets::{self, BindError, Bound, Listener, SocketFile};
use crate::store::{self, Store, StoreError};
use policy_core::State;
use policy_core::time::Timestamp;
use signals::resolver::system_servers;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, info};

/// Explanations at a time.
const EXPLAINERS: usize = 4;

/// Why the daemon did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gives no random numbers.
    #[error("no random numbers to be had: {0}")]
    Random(getrandom::Error),
    /// The state is another process's, or cannot be begun.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading the state ended in a panic, which the log tells of.
    #[error("the state was not read: {0}")]
    Unread(tokio::task::JoinError),
}

/// Why the daemon cannot go on.
#[derive(Debug, Error)]
#[error("the {protocol} server has ended: {why}")]
pub struct Ended {
    /// Which server.
    pub protocol: &'static str,
    /// Why.
    pub why: String,
}

/// A socket that the daemon listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// `policy`, `milter` or `admin`.
    pub protocol: &'static str,
    /// Where; the port is the real one.
    pub address: Address,
}

/// A running daemon. Dropping it ends it at once; [`Daemon::shutdown`] lets sessions end by themselves.
#[derive(Debug)]
pub struct Daemon {
    engine: Engine,
    /// `None` when the state is not kept.
    store: Option<Store>,
    listening: Vec<Listening>,
    /// The configuration that it was started with; what only a restart changes is still as it says.
    started: Config,
    milter_options: watch::Sender<Arc<milter::Options>>,
    stop: watch::Sender<bool>,
    servers: JoinSet<Result<(), Ended>>,
    sweeper: JoinHandle<()>,
    teller: JoinHandle<()>,
}

impl Daemon {
    /// Starts it without a log of decisions; they can be had from [`Daemon::engine`].
    ///
    /// # Errors
    ///
    /// An address cannot be listened on, or the system is short of something.
    pub async fn start(config: Config, clock: impl Into<Clock>) -> Result<Self, StartError> {
        Self::start_with_log(config, clock, Log::discard()).await
    }

    /// Starts it. When this returns, it answers.
    ///
    /// # Errors
    ///
    /// As [`Daemon::start`].
    pub async fn start_with_log(
        config: Config,
        clock: impl Into<Clock>,
        log: Log,
    ) -> Result<Self, StartError> {
        let clock = clock.into();
        let policy = bind_all(&config.policy_service.listen, &config.policy_service.access)?;
        let milter = bind_all(&config.milter.listen, &config.milter.access)?;
        let (state, store) = open_state(&config, &clock).await?;
        state.retain_for(config.retention);
        let engine = Engine::new(state, Arc::clone(&config.policy), config.answer_within, clock, log);
        let started = engine.clock().now();
        let mut daemon = Self {
            milter_options: watch::Sender::new(Arc::clone(&config.milter.options)),
            stop: watch::Sender::new(false),
            servers: JoinSet::new(),
            sweeper: tokio::spawn(upkeep::sweep(engine.clone())),
            teller: tokio::spawn(upkeep::tell_lookups(engine.clone())),
            listening: Vec::new(),
            started: config,
            engine,
            store,
        };
        daemon.look_up_with(daemon.started.lookups.clone());
        policy.into_iter().for_each(|bound| daemon.serve_policy(bound));
        milter.into_iter().for_each(|bound| daemon.serve_milter(bound));
        daemon.serve_admin(started);
        Ok(daemon)
    }

    /// All sockets.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Where the policy service listens on TCP.
    pub fn policy_addrs(&self) -> Vec<SocketAddr> {
        self.tcp("policy")
    }

    /// Where the milter listens on TCP.
    pub fn milter_addrs(&self) -> Vec<SocketAddr> {
        self.tcp("milter")
    }

    /// Where the admin interface listens on TCP.
    pub fn admin_addrs(&self) -> Vec<SocketAddr> {
        self.tcp("admin")
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is remembered.
    pub fn state(&self) -> &Arc<State> {
        self.engine.state()
    }

    /// What keeps the state, if it is kept.
    pub const fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Puts another configuration in force. No connection is dropped and no counter reset; sessions keep the
    /// policy that they began with. Returns the keys that differ and that only a restart changes.
    pub fn reload(&mut self, config: Config) -> Vec<&'static str> {
        let left = needs_restart(&self.started, &config);
        let mut options = config.milter.options;
        // The engine's deadline stays, so the milter's does.
        Arc::make_mut(&mut options).limits.answer = self.started.milter.options.limits.answer;
        self.milter_options.send_replace(options);
        self.look_up_with(config.lookups);
        self.engine.state().retain_for(config.retention);
        self.engine.replace(config.policy);
        left
    }

    /// Puts other lookups in force, unless they are the same. Where they cannot be used, those before stay, or
    /// none: mail is judged without them, and the log says so.
    fn look_up_with(&self, config: Option<config::Lookups>) {
        let now = self.engine.lookups();
        // The engine's deadline stays, so lookups get no more of it.
        let most = self.started.answer_within.saturating_sub(config::FOR_THE_REST);
        let config = config.map(|mut config| {
            config.gather.within = config.gather.within.min(most);
            // Those of the system may have changed. If they cannot be read, the start of lookups says so.
            if config.resolver.servers.is_empty() {
                config.resolver.servers = system_servers().unwrap_or_default();
            }
            config
        });
        if config.as_ref() == now.as_deref().map(Lookups::config) {
            return;
        }
        match config.map(Lookups::start).transpose() {
            Ok(lookups) => self.engine.look_up_with(lookups),
            Err(error) if now.is_some() => error!(%error, "lookups not changed"),
            Err(error) => error!(%error, "nothing is looked up"),
        }
    }

    /// Resolves if a server ends by itself, which none should.
    pub async fn ended(&mut self) -> Ended {
        match self.servers.join_next().await {
            Some(Ok(Err(ended))) => ended,
            Some(Ok(Ok(()))) => Ended { protocol: "-", why: "it returned".to_owned() },
            Some(Err(error)) => Ended { protocol: "-", why: error.to_string() },
            // Without servers there is none that could end.
            None => std::future::pending().await,
        }
    }

    /// Ends the daemon: nothing more is accepted, and sessions in progress have the grace period to end by
    /// themselves.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.servers.join_next().await {
            if let Ok(Err(ended)) = ended {
                error!(error = %ended, "not an orderly end");
            }
        }
        self.sweeper.abort();
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    fn tcp(&self, protocol: &str) -> Vec<SocketAddr> {
        let of = self.listening.iter().filter(|listening| listening.protocol == protocol);
        of.filter_map(|listening| listening.address.tcp()).collect()
    }

    fn serve_policy(&mut self, bound: Bound) {
        let (listener, stopped) = self.enter("policy", bound);
        let socket = match listener {
            Listener::Tcp(tcp) => postfix_policy::Socket::Tcp(tcp),
            Listener::Unix(unix) => postfix_policy::Socket::Unix(unix),
        };
        let (limits, grace) = (self.started.policy_service.limits, self.started.grace);
        let serving = postfix_policy::serve(socket, self.engine.clone(), limits, stopped, grace);
        self.spawn("policy", async move {
            serving.await;
            Ok(())
        });
    }

    fn serve_milter(&mut self, bound: Bound) {
        let (listener, stopped) = self.enter("milter", bound);
        let socket = match listener {
            Listener::Tcp(tcp) => milter::Socket::Tcp(tcp),
            Listener::Unix(unix) => milter::Socket::Unix(unix),
        };
        let options = self.milter_options.subscribe();
        let serving = milter::serve(socket, self.engine.clone(), options, stopped, self.started.grace);
        self.spawn("milter", async move { serving.await.map_err(|error| error.to_string()) });
    }

    /// Last, since mail does not wait for it.
    fn serve_admin(&mut self, started: Timestamp) {
        let admin = Admin::bind(&self.started);
        self.listening.extend(admin.listening());
        let desk = Desk {
            engine: self.engine.clone(),
            store: self.store.clone(),
            directory: self.started.state.path().map(Path::to_owned),
            memory: self.started.memory,
            started,
            listening: self.listening.clone(),
            policy_connections: self.started.policy_service.limits.connections,
            milter_options: self.milter_options.subscribe(),
            stop: self.stop.subscribe(),
            followers: Followers::default(),
            visitors: Arc::new(Semaphore::new(1)),
            explainers: Arc::new(Semaphore::new(EXPLAINERS)),
        };
        admin.serve(desk);
    }

    /// Notes a socket; the future resolves at shutdown, when its file is gone.
    fn enter(
        &mut self,
        protocol: &'static str,
        bound: Bound,
    ) -> (Listener, impl Future<Output = ()> + Send + use<>) {
        let Bound { address, listener, file } = bound;
        info!(protocol, %address, "listening");
        self.listening.push(Listening { protocol, address });
        (listener, stopped(self.stop.subscribe(), file))
    }

    /// Runs a server; one that ends before it was told to is an error.
    fn spawn(
        &mut self,
        protocol: &'static str,
        serving: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let stop = self.stop.subscribe();
        self.servers.spawn(async move {
            let result = serving.await;
            match result {
                Ok(()) if *stop.borrow() => Ok(()),
                Ok(()) => Err(Ended { protocol, why: "nobody told it to".to_owned() }),
                Err(why) => Err(Ended { protocol, why }),
            }
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.sweeper.abort();
        self.teller.abort();
    }
}

async fn stopped(mut stop: watch::Receiver<bool>, file: Option<SocketFile>) {
    // An error says that the daemon has been dropped, which is no different.
    let _ = stop.wait_for(|stop| *stop).await;
    drop(file);
}

fn bind_all(addresses: &[Address], access: &crate::config::SocketAccess) -> Result<Vec<Bound>, BindError> {
    addresses.iter().map(|address| sockets::bind(address, access)).collect()
}

/// Reads the state of the configured directory, or begins one in memory.
async fn open_state(config: &Config, clock: &Clock) -> Result<(Arc<State>, Option<Store>), StartError> {
    let memory = config.memory;
    let Some(directory) = config.state.path().map(Path::to_owned) else {
        let secret = store::secret().map_err(StartError::Random)?;
        return Ok((Arc::new(State::new(memory, secret, clock.now())), None));
    };
    let clock = clock.clone();
    let opened = tokio::task::spawn_blocking(move || store::open(&directory, memory, &clock)).await;
    let (state, store) = opened.map_err(StartError::Unread)??;
    Ok((state, Some(store)))
}

/// The keys that differ and that only a restart changes.
fn needs_restart(started: &Config, new: &Config) -> Vec<&'static str> {
    let (policy, milter, admin) = (&started.policy_service, &started.milter, &started.admin);
    let differs = [
        ("answer_within", started.answer_within != new.answer_within),
        ("policy.listen", policy.listen != new.policy_service.listen),
        ("policy.socket_mode", policy.access.mode != new.policy_service.access.mode),
        ("policy.socket_group", policy.access.group != new.policy_service.access.group),
        ("policy.connections", policy.limits.connections != new.policy_service.limits.connections),
        ("policy.idle", policy.limits.idle != new.policy_service.limits.idle),
        ("policy.request_time", policy.limits.request_time != new.policy_service.limits.request_time),
        ("milter.listen", milter.listen != new.milter.listen),
        ("milter.socket_mode", milter.access.mode != new.milter.access.mode),
        ("milter.socket_group", milter.access.group != new.milter.access.group),
        ("milter.idle", milter.options.limits.idle != new.milter.options.limits.idle),
        ("admin.listen", admin.listen != new.admin.listen),
        ("admin.socket_mode", admin.access.mode != new.admin.access.mode),
        ("admin.socket_group", admin.access.group != new.admin.access.group),
        ("admin.token_file", admin.token != new.admin.token),
        ("admin.hosts", admin.hosts != new.admin.hosts),
        ("admin.connections", admin.connections != new.admin.connections),
        ("feedback.users", admin.feedback_users != new.admin.feedback_users),
        ("memory.max", started.memory != new.memory),
        ("state.directory", started.state != new.state),
        ("log.format", started.log.format != new.log.format),
        ("log.level", started.log.level != new.log.level),
        ("shutdown.grace", started.grace != new.grace),
    ];
    differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::engine::Engine as _;
    use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
    use policy_core::findings::Findings;
    use policy_core::name::Mailbox;
    use policy_core::time::Timestamp;
    use std::io::Write;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SECONDS: u64 = 1_700_000_000;

    async fn daemon(text: &str) -> (Daemon, crate::clock::ManualClock) {
        let ports = "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\n";
        let config = Config::parse("t.toml", &format!("{ports}{text}")).unwrap().config;
        let clock = Clock::manual(Timestamp::from_secs(SECONDS));
        (Daemon::start(config, clock.clone()).await.unwrap(), clock)
    }

    fn facts() -> Facts {
        Facts {
            session: SessionId::Tcp("192.0.2.7:4321".parse().unwrap()),
            front_end: FrontEnd::Policy,
            stage: Stage::Rcpt,
            transaction: None,
            client: Client::new("192.0.2.7".parse().unwrap()),
            envelope: Envelope { recipient: Mailbox::new("b@dest.example"), ..Envelope::default() },
            message: Message::default(),
            findings: Findings::default(),
        }
    }

    fn sessions(daemon: &Daemon) -> usize {
        let tables = daemon.state().usage().tables;
        tables.iter().find(|share| share.table == "sessions").map_or(0, |share| share.entries)
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_swept_within_a_minute() {
        let (daemon, clock) = daemon("").await;
        daemon.engine().decide(facts()).await;
        assert_eq!(sessions(&daemon), 1);
        clock.advance(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(sessions(&daemon), 0);
        daemon.shutdown().await;
    }

    #[tokio::test]
    async fn a_reload_changes_what_it_can_and_names_the_rest() {
        let (mut daemon, _) = daemon("").await;
        let new = |text: &str| Config::parse("t.toml", text).unwrap().config;
        let same = "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\n";
        let changed = "milter.connections = 500\nhelp = \"call us\"\n";
        assert_eq!(daemon.reload(new(&format!("{changed}{same}"))), [""; 0]);
        assert_eq!(daemon.engine().policy().help.as_deref(), Some("call us"));
        assert_eq!(daemon.milter_options.borrow().limits.connections, 500);
        let left = "answer_within = \"1s\"\n[policy]\nlisten = [\"127.0.0.1:1\"]\nidle = \"2000s\"\n";
        assert_eq!(
            daemon.reload(new(left)),
            ["answer_within", "policy.listen", "policy.idle", "milter.listen", "admin.listen"]
        );
        let answer = daemon.milter_options.borrow().limits.answer;
        assert_eq!(answer, milter::Options::default().limits.answer, "the deadline stays");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_asks_while_the_state_is_read_waits_for_the_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, head) = (dir.path().join("policy.sock"), dir.path().join("head"));
        // Reading the head lasts until somebody has written it.
        assert!(std::process::Command::new("mkfifo").arg(&head).status().unwrap().success());
        let text = format!(
            "signals.enabled = false\nadmin.listen = []\nmilter.listen = []\npolicy.listen = [\"unix:{}\"]\nstate.directory = \"{}\"\n",
            socket.display(),
            dir.path().display()
        );
        let config = Config::parse("t.toml", &text).unwrap().config;
        let starting = tokio::spawn(Daemon::start(config, Clock::system()));
        let reading = tokio::task::spawn_blocking(move || std::fs::File::create(head).unwrap());
        let mut reading = reading.await.unwrap();
        let mut client = tokio::net::UnixStream::connect(&socket).await.unwrap();
        client.write_all(b"request=smtpd_access_policy\nclient_address=192.0.2.7\n\n").await.unwrap();
        assert!(!starting.is_finished());
        writeln!(reading, "tempfail-state {} 0123456789abcdef0123456789abcdef", store::VERSION).unwrap();
        drop(reading);
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"action=");
        drop(client);
        starting.await.unwrap().unwrap().shutdown().await;
    }

    #[tokio::test]
    async fn no_address_is_taken_when_one_is_not_to_be_had() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.sock");
        let text = format!(
            "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"unix:{}\"]\nmilter.listen = [\"{}\"]\n",
            path.display(),
            taken.local_addr().unwrap()
        );
        let config = Config::parse("t.toml", &text).unwrap().config;
        let error = Daemon::start(config, Clock::system()).await.unwrap_err();
        assert!(matches!(error, StartError::Bind(BindError::InUse(_))), "{error}");
        assert!(!path.exists());
    }
}
