//! `tempfail serve`: the daemon in its process, with its file, its signals and its log.
//!
//! | signal | effect |
//! | --- | --- |
//! | SIGHUP | the configuration is read again; a bad one changes nothing and is told |
//! | SIGTERM, SIGINT | sessions in progress end by themselves within the grace period; a second one ends all at once |

mod reload;

use crate::clock::Clock;
use crate::config::{self, Checked, Config, ConfigError, Diagnostic, Outline, Severity, StateDirectory};
use crate::daemon::{Daemon, Ended, StartError};
use crate::log::{self, Format, Log};
use crate::{descriptors, notify};
use reload::Reloader;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};
use tracing_subscriber::layer::SubscriberExt;

/// Fewest workers: one may compute while another watches the time.
const LEAST_WORKERS: usize = 2;

/// Why serving ended otherwise than asked for.
#[derive(Debug, Error)]
pub enum ServeError {
    /// There is no valid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no log, and so it cannot be there either.
    #[error("cannot start the log: {0}")]
    Log(io::Error),
    /// The process lacks something: threads, signal handlers.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The daemon did not start.
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    /// A server ended by itself.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// A second signal came before all sessions had ended.
    #[error("told twice to stop, sessions were cut")]
    Cut,
}

/// Where the configuration is.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file that was named; the default one if it exists otherwise.
    pub named: Option<PathBuf>,
    /// Where the state is kept, whatever the file says.
    pub state: Option<StateDirectory>,
}

/// Serves until a signal ends it. What becomes of it is in the log, except for
/// [`ServeError::Config`] and [`ServeError::Log`], which are for the caller to show.
///
/// # Errors
///
/// See [`ServeError`].
pub fn serve(source: Source, log_format: Option<Format>) -> Result<(), ServeError> {
    let file = config::file(source.named.as_deref());
    // What is in force now must not turn into defaults because it is away when it is read again.
    let source = Source { named: file.clone(), ..source };
    let Checked { config, warnings, outline } = load(&source)?;
    let format = log_format.unwrap_or(config.log.format);
    let (log, flush) = Log::stderr(format, config.log.level).map_err(ServeError::Log)?;
    let subscriber = tracing_subscriber::registry().with(log.layer());
    // Another subscriber is only there when somebody calls this twice in a process; its log goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| error!(%panic, "panic")));
    let configuration = file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    let state = config.state.path().map_or_else(|| "memory".to_owned(), |path| path.display().to_string());
    info!(
        version = env!("CARGO_PKG_VERSION"),
        configuration,
        state,
        mode = log::mode(config.policy.mode),
        "starting"
    );
    warnings.iter().for_each(tell);
    let served = run(source, config, outline, log);
    match &served {
        Ok(()) => info!("stopped"),
        Err(error) => error!("{error}"),
    }
    flush.flush();
    served
}

fn load(source: &Source) -> Result<Checked, ConfigError> {
    let mut checked = match config::file(source.named.as_deref()) {
        Some(path) => Config::load(&path)?,
        None => Checked { config: Config::default(), warnings: Vec::new(), outline: Outline::default() },
    };
    let state = source.state.clone().unwrap_or(checked.config.state);
    let systemd = std::env::var("STATE_DIRECTORY").ok();
    checked.config.state = state.resolved(systemd.as_deref(), Path::new(config::DEFAULT_DIRECTORY));
    Ok(checked)
}

/// A finding as one line of the log.
fn tell(diagnostic: &Diagnostic) {
    let Diagnostic { file, line, column, severity, .. } = diagnostic;
    let summary = diagnostic.summary();
    match severity {
        Severity::Error => error!(file, line, column, "{summary}"),
        Severity::Warning => warn!(file, line, column, "{summary}"),
    }
}

fn run(source: Source, mut config: Config, outline: Outline, log: Log) -> Result<(), ServeError> {
    let descriptors = descriptors::raise();
    descriptors::fit(&mut config, descriptors);
    // One worker more than processors: while one computes, every processor has another.
    let workers = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(LEAST_WORKERS))
        .enable_all()
        .build()?;
    let served = runtime.block_on(until_stopped(Reloader { source, descriptors, outline }, config, log));
    // A session that is cut now may find the task that reads for it gone already, at which the milter library
    // panics. That is no fault of the operator's.
    std::panic::set_hook(Box::new(|panic| debug!(%panic, "cut while stopping")));
    // A computation that hangs must not keep the process from ending.
    runtime.shutdown_background();
    served
}

async fn until_stopped(mut reloader: Reloader, config: Config, log: Log) -> Result<(), ServeError> {
    // Before anything answers, so that no signal finds its default in force.
    let mut signals = Signals::new()?;
    let mut daemon = Daemon::start_with_log(config, Clock::system(), log).await?;
    let watchdog = tokio::spawn(notify::watchdog(daemon.engine().clone()));
    notify::ready();
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => reloader.reload(&mut daemon).await,
                Asked::Stop => break,
            },
            ended = daemon.ended() => return Err(ended.into()),
        }
    }
    info!("stopping, sessions in progress may end");
    notify::stopping();
    let stopped = drain(daemon, signals).await;
    watchdog.abort();
    stopped
}

async fn drain(daemon: Daemon, mut signals: Signals) -> Result<(), ServeError> {
    let mut shutdown = std::pin::pin!(daemon.shutdown());
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            asked = signals.next() => if asked == Asked::Stop {
                return Err(ServeError::Cut);
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal. The streams of signals do not end.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
        }
    }
}
