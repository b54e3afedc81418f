//! Coming from another program: what a real postgrey and a real sqlgrey have written is taken over while they run.

use crate::set_up::{mail, proper, refusal};
use crate::tempfail::{Failure, Tempfail};
use policy_core::State;
use policy_core::evidence::Record;
use policy_core::identity::Key;
use policy_core::kept::Entry;
use policy_core::time::Timestamp;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use tempfail::Clock;
use tempfail::config::Config;
use test_support::{Greylister, Greylisting, Need, Postfix, Suite, TestResult, server_tests};

const DOCUMENT: &str = include_str!("../../docs/migration.md");
const CLIENTS: [&str; 3] = ["192.0.2.7", "198.51.100.9", "2001:db8::1"];

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Greylisters, Need::Postfix],
        side_by_side_only_the_greylister_defers_until_its_line_is_removed,
    );
    server_tests!(
        suite,
        [Need::Greylisters],
        what_postgrey_knows_is_taken_over_while_it_runs,
        what_sqlgrey_knows_is_taken_over_while_it_runs,
        the_lists_that_they_ship_are_taken_over_or_told,
        a_damaged_database_is_told_and_changes_nothing,
    )
}

/// Has mail of each client pass: deferred first, let in after that.
async fn pass(greylisting: &Greylisting) -> TestResult {
    let mut waiting: Vec<&str> = CLIENTS.to_vec();
    for _ in 0..100 {
        let mut still = Vec::new();
        for client in waiting {
            let answer = greylisting.ask(client, "a@one.example", "b@dest.example")?;
            if !answer.starts_with("PREPEND") {
                still.push(client);
            }
        }
        waiting = still;
        if waiting.is_empty() {
            // One that has not passed.
            greylisting.ask("203.0.113.5", "c@two.example", "b@dest.example")?;
            return Ok(());
        }
        // Both count whole seconds, so nothing but time makes a retry pass.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Err(format!("{waiting:?} did not pass").into())
}

fn import(args: &[&str], from: &Path, into: &Path) -> Result<Output, Failure> {
    let programs = Greylisting::programs();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path)))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tempfail"));
    command.env("PATH", path).arg("import").args(args).arg(from).arg(into);
    Ok(command.output()?)
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// Good evidence about a key in a directory's state.
async fn good(directory: &Path, keys: &[Key]) -> Result<Vec<f32>, Failure> {
    let (state, store) = tempfail::store::open(directory, 64 << 20, &Clock::system())?;
    let of = |key: &Key| record(&state, key).map_or(0.0, |record| record.read(now()).slow.good);
    let good = keys.iter().map(of).collect();
    store.close().await;
    Ok(good)
}

fn record(state: &State, key: &Key) -> Option<Record> {
    state.entries().flatten().find_map(|entry| match entry {
        Entry::Identity(held, record) if held == *key => Some(record),
        _ => None,
    })
}

fn near(good: &[f32], expected: f32) -> bool {
    good.iter().all(|good| (good - expected).abs() < 0.01)
}

async fn what_postgrey_knows_is_taken_over_while_it_runs() -> TestResult {
    let postgrey = Greylister::Postgrey.start().await?;
    pass(&postgrey).await?;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let dry = import(&["--dry-run", "--from-postgrey"], &postgrey.data(), &state)?;
    assert!(texts(&dry).1.contains("3 clients, which a run without --dry-run takes over"), "{dry:?}");
    assert!(!state.exists());
    let keys = CLIENTS.map(|client| client.parse().map(Key::address));
    let keys: Vec<Key> = keys.into_iter().collect::<Result<_, _>>()?;
    // Twice is no more than once.
    for _ in 0..2 {
        let (out, told) = texts(&import(&["--from-postgrey"], &postgrey.data(), &state)?);
        assert!(told.contains("from postgrey: 3 clients taken over"), "{told}");
        assert!(
            told.contains("4 x triplet that has not passed yet"),
            "its delay is longer by default: {told}"
        );
        assert_eq!(out, "");
        assert!(near(&good(&state, &keys).await?, 0.25), "{:?}", good(&state, &keys).await?);
    }
    Ok(())
}

async fn what_sqlgrey_knows_is_taken_over_while_it_runs() -> TestResult {
    let sqlgrey = Greylister::Sqlgrey.start().await?;
    pass(&sqlgrey).await?;
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let [first, second, third] = CLIENTS.map(str::parse);
    let keys = [Key::prefix(first?), Key::prefix(second?), Key::address(third?)];
    for _ in 0..2 {
        let (_, told) = texts(&import(&["--from-sqlgrey"], &sqlgrey.data(), &state)?);
        assert!(told.contains("from sqlgrey: 3 clients taken over"), "{told}");
        assert!(told.contains("1 x triplet that has not passed yet"), "{told}");
        assert!(near(&good(&state, &keys).await?, 0.25), "{:?}", good(&state, &keys).await?);
    }
    Ok(())
}

