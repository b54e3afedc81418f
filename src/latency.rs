//! How long answers take, counted in a histogram: two additions for each, no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in microseconds; a last one has no end. What is remembered is answered within half a
/// millisecond, lookups take up to two seconds, and `answer_within` is three unless it is configured.
const ENDS: [u64; 11] =
    [500, 2_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000];

/// Counts since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The end of each bucket, which belongs to it, and the answers in it alone; the last one has no end.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// The time that all answers took together.
    pub sum: Duration,
}

/// The counters behind [`Latency`].
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    counts: [AtomicU64; ENDS.len() + 1],
    /// Microseconds.
    sum: AtomicU64,
}

impl Latencies {
    /// An answer took so long.
    pub(crate) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // The end of what it did not fit into; at the most the last bucket.
        let bucket = ENDS.partition_point(|end| *end < micros);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Latency {
        let ends = ENDS.into_iter().map(|end| Some(Duration::from_micros(end))).chain([None]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Latency {
            buckets: ends.zip(counts).collect(),
            sum: Duration::from_micros(self.sum.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_bucket_belongs_to_it() {
        let latencies = Latencies::default();
        let times = [0, 500, 501, 5_000_000, 5_000_001];
        times.into_iter().for_each(|micros| latencies.note(Duration::from_micros(micros)));
        let Latency { buckets, sum } = latencies.snapshot();
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((buckets[0].0, buckets[11].0), (Some(Duration::from_micros(500)), None));
        assert_eq!(sum, Duration::from_micros(10_001_002));
    }
}
