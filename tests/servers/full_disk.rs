//! A disk that is full, and one that is read-only: real file systems of a few megabytes, on which mail goes on.

use crate::program::Program;
use crate::tempfail::Failure;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use test_support::{Need, Suite, TestResult, server_tests};

/// Of the file system, in mebibytes.
const SIZE: u32 = 8;
const CONFIG: &str = "mode = \"enforce\"\nfirst_contact.suspicious = 1.0\nlimits.cold = { messages = \"2/h\" }\n\
    limits.floor = { messages = \"1/h\" }\n";

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Mounting],
        a_full_disk_stops_no_mail_and_is_written_once_there_is_room,
        a_disk_that_is_read_only_is_read_and_stops_no_mail,
    )
}

/// A file system of its own. Unmounted on drop.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={SIZE}m"), "none"], dir.path())?;
        Ok(Self { dir })
    }

    fn remount(&self, how: &str) -> Result<(), Failure> {
        run("mount", &["-o", &format!("remount,{how}")], self.dir.path())
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn config(&self) -> String {
        format!("{CONFIG}state.directory = \"{}\"\n", self.state().display())
    }

    /// Takes all the room there is.
    fn fill(&self) -> Result<(), Failure> {
        let mut file = std::fs::File::create(self.dir.path().join("filler"))?;
        let block = vec![1; 4096];
        while file.write_all(&block).is_ok() {}
        Ok(())
    }

    fn empty(&self) -> Result<(), Failure> {
        Ok(std::fs::remove_file(self.dir.path().join("filler"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy"], self.dir.path());
    }
}

fn run(program: &str, args: &[&str], place: &Path) -> Result<(), Failure> {
    let output = Command::new(program).args(args).arg(place).output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {error}").into()) }
}

/// What is answered about a stranger's nth message.
async fn a_full_disk_stops_no_mail_and_is_written_once_there_is_room() -> TestResult {
    let disk = Disk::mount()?;
    let program = Program::start(&disk.config()).await?;
    disk.fill()?;
    // Until it has something to write that finds no room.
    let mut asked = 0;
    while !program.log().iter().any(|line| line.contains("state cannot be written, mail goes on from memory"))
    {
        let answer = program.ask("192.0.2.7", asked)?;
        let expected = if asked < 2 { "action=DUNNO" } else { "action=421 4.7.0" };
        assert!(answer.starts_with(expected), "{asked}: {answer}");
        // Whoever is refused leaves nothing to write, and the last page may have room for a few others.
        let newcomer = program.ask(&format!("198.{}.{}.7", 18 + asked / 250, asked % 250), 10_000 + asked)?;
        assert!(newcomer.starts_with("action="), "{newcomer}");
        asked += 1;
        assert!(asked < 600, "it always finds room: {:?}", program.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = program.logged();
    assert!(program.ask("192.0.2.7", asked)?.starts_with("action="), "mail goes on");
    disk.empty()?;
    program.wait_for(told, "state is kept again").await?;
    program.signal("KILL").await?;
    drop(program);
    let again = Program::start(&disk.config()).await?;
    assert!(
        again.ask("192.0.2.7", asked + 1)?.starts_with("action=421 4.7.0"),
        "its messages are remembered"
    );
    Ok(())
}

async fn a_disk_that_is_read_only_is_read_and_stops_no_mail() -> TestResult {
    let disk = Disk::mount()?;
    let mut program = Program::start(&disk.config()).await?;
    (0..2).try_for_each(|n| {
        let answer = program.ask("192.0.2.7", n)?;
        if answer == "action=DUNNO" { Ok(()) } else { Err(Failure::from(answer)) }
    })?;
    program.signal("TERM").await?;
    assert!(program.ended().await?.success());
    drop(program);
    disk.remount("ro")?;
    let program = Program::start(&disk.config()).await?;
    program.wait_for(0, "state cannot be kept, it is in memory only until it can").await?;
    assert!(program.ask("192.0.2.7", 3)?.starts_with("action=421 4.7.0"), "what is there was read");
    let told = program.logged();
    disk.remount("rw")?;
    program.wait_for(told, "state is kept again").await?;
    Ok(())
}