/// The lines of the document, with these ports.
fn side_by_side(greylister: &Greylisting, tempfail: &Tempfail) -> Result<String, Failure> {
    let (_, behind) = DOCUMENT.split_once("    smtpd_recipient_restrictions = ..., ").ok_or("no lines")?;
    let (lines, _) = behind.split_once("\n\n").ok_or("no end of them")?;
    let lines = lines
        .replace("127.0.0.1:10023", &greylister.address().to_string())
        .replace("127.0.0.1:10421", &tempfail.policy().to_string());
    Ok(format!("smtpd_recipient_restrictions = reject_unauth_destination, {lines}\n"))
}

async fn side_by_side_only_the_greylister_defers_until_its_line_is_removed() -> TestResult {
    let postgrey = Greylister::Postgrey.start().await?;
    let tempfail = Tempfail::start("mode = \"observe\"").await?;
    let lines = side_by_side(&postgrey, &tempfail)?;
    let postfix = Postfix::builder().main_cf(&lines).start().await?;
    let visit = || proper(postfix.address(), "192.0.2.7", "mail.src.example");
    let first = visit()?.send(&mail("a@src.example")).await?;
    assert!(refusal(&first).contains("Greylisted"), "{first}");
    for tried in 0.. {
        let outcome = visit()?.send(&mail("a@src.example")).await?;
        if outcome.is_accepted() {
            break;
        }
        assert!(tried < 50 && refusal(&outcome).contains("Greylisted"), "{outcome}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!tempfail.decisions().is_empty(), "both are asked");
    // One line less.
    let (_, ours) = lines.split_once("check_policy_service {").ok_or("no line of ours")?;
    let alone =
        format!("smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service {{{ours}");
    let postfix = Postfix::builder().main_cf(&alone).start().await?;
    let stranger = proper(postfix.address(), "198.51.100.9", "mail.other.example")?;
    let outcome = stranger.send(&mail("b@other.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    Ok(())
}

async fn the_lists_that_they_ship_are_taken_over_or_told() -> TestResult {
    let dir = tempfile::tempdir()?;
    let all = [("--from-postgrey", Greylister::Postgrey), ("--from-sqlgrey", Greylister::Sqlgrey)];
    for (option, which) in all {
        assert!(DOCUMENT.contains(&format!("tempfail import {option} /etc/")), "{option}");
        let lists = Greylisting::lists(which);
        let (lines, told) = texts(&import(&[option], &lists, dir.path())?);
        let lines = lines.replace("\n# [", "\n[");
        let checked = Config::parse("lines.toml", &lines).map_err(|error| error.to_string())?;
        let exempt = &checked.config.policy.exempt;
        assert!(exempt.client_names.len() > 30, "{lines}");
        assert!(told.contains("x regular expression; name the domains"), "{told}");
        // Every line of the lists is one or the other.
        let count = |start: &str| {
            let line = told.lines().find(|line| line.ends_with(start)).unwrap_or_default();
            line.split(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0)
        };
        let (taken, left) = (count("lines for the configuration"), count("not carried over"));
        assert!(taken > 50 && left >= 5, "{told}");
        assert!(taken + left <= listed(&lists)?, "{told}");
    }
    Ok(())
}

/// Lines of all lists in a directory that are no comments.
fn listed(lists: &Path) -> Result<usize, Failure> {
    let mut count = 0;
    for entry in std::fs::read_dir(lists)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains("whitelist")) {
            let text = std::fs::read_to_string(path)?;
            count +=
                text.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#')).count();
        }
    }
    Ok(count)
}

async fn a_damaged_database_is_told_and_changes_nothing() -> TestResult {
    let (postgrey, sqlgrey) = (Greylister::Postgrey.start().await?, Greylister::Sqlgrey.start().await?);
    pass(&postgrey).await?;
    pass(&sqlgrey).await?;
    let dir = tempfile::tempdir()?;
    let all = [
        ("--from-postgrey", postgrey.data().join("postgrey_clients.db")),
        ("--from-sqlgrey", sqlgrey.data().join("sqlgrey.db")),
    ];
    for (n, (option, path)) in all.into_iter().enumerate() {
        let whole = std::fs::read(&path)?;
        let damaged = dir.path().join(format!("{n}.db"));
        let mut refused = 0;
        for at in [whole.len() / 3, 4096 + 20, 20] {
            let mut octets = whole.clone();
            let end = octets.len().min(at + 600);
            octets.get_mut(at..end).ok_or("a larger database")?.fill(0xa5);
            std::fs::write(&damaged, octets)?;
            let state = dir.path().join(format!("state-{n}-{at}"));
            let output = import(&[option], &damaged, &state)?;
            let (_, told) = texts(&output);
            assert!(output.status.code().is_some(), "ended by a signal: {output:?}");
            // What nothing rests on may be damaged without a trace.
            if !output.status.success() {
                refused += 1;
                assert!(told.contains(&format!("{n}.db: damaged, or no database: ")), "{at}: {told}");
                assert!(!state.exists());
            }
        }
        assert!(refused > 0, "{option}");
        std::fs::write(&damaged, &whole[..whole.len() / 2])?;
        let (_, told) = texts(&import(&[option], &damaged, &dir.path().join("state"))?);
        assert!(told.contains("damaged, or no database: ") || told.contains(" 0 not carried over"), "{told}");
    }
    Ok(())
}
