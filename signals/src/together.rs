//! Waiting for several things side by side.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

enum Slot<F: Future> {
    Waiting(Pin<Box<F>>),
    Done(F::Output),
}

/// What all of `futures` come to, in their order. Each is polled whenever one wakes: for dozens, not thousands.
pub(crate) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut slots: Vec<Slot<F>> = futures.into_iter().map(|future| Slot::Waiting(Box::pin(future))).collect();
    poll_fn(|context| {
        let mut all_done = true;
        for slot in &mut slots {
            if let Slot::Waiting(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => all_done = false,
                }
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let done = |slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Waiting(_) => None,
    };
    slots.into_iter().filter_map(done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn all_wait_at_the_same_time_and_keep_their_order() {
        let began = Instant::now();
        let slow = |n: u64| async move {
            sleep(Duration::from_secs(10 - n)).await;
            n
        };
        assert_eq!(together((0..10).map(slow)).await, (0..10).collect::<Vec<_>>());
        assert_eq!(began.elapsed().as_secs(), 10);
        assert!(together(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    }
}
