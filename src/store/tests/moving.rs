//! A state that goes out as lines, and comes in as such.

use super::*;

#[tokio::test]
async fn an_export_replaces_another_state_whole() {
    let (dir, thoughts) = written(12).await;
    let lines = exported(dir.path());
    assert!(lines.starts_with("{\"tempfail-state\":3,\"secret\":\""), "{}", &lines[..80]);
    let (other, _) = written(3).await;
    let imported = import(other.path(), MEMORY, &mut lines.as_bytes(), Import::Replace, &clock()).unwrap();
    assert_eq!(imported.entries as usize, lines.lines().count() - 3, "head, weights and labels are none");
    assert_eq!((imported.expired, imported.foreign), (0, 0));
    assert_eq!(sorted(&exported(other.path())), sorted(&lines));
    let (state, _store) = open_at(other.path(), MEMORY, NOW);
    assert_thought(&state, &thoughts);
}

#[tokio::test]
async fn weights_of_another_model_are_left_out_of_an_import() {
    let (dir, _) = written(3).await;
    let lines = exported(dir.path());
    // One number fewer, as an earlier version had.
    let numbers = lines.find("\"numbers\":[").unwrap() + "\"numbers\":[".len();
    let second = numbers + lines[numbers..].find("],").unwrap() + "],".len();
    let fewer = format!("{}{}", &lines[..numbers], &lines[second..]);
    for how in [Import::Replace, Import::Merge] {
        let new = tempfile::tempdir().unwrap();
        let imported = import(new.path(), MEMORY, &mut fewer.as_bytes(), how, &clock()).unwrap();
        assert!(imported.other_model && imported.entries > 0, "{imported:?}");
        let whole = import(new.path(), MEMORY, &mut lines.as_bytes(), Import::Replace, &clock()).unwrap();
        assert!(!whole.other_model);
    }
}

#[tokio::test]
async fn merging_adds_and_under_another_secret_only_networks_are_added() {
    let (dir, thoughts) = written(6).await;
    let lines = exported(dir.path());
    let new = dir.path().join("new");
    let once = import(&new, MEMORY, &mut lines.as_bytes(), Import::Merge, &clock()).unwrap();
    assert!(!once.again, "{once:?}");
    assert_eq!(sorted(&exported(&new)), sorted(&lines));
    let twice = import(&new, MEMORY, &mut lines.as_bytes(), Import::Merge, &clock()).unwrap();
    assert!(twice.foreign == 0 && twice.again, "{twice:?}");
    let (state, store) = open_at(&new, MEMORY, NOW);
    assert!(thought_of(&state, 2) < thoughts[2], "twice as much good was heard");
    store.close().await;
    let (other, _) = written(0).await;
    let merged = import(other.path(), MEMORY, &mut lines.as_bytes(), Import::Merge, &clock()).unwrap();
    assert!(merged.foreign > 0 && merged.entries > 0, "{merged:?}");
}

#[tokio::test]
async fn a_running_daemon_takes_no_more_words_than_fit_its_memory() {
    let (dir, _) = written(1).await;
    let exported = exported(dir.path());
    let head = exported.lines().next().unwrap();
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    let said = |n: u8| {
        let subject = format!("192.0.2.{n}").parse().unwrap();
        let said =
            Override { subject, effect: Effect::Allow, since: NOW, until: None, note: "x".repeat(8000) };
        serde_json::to_string(&export::Line::Override(said)).unwrap() + "\n"
    };
    let lines: String = std::iter::once(format!("{head}\n")).chain((0..10).map(said)).collect();
    let import = |most| import_running(&state, &store, &mut lines.as_bytes(), most, NOW);
    let error = import(300).unwrap_err().to_string();
    assert!(error.contains("line 6: is one too many for a running daemon's memory"), "{error}");
    assert_eq!(import(1000).unwrap().entries, 10);
    store.close().await;
}

#[tokio::test]
async fn an_import_that_fails_changes_nothing() {
    let (dir, _) = written(4).await;
    let before = exported(dir.path());
    let head = before.lines().next().unwrap();
    let heavy = |today: &str| {
        let labels = before.lines().find(|line| line.starts_with("{\"labels\"")).unwrap();
        let (first, rest) = labels.split_once("\"today\":").unwrap();
        let rest = &rest[rest.find(',').unwrap()..];
        format!("{head}\n{first}{today}{rest}\n")
    };
    let bad = [
        (String::new(), "line 1: is not the head"),
        ("{\"tempfail-state\":77}\n".to_owned(), "of version 77; this program reads the versions 1 to 3"),
        (format!("{head}\n{{\"identity\":[\"00\",{{}}]}}\n"), "line 2: a key has 32 hexadecimal digits"),
        (format!("{head}\n{{\"known\":{{\"client\":7}}}}\n"), "line 2: invalid type: integer `7`"),
        (
            format!("{head}\n\n{{\"unheard-of\":1}}\n"),
            "line 3: unknown variant `unheard-of`, expected one of",
        ),
        (format!("{head}\n{{\n"), "line 2: EOF"),
        (before[..before.len() - 1].to_owned(), "is cut off"),
        (heavy("\"today\":1e300"), "line 2: labels.today: 1e+300 is too large"),
        (heavy("\"today\":-1.5"), "line 2: labels.today: -1.5 is below nothing"),
    ];
    for (lines, what) in bad {
        for how in [Import::Merge, Import::Replace] {
            let error =
                import(dir.path(), MEMORY, &mut lines.as_bytes(), how, &clock()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
    assert_eq!(sorted(&exported(dir.path())), sorted(&before));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(export(empty.path(), &mut Vec::new()), Err(ExportError::NoState(_))));
    assert_eq!(names(empty.path()), [""; 0]);
}

#[test]
fn an_export_from_nowhere_says_that_nothing_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let error = export(&dir.path().join("nowhere"), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("nowhere: No such file or directory"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = export(file.path(), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("Not a directory"), "{error}");
}

/// Only root can give anything away; who else runs this has nothing to see.
#[tokio::test]
async fn what_root_imports_and_exports_stays_the_daemons() {
    use std::os::unix::fs::{MetadataExt, chown};
    let daemon = 12_345;
    let (from, _) = written(3).await;
    let lines = exported(from.path());
    let into = tempfile::tempdir().unwrap();
    if chown(into.path(), Some(daemon), Some(daemon)).is_err() {
        return;
    }
    let owners = || files(into.path()).into_iter().map(|file| file.metadata().unwrap().uid());
    for how in [Import::Replace, Import::Merge] {
        import(into.path(), MEMORY, &mut lines.as_bytes(), how, &clock()).unwrap();
        assert!(owners().count() > 2 && owners().all(|owner| owner == daemon));
    }
    exported(into.path());
    assert!(owners().all(|owner| owner == daemon));
    know(into.path(), MEMORY, &[], &clock()).unwrap();
    assert!(owners().all(|owner| owner == daemon));
}
