//! Numbers that no mail adds up to, on their way in and out.

use super::*;
use crate::store::format::{encode_page, key};
use crate::store::shelf::Shelf;
use policy_core::kept::{Book, Entry, PageId};

/// A line about this sender's address, with as much in each sum.
fn heavy(n: u8, slow: &str, fast: &str) -> String {
    let key = serde_json::to_string(&Key::address(IpAddr::from([192, 0, n, 7]))).unwrap();
    let tally = |sum: &str| format!(r#"{{"good":{sum},"bad":{sum}}}"#);
    let (fast, slow) = (tally(fast), tally(slow));
    format!(
        r#"{{"identity":[{key},{{"landmark":1700000000,"first_day":19675,"day":19675,"fast":{fast},"slow":{slow},"today":1e9,"busiest":1e9}}]}}"#
    )
}

#[tokio::test]
async fn what_is_imported_again_and_again_stays_a_number_that_can_be_exported() {
    let (dir, _) = written(1).await;
    let head = exported(dir.path()).lines().next().unwrap().to_owned();
    let take = |lines: &str| import(dir.path(), MEMORY, &mut lines.as_bytes(), Import::Merge, &clock());
    let line = heavy(9, "3e38", "1.0");
    let error = take(&format!("{head}\n{line}\n")).unwrap_err().to_string();
    assert_eq!(error, "line 2: identity.slow.bad: 3e+38 is too large");
    let most = format!("{head}\n{}\n", heavy(9, "1e9", "1.8e28"));
    (0..3).for_each(|_| assert_eq!(take(&most).unwrap().entries, 1));
    let lines = exported(dir.path());
    let again = import(dir.path(), MEMORY, &mut lines.as_bytes(), Import::Merge, &clock()).unwrap();
    assert!(again.entries > 1 && knows_number(&exported(dir.path())), "{again:?}");
    let (state, store) = open_at(dir.path(), MEMORY, NOW);
    assert!(thought_of(&state, 9).is_finite());
    let mut running = Vec::new();
    export_running(&state, &store, NOW, &mut running).unwrap();
    assert!(knows_number(&String::from_utf8(running).unwrap()));
    store.close().await;
}

/// Whether every sum is a number.
fn knows_number(lines: &str) -> bool {
    lines.contains("\"good\":1000000000.0") && !lines.contains("\"good\":null")
}

#[tokio::test]
async fn infinity_on_the_disk_is_left_out_of_an_export() {
    let (dir, _) = written(1).await;
    let before = exported(dir.path());
    let Ok(Entry::Identity(key_of, record)) = serde_json::from_str(&heavy(9, "1e39", "1.0")) else {
        panic!("an entry")
    };
    let infinite = [Entry::Identity(key_of, record)];
    assert_eq!(infinite[0].sound(), None);
    let shelf = Shelf::open(&dir.path().join("pages")).unwrap();
    let id = key(PageId { book: Book::Identities, number: u32::MAX - 1 });
    shelf.write(vec![(id, Some(encode_page(&infinite).unwrap()))]).unwrap();
    drop(shelf);
    assert_eq!(exported(dir.path()), before);
}
