use super::*;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::findings::Findings;
use policy_core::forget::Traces;
use policy_core::identity::Key;
use policy_core::name::Mailbox;
use policy_core::outcome::Outcome;
use policy_core::overrides::{Effect, Override};
use policy_core::time::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fs::Permissions;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

mod damage;
mod moving;
mod numbers;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn clock() -> Clock {
    Clock::manual(NOW).into()
}
const MEMORY: usize = 16 << 20;

fn facts(n: u8) -> Facts {
    let address = IpAddr::from([192, 0, n, 7]);
    Facts {
        session: SessionId::Tcp(SocketAddr::new(address, 4321)),
        front_end: FrontEnd::Policy,
        stage: Stage::Rcpt,
        transaction: None,
        client: Client::new(address),
        envelope: Envelope { recipient: Mailbox::new("b@dest.example"), ..Envelope::default() },
        message: Message::default(),
        findings: Findings::default(),
    }
}

/// Hears that mail of this sender was good.
fn hear(state: &State, n: u8) {
    let appraisal = state.appraise(&facts(n), NOW);
    policy_core::learn(state, &appraisal, Outcome::ReportedHam, NOW);
}

fn thought_of(state: &State, n: u8) -> f32 {
    state.appraise(&facts(n), NOW).standing.log_odds
}

/// Whether anything is remembered of this sender's address.
fn knows(state: &State, n: u8) -> bool {
    let key = Key::address(IpAddr::from([192, 0, n, 7]));
    state.entries().flatten().any(|entry| *entry.key() == key)
}

fn open_at(path: &Path, memory: usize, now: Timestamp) -> (Arc<State>, Store) {
    open(path, memory, &Clock::manual(now).into()).unwrap()
}

/// A directory in which good was heard of this many senders, and what is thought of each.
async fn written(senders: u8) -> (TempDir, Vec<f32>) {
    let dir = tempfile::tempdir().unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    (0..senders).for_each(|n| hear(&state, n));
    store.flush().await.unwrap();
    let thoughts = (0..senders).map(|n| thought_of(&state, n)).collect();
    store.close().await;
    (dir, thoughts)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Every file of the database.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.metadata().unwrap() {
            meta if meta.is_dir() => files.extend(self::files(&entry.path())),
            _ => files.push(entry.path()),
        }
    }
    files
}

fn assert_thought(state: &State, thoughts: &[f32]) {
    for (n, thought) in thoughts.iter().enumerate() {
        let now = thought_of(state, n as u8);
        assert!((now - thought).abs() < 1e-4, "sender {n}: {now}, was {thought}");
    }
}

#[tokio::test]
async fn what_was_flushed_is_there_after_a_restart() {
    let (dir, thoughts) = written(20).await;
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    assert!(store.is_durable());
    assert_thought(&state, &thoughts);
    assert!(knows(&state, 0) && !knows(&state, 99));
    assert!(state.labels().read(NOW).slow.evidence() > 0.0, "how many labels are usual");
    assert_eq!(names(dir.path()), ["head", "lock", "pages"]);
}

#[tokio::test]
async fn time_goes_on_from_the_last_write_where_the_system_stands_far_from_it() {
    let soon = Clock::system().now().after(Duration::from_secs(200 * 86_400));
    let dir = tempfile::tempdir().unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, soon);
    let appraisal = state.appraise(&facts(7), soon);
    policy_core::learn(&state, &appraisal, Outcome::ReportedHam, soon);
    let thought = |state: &State, at| state.appraise(&facts(7), at).standing.log_odds;
    let before = thought(&state, soon);
    store.close().await;
    let clock = Clock::system();
    let (state, store) = open(dir.path(), MEMORY, &clock).unwrap();
    let begun = clock.now();
    assert!(begun >= soon && begun < soon.after(Duration::from_secs(3600)));
    state.sweep(state.segments(), begun);
    assert!((thought(&state, begun) - before).abs() < 1e-2);
    store.close().await;
    // One that imports into the directory does the same.
    know(dir.path(), MEMORY, &[], &Clock::system()).unwrap();
    let clock = Clock::system();
    let (state, store) = open(dir.path(), MEMORY, &clock).unwrap();
    assert!((thought(&state, clock.now()) - before).abs() < 1e-2);
    store.close().await;
}

