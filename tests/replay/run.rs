//! What the tests share: a made-up trace, and the program's run.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub(crate) const HEADER: &str = "seq\tunix_time\tclient_ip\trdns_name\thelo\tmail_from\trcpt_count\tsize_bytes\thas_dkim_sig\tdkim_domain\tlabel\n";

/// A directory for a test's recordings.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

pub(crate) fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(content.as_ref()).unwrap();
    gzip.finish().unwrap()
}

/// Rows of a trace: every second one ham of a steady sender, the others spam of strangers.
pub(crate) fn rows(count: u64) -> String {
    let row = |n: u64| {
        let time = 1_700_000_000 + n * 600;
        let (third, last) = (n / 250 % 250, n % 250);
        if n.is_multiple_of(2) {
            let host = "192.0.2.1\tmx.src.example\tmx.src.example\ta@src.example";
            format!("{n}\t{time}\t{host}\t1\t900\t1\tsrc.example\tham\n")
        } else {
            format!("{n}\t{time}\t198.51.{third}.{last}\t-\tpc{n}\tb@s{n}.example\t1\t900\t0\t-\tspam\n")
        }
    };
    (0..count).map(row).collect()
}

pub(crate) fn trace(count: u64) -> String {
    HEADER.to_owned() + &rows(count)
}

/// Runs the program.
pub(crate) fn tempfail(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tempfail"));
    command.arg("replay").args(arguments).args(files).output().unwrap()
}

/// What it prints, when all goes well.
pub(crate) fn printed(arguments: &[&str], files: &[&Path]) -> String {
    let output = tempfail(arguments, files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no bar where there is no terminal");
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON object that it prints.
pub(crate) fn report(arguments: &[&str], files: &[&Path]) -> Value {
    let text = printed(&[&["--json"], arguments].concat(), files);
    assert_eq!(text.trim_end().lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

/// The same without what the clock says.
pub(crate) fn timeless(mut report: Value) -> Value {
    let object = report.as_object_mut().unwrap();
    assert!(object.remove("seconds").is_some_and(|seconds| seconds.as_f64().unwrap() > 0.0));
    assert!(object.remove("decisions_per_second").is_some_and(|speed| speed.as_f64().unwrap() > 0.0));
    report
}
