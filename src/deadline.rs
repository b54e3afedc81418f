//! Runs a computation so that its caller hears in time, whatever becomes of it.
//!
//! A decision takes microseconds and waits for nothing, so it runs on the worker that asks. But a computation
//! that hangs would take its worker with it, and with the last worker all time limits. Therefore:
//!
//! * it runs as a task of its own: its caller waits beside it, and is served by another worker;
//! * at most all workers but one may compute at once. More go to the pool for blocking work;
//! * a computation that has not ended in time is left to itself. When [`MOST_POOLED`] of them sit in the
//!   pool, no more are begun: the caller hears at once.
//!
//! A panic is caught where it happens, and told to the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Computations in the pool at once; half of its threads as tokio has them.
const MOST_POOLED: usize = 256;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    #[error("it took too long")]
    Late,
    #[error("it panicked")]
    Panicked,
    #[error("too many are stuck")]
    Overloaded,
}

/// Places for computations, counted.
#[derive(Debug)]
struct Places {
    taken: AtomicUsize,
    most: usize,
}

impl Places {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most })
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }
}

/// A place, given back on drop.
#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs computations on the runtime that it was made on.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    runtime: Handle,
    workers: Arc<Places>,
    pool: Arc<Places>,
}

impl Deadline {
    /// To be called on a runtime.
    pub(crate) fn new() -> Self {
        let runtime = Handle::current();
        let workers = Places::new(runtime.metrics().num_workers().saturating_sub(1));
        Self { runtime, workers, pool: Places::new(MOST_POOLED) }
    }

    /// What `compute` returns, if it does so in time.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        within: Duration,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let here = self.clone();
        let task = self.runtime.spawn(async move {
            match here.workers.take() {
                Some(place) => held(place, compute),
                None => here.pooled(compute)?.await.unwrap_or(Err(Failure::Panicked)),
            }
        });
        match timeout(within, task).await {
            Ok(ended) => ended.unwrap_or(Err(Failure::Panicked)),
            Err(_) => Err(Failure::Late),
        }
    }

    /// Runs `compute` now, without a result for anybody. Only when all workers but one are computing it goes
    /// to the pool, and is then no longer in order with what the caller does next.
    pub(crate) fn run_at_once(&self, compute: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        match self.workers.take() {
            Some(place) => held(place, compute),
            None => self.pooled(compute).map(drop),
        }
    }

    fn pooled<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<Result<T, Failure>>, Failure> {
        let place = self.pool.take().ok_or(Failure::Overloaded)?;
        Ok(self.runtime.spawn_blocking(move || held(place, compute)))
    }

    /// Whether nothing more is computed, because too many computations are stuck.
    pub(crate) fn is_stuck(&self) -> bool {
        self.pool.taken.load(Ordering::Relaxed) >= MOST_POOLED
    }
}

/// Computes, and gives the place back afterwards. The state behind a panic stays in use: its locks do not
/// poison, and each of its entries is whole whenever a lock is let go.
fn held<T>(place: Place, compute: impl FnOnce() -> T) -> Result<T, Failure> {
    let result = catch_unwind(AssertUnwindSafe(compute)).map_err(|_| Failure::Panicked);
    drop(place);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    /// A computation that ends when the other part is dropped.
    fn hang() -> (impl FnOnce() + Send + 'static, Sender<()>) {
        let (release, wait) = channel::<()>();
        (move || assert!(wait.recv().is_err()), release)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn results_and_panics_are_told() {
        let deadline = Deadline::new();
        assert_eq!(deadline.run(LONG, || 7).await, Ok(7));
        let panicking = deadline.run(LONG, || panic!("on purpose")).await;
        assert_eq!(panicking, Err::<(), _>(Failure::Panicked));
        assert_eq!(deadline.run_at_once(|| panic!("on purpose")), Err(Failure::Panicked));
        assert_eq!(deadline.run(LONG, || 8).await, Ok(8));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_hangs_is_told_in_time_and_nobody_else_is_held_up() {
        let deadline = Deadline::new();
        let mut held = Vec::new();
        for n in 0..MOST_POOLED + 1 {
            let (compute, release) = hang();
            held.push(release);
            assert_eq!(
                deadline.run(SHORT.mul_f64(if n < 3 { 1.0 } else { 0.05 }), compute).await,
                Err(Failure::Late)
            );
            if n < 3 {
                assert_eq!(deadline.run(LONG, move || n).await, Ok(n), "beside {} that hang", n + 1);
            }
        }
        assert!(deadline.is_stuck());
        assert_eq!(deadline.run(LONG, || 1).await, Err(Failure::Overloaded));
        drop(held);
        let answered = async {
            while deadline.run(LONG, || 1).await != Ok(1) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, answered).await.unwrap();
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_is_not_held_up_either() {
        let deadline = Deadline::new();
        let (compute, release) = hang();
        assert_eq!(deadline.run(SHORT, compute).await, Err(Failure::Late));
        assert_eq!(deadline.run(LONG, || 7).await, Ok(7));
        drop(release);
    }
}