#[tokio::test]
async fn another_cap_on_memory_keeps_everything() {
    let (dir, thoughts) = written(20).await;
    for memory in [2 * MEMORY, MEMORY] {
        let (state, store) = open_at(dir.path(), memory, NOW);
        assert_thought(&state, &thoughts);
        store.flush().await.unwrap();
        store.close().await;
        assert_eq!(names(dir.path()), ["head", "lock", "pages"]);
    }
}

#[tokio::test]
async fn the_secret_is_for_the_owner_alone_in_a_directory_that_all_may_enter() {
    let (dir, _) = written(1).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!((mode(&dir.path().join("head")), mode(&dir.path().join("pages"))), (0o600, 0o700));
    // As an earlier version has left it.
    std::fs::set_permissions(dir.path().join("pages"), Permissions::from_mode(0o755)).unwrap();
    open_at(dir.path(), MEMORY, NOW).1.close().await;
    assert_eq!(mode(&dir.path().join("pages")), 0o700);
}

#[tokio::test]
async fn a_directory_has_one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_state, store) = open_at(dir.path(), MEMORY, NOW);
    let error = open(dir.path(), MEMORY, &Clock::system()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("lock is held by process {}", std::process::id())),
        "{error}"
    );
    store.close().await;
    assert!(open(dir.path(), MEMORY, &Clock::system()).is_ok());
}

#[tokio::test]
async fn any_damage_is_set_aside_and_what_can_be_read_is_kept() {
    let (dir, thoughts) = written(20).await;
    let whole: Vec<(PathBuf, Vec<u8>)> = files(&dir.path().join("pages"))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert!(whole.len() >= 5, "{whole:?}");
    for (path, octets) in &whole {
        let mut flipped = octets.clone();
        let middle = flipped.len() / 2;
        flipped.iter_mut().skip(middle).take(1).for_each(|octet| *octet ^= 0x55);
        for damaged in [&flipped[..], &octets[..middle], &[]] {
            restore_files(dir.path(), &whole);
            std::fs::write(path, damaged).unwrap();
            let (state, store) = open_at(dir.path(), MEMORY, NOW);
            hear(&state, 200);
            store.flush().await.unwrap_or_else(|_| panic!("{path:?} cut to {}", damaged.len()));
            store.close().await;
            let (again, store) = open_at(dir.path(), MEMORY, NOW);
            assert!(knows(&again, 200), "{path:?}");
            store.close().await;
        }
    }
    restore_files(dir.path(), &whole);
    let (state, _store) = open_at(dir.path(), MEMORY, NOW);
    assert_thought(&state, &thoughts);
    assert_eq!(names(dir.path()).iter().filter(|name| name.starts_with("corrupt-")).count(), 1);
}

#[tokio::test]
async fn what_can_be_read_is_there_again_after_a_kill_before_it_was_written() {
    let (dir, _) = written(20).await;
    let shelf = shelf::Shelf::open(&dir.path().join("pages")).unwrap();
    shelf.write(vec![(format::AUDIT, Some(b"no audit trail".to_vec()))]).unwrap();
    shelf.sync().unwrap();
    drop(shelf);
    // Nothing of a state that is only held is written.
    let read = || recover::hold(dir.path(), MEMORY, &clock()).unwrap().0.entries().flatten().count();
    let first = read();
    assert!(first > 0);
    assert!(names(dir.path()).iter().any(|name| name.starts_with("corrupt-")));
    assert_eq!(read(), first);
}

/// Damage of any kind at any place, many times over: it starts each time, and keeps what comes after.
#[tokio::test]
async fn damage_at_random_places_never_keeps_it_from_starting() {
    let (dir, _) = written(40).await;
    let whole: Vec<(PathBuf, Vec<u8>)> = files(&dir.path().join("pages"))
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .filter(|(_, octets)| !octets.is_empty())
        .collect();
    let mut random = SmallRng::seed_from_u64(5);
    for round in 0..40 {
        restore_files(dir.path(), &whole);
        for _ in 0..random.random_range(1..4) {
            let (path, octets) = &whole[random.random_range(0..whole.len())];
            std::fs::write(path, damaged(octets, &mut random)).unwrap();
        }
        let (state, store) = open_at(dir.path(), MEMORY, NOW);
        hear(&state, 200);
        store.flush().await.unwrap_or_else(|_| panic!("round {round}"));
        store.close().await;
        let (again, store) = open_at(dir.path(), MEMORY, NOW);
        assert!(knows(&again, 200), "round {round}");
        store.close().await;
    }
}

