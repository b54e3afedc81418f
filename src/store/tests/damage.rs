//! Damage of the journal: what is told of it, and what is kept.

use super::*;
use crate::log::{Format, Log};
use std::sync::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

const LOST: &str = "of the state that was here nothing is left, or less than was written";

/// Opens a state, writes what it has to, and returns it with what is told meanwhile.
async fn reopened(dir: &Path) -> (Arc<State>, String) {
    let lines = Arc::new(Mutex::new(String::new()));
    let taken = Arc::clone(&lines);
    let log = Log::to(Format::Text, LevelFilter::WARN, move |line| taken.lock().unwrap().push_str(&line));
    let subscriber = tracing_subscriber::registry().with(log.layer());
    let (state, store) = tracing::subscriber::with_default(subscriber, || open_at(dir, MEMORY, NOW));
    store.close().await;
    let told = lines.lock().unwrap().clone();
    (state, told)
}

fn journal(dir: &Path) -> PathBuf {
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jnl");
    files(&dir.join("pages")).into_iter().find(is_journal).unwrap()
}

#[tokio::test]
async fn a_journal_that_was_emptied_or_removed_is_told_once() {
    type Loss = fn(&Path);
    let losses: [Loss; 3] = [
        |dir| std::fs::write(journal(dir), "").unwrap(),
        |dir| std::fs::remove_file(journal(dir)).unwrap(),
        |dir| std::fs::remove_dir_all(dir.join("pages")).unwrap(),
    ];
    for lose in losses {
        let (dir, _) = written(10).await;
        lose(dir.path());
        let (state, told) = reopened(dir.path()).await;
        assert!(!knows(&state, 0) && told.contains(LOST), "{told}");
        assert!(!reopened(dir.path()).await.1.contains(LOST), "it has begun again");
    }
}

#[tokio::test]
async fn a_state_without_mail_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        // As after kill -9: nothing is written at the end.
        drop(recover::hold(dir.path(), MEMORY, &clock()).unwrap());
        let (_, told) = reopened(dir.path()).await;
        assert!(!told.contains(LOST), "{told}");
    }
}

#[tokio::test]
async fn what_was_written_before_the_damage_is_kept() {
    let (dir, _) = written(10).await;
    let octets = |path: &Path| {
        let octets = std::fs::read(path).unwrap();
        let end = octets.iter().rposition(|octet| *octet != 0).unwrap();
        (octets, end)
    };
    let (_, first) = octets(&journal(dir.path()));
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    (10..20).for_each(|n| hear(&state, n));
    store.close().await;
    let path = journal(dir.path());
    let (mut damaged, last) = octets(&path);
    damaged[first + (last - first) / 3] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let (state, told) = reopened(dir.path()).await;
    assert!(told.contains("state is damaged in part, set aside; what could be read is kept"), "{told}");
    assert!(told.contains("damaged: ") && !told.contains(LOST), "{told}");
    assert!((0..10).all(|n| knows(&state, n)) && !knows(&state, 15));
    let aside = dir.path().join("corrupt-20231114T221320Z").join(path.file_name().unwrap());
    assert_eq!(std::fs::read(aside).unwrap(), damaged, "a copy of all is set aside");
    let (state, told) = reopened(dir.path()).await;
    assert!(knows(&state, 0) && !told.contains("damage"), "{told}");
}
