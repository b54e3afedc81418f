//! Lines on their way to standard error.
//!
//! Whoever logs only puts a line into a bounded queue; a thread of its own writes. When the reader of the log
//! stops reading, the queue fills up, lines are lost and counted, and the count is the first thing that is
//! written when the reader goes on. No decision waits for the log.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Takes a line without its line feed, and never waits.
pub(super) type Sink = Arc<dyn Fn(String) + Send + Sync>;

/// Lines that wait to be written. At 300 octets each, some five megabytes.
const QUEUE: usize = 16_384;
/// Lines that are written at once.
const BATCH: usize = 256;
/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

enum Entry {
    Line(String),
    /// Answered when everything before it has been written.
    Flush(SyncSender<()>),
}

/// Writes out what has been logged.
#[derive(Debug, Clone)]
pub struct Flush(SyncSender<Entry>);

impl Flush {
    /// Returns when every line logged before has been written, or after two seconds.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let mut entry = Entry::Flush(done);
        let begun = std::time::Instant::now();
        while let Err(TrySendError::Full(back)) = self.0.try_send(entry) {
            if begun.elapsed() > LAST_LINES {
                return;
            }
            entry = back;
            std::thread::yield_now();
        }
        let _ = wait.recv_timeout(LAST_LINES);
    }
}

/// Starts the thread that writes to `out`. `tell` makes the line that says how many were lost.
pub(super) fn start(
    out: impl Write + Send + 'static,
    tell: impl Fn(u64) -> String + Send + 'static,
) -> std::io::Result<(Sink, Flush)> {
    let (queue, entries) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    std::thread::Builder::new().name("log".into()).spawn(move || write(out, &entries, &counted, tell))?;
    let flush = Flush(queue.clone());
    let sink = move |line| {
        if queue.try_send(Entry::Line(line)).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    };
    Ok((Arc::new(sink), flush))
}

/// Writes until nobody can log any more. An error of the output is not told: there is nowhere to.
fn write(mut out: impl Write, entries: &Receiver<Entry>, lost: &AtomicU64, tell: impl Fn(u64) -> String) {
    let mut text = Vec::new();
    while let Ok(first) = entries.recv() {
        let mut done = Vec::new();
        for entry in std::iter::once(first).chain(entries.try_iter().take(BATCH)) {
            match entry {
                Entry::Line(line) => {
                    text.extend_from_slice(line.as_bytes());
                    text.push(b'\n');
                }
                Entry::Flush(answer) => done.push(answer),
            }
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            text.extend_from_slice(tell(missing).as_bytes());
            text.push(b'\n');
        }
        let _ = out.write_all(&text).and_then(|()| out.flush());
        text.clear();
        for answer in done {
            // Whoever waited may have given up.
            let _ = answer.try_send(());
        }
    }
}

/// Whether standard error is the journal's own socket, as systemd names it by device and inode.
pub(super) fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let stderr = std::fs::metadata("/proc/self/fd/2").ok();
    stream.zip(stderr).is_some_and(|(stream, stderr)| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// An output that writes when it is let.
    struct Gate(Receiver<()>, Sender<String>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_tells_what_was_lost() {
        let (open, gate) = channel();
        let (written, read) = channel();
        let (log, flush) = start(Gate(gate, written), |lines| format!("lost {lines}")).unwrap();
        for n in 0..(QUEUE + BATCH + 1000) {
            log(format!("line {n}"));
        }
        drop(open);
        flush.flush();
        let text: String = read.try_iter().collect();
        let lines = text.lines().filter(|line| line.starts_with("line ")).count();
        // Told twice where the writer took its first lines after some were lost already.
        let lost = text.lines().filter_map(|line| line.strip_prefix("lost ")?.parse::<usize>().ok());
        let lost: usize = lost.sum();
        assert!(lost > 0 && lines + lost == QUEUE + BATCH + 1000, "{lines} and {lost}");
        assert!(text.starts_with("line 0\nline 1\n"));
    }
}