fn damaged(octets: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let mut damaged = octets.to_vec();
    // Journals are mostly empty space: what is written lies at their beginning.
    let written = octets.iter().rposition(|octet| *octet != 0).map_or(1, |last| last + 1);
    let at = random.random_range(0..written);
    let end = (at + random.random_range(1..64)).min(octets.len());
    match random.random_range(0..4) {
        0 => damaged.truncate(at),
        1 => damaged[at] ^= 1 << random.random_range(0..8),
        2 => damaged[at..end].fill(0),
        _ => random.fill(&mut damaged[at..end]),
    }
    damaged
}

fn restore_files(dir: &Path, whole: &[(PathBuf, Vec<u8>)]) {
    std::fs::remove_dir_all(dir.join("pages")).unwrap();
    for (path, octets) in whole {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, octets).unwrap();
    }
}

#[tokio::test]
async fn a_lost_head_costs_nothing() {
    let (dir, thoughts) = written(10).await;
    for head in [None, Some("nonsense"), Some("tempfail-state 1")] {
        match head {
            None => std::fs::remove_file(dir.path().join("head")).unwrap(),
            Some(text) => std::fs::write(dir.path().join("head"), text).unwrap(),
        }
        let (state, store) = open_at(dir.path(), MEMORY, NOW);
        assert_thought(&state, &thoughts);
        store.close().await;
    }
}

#[tokio::test]
async fn a_state_of_version_1_is_read_and_becomes_one_of_this() {
    let (dir, thoughts) = written(10).await;
    let head = dir.path().join("head");
    let this = std::fs::read_to_string(&head).unwrap();
    std::fs::write(&head, this.replacen(&format!(" {VERSION} "), " 1 ", 1)).unwrap();
    let lines = exported(dir.path());
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    assert_thought(&state, &thoughts);
    store.close().await;
    assert_eq!(std::fs::read_to_string(&head).unwrap(), this);
    let lines = lines.replacen(&format!("\"tempfail-state\":{VERSION}"), "\"tempfail-state\":1", 1);
    let has_labels = |line: &&str| line.starts_with("{\"labels\"");
    assert_eq!(lines.lines().filter(has_labels).count(), 1);
    let lines: String =
        lines.lines().filter(|line| !has_labels(line)).map(|line| format!("{line}\n")).collect();
    let other = tempfile::tempdir().unwrap();
    import(other.path(), MEMORY, &mut lines.as_bytes(), Import::Replace, &clock()).unwrap();
    let (state, store) = open_at(other.path(), MEMORY, NOW);
    assert_thought(&state, &thoughts);
    store.close().await;
}

#[tokio::test]
async fn another_version_is_set_aside_whole() {
    let (dir, thoughts) = written(10).await;
    let head = std::fs::read_to_string(dir.path().join("head")).unwrap();
    for version in [0, VERSION + 1, 77] {
        let other = head.replacen(&format!(" {VERSION} "), &format!(" {version} "), 1);
        std::fs::write(dir.path().join("head"), &other).unwrap();
        let (state, store) = open_at(dir.path(), MEMORY, NOW);
        assert!(!knows(&state, 0), "begins empty");
        hear(&state, 1);
        store.flush().await.unwrap();
        store.close().await;
        let aside = dir.path().join(format!("version-{version}-20231114T221320Z"));
        assert_eq!(std::fs::read_to_string(aside.join("head")).unwrap(), other);
        // Put back by hand, it is as it was.
        std::fs::remove_dir_all(dir.path().join("pages")).unwrap();
        std::fs::rename(&aside, dir.path().join("pages")).unwrap();
        std::fs::remove_file(dir.path().join("pages/head")).unwrap();
        std::fs::write(dir.path().join("head"), &head).unwrap();
        let (state, store) = open_at(dir.path(), MEMORY, NOW);
        assert_thought(&state, &thoughts);
        store.close().await;
    }
}

#[tokio::test]
async fn the_version_before_is_read_as_it_was() {
    let (dir, thoughts) = written(10).await;
    let lines = exported(dir.path());
    let path = dir.path().join("head");
    let head = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, head.replacen(" 2 ", " 1 ", 1)).unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    assert_thought(&state, &thoughts);
    store.close().await;
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        head,
        "what is written now, the one before cannot read"
    );
    let new = tempfile::tempdir().unwrap();
    let older = lines.replacen(":2,", ":1,", 1);
    import(new.path(), MEMORY, &mut older.as_bytes(), Import::Replace, &clock()).unwrap();
    assert_eq!(sorted(&exported(new.path())), sorted(&lines));
}

fn block(subject: &str, until: Option<Timestamp>) -> Override {
    let subject = subject.parse().unwrap();
    Override { subject, effect: Effect::Block, since: NOW, until, note: "spam".into() }
}

#[tokio::test]
async fn overrides_and_audit_outlive_a_kill_and_move_with_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    let soon = NOW.after(Duration::from_secs(60));
    for (subject, until) in [("192.0.2.0/24", None), ("bad.example", Some(soon))] {
        state.overrule(block(subject, until), "uid 0", NOW).unwrap();
    }
    store.flush().await.unwrap();
    // As after kill -9: nothing is written at the end.
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    let (again, store_again) = open_at(copy.path(), MEMORY, soon);
    assert_eq!(again.overrides().list(), [block("192.0.2.0/24", None)], "the other has expired");
    assert_eq!(again.audit().newest(9), state.audit().newest(9));
    assert_eq!(again.audit().newest(9).len(), 2);
    store_again.close().await;
    store.close().await;
    let lines = exported(dir.path());
    let (other, _) = written(1).await;
    import(other.path(), MEMORY, &mut lines.as_bytes(), Import::Merge, &clock()).unwrap();
    let merged = exported(other.path());
    assert!(merged.contains("\"192.0.2.0/24\"") && merged.contains("\"bad.example\""), "{merged}");
    assert!(merged.contains("{\"change\":{"), "{merged}");
}

#[tokio::test]
async fn what_is_forgotten_is_nowhere_on_the_disk() {
    let (dir, _) = written(3).await;
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    state.overrule(block("192.0.1.7", None), "uid 0", NOW).unwrap();
    store.flush().await.unwrap();
    let subject = "192.0.1.7".parse().unwrap();
    assert!(state.forget(&subject, &Traces::default(), "uid 0", NOW).entries > 0);
    store.flush().await.unwrap();
    store.close().await;
    let lines = exported(dir.path());
    assert!(!lines.contains("c0000107") && !lines.contains("192.0.1.7"), "{lines}");
    assert!(lines.contains("c0000207") && lines.contains("\"forget\""), "{lines}");
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_used_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    std::fs::write(&path, "a file, and no directory").unwrap();
    let (state, store) = open_at(&path, MEMORY, NOW);
    assert!(!store.is_durable());
    hear(&state, 1);
    assert_eq!(store.flush().await, Err(NotKept));
    std::fs::remove_file(&path).unwrap();
    let mut tries = 0;
    // Each flush waits for nothing while the writer pauses, so give its pause time to pass.
    while store.flush().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tries += 1;
        assert!(tries < 3000);
    }
    let thought = thought_of(&state, 1);
    store.close().await;
    let (state, _store) = open_at(&path, MEMORY, NOW);
    assert_thought(&state, &[thought_of(&state, 0), thought]);
}

#[tokio::test]
async fn a_clock_that_jumps_either_way_keeps_what_was_learned() {
    let dir = tempfile::tempdir().unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    (0..5).for_each(|n| hear(&state, n));
    store.close().await;
    let thought_at = |state: &State, now| state.appraise(&facts(0), now).standing.log_odds;
    let years = NOW.after(Duration::from_secs(3 * 365 * 86_400));
    // The same hour of the same weekday, which are traits.
    let back = Timestamp::from_secs(1_700_000_000 - 300 * 7 * 86_400);
    for (now, as_of) in [(years, years), (back, NOW)] {
        let (read, store) = open_at(dir.path(), MEMORY, now);
        let (here, there) = (thought_at(&read, now), thought_at(&state, as_of));
        assert!((here - there).abs() < 0.05, "{here}, was {there}");
        store.close().await;
    }
}

fn exported(dir: &Path) -> String {
    let mut lines = Vec::new();
    export(dir, &mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().skip(1).collect();
    lines.sort_unstable();
    lines
}
